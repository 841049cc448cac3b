public import NatterModel
public import NatterWire

/// A message that has not been sent yet.
public struct OutboxEntry: Sendable {
    public enum State: Sendable, Equatable {
        /// To be sent as soon as the server is reached and all before it are.
        case waiting
        /// The server won't have it: it is parked until somebody decides, and nothing waits behind it.
        case refused(code: String, reason: String)
    }

    /// Its place in the order, counted from 1, never used twice.
    public let number: Int64
    public let queued: Timestamp
    /// With an id.
    public let request: SendRequest
    public let state: State
}

/// An entry as `--json` shows it.
public struct OutboxObject: Encodable, Sendable {
    private struct Reason: Encodable {
        let code: String
        let message: String
    }

    private let entry: OutboxEntry

    public init(_ entry: OutboxEntry) { self.entry = entry }

    private enum CodingKeys: String, CodingKey { case number, id, conversation, text, queued, state, error }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(entry.number, forKey: .number)
        try container.encodeIfPresent(entry.request.id, forKey: .id)
        try container.encode(entry.request.conversation, forKey: .conversation)
        try container.encode(entry.request.text, forKey: .text)
        try container.encode(entry.queued.rfc3339, forKey: .queued)
        switch entry.state {
        case .waiting: try container.encode("waiting", forKey: .state)
        case .refused(let code, let reason):
            try container.encode("refused", forKey: .state)
            try container.encode(Reason(code: code, message: reason), forKey: .error)
        }
    }
}
