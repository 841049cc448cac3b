public import NatterModel
public import NatterProtocol

/// A message that waits to be sent or was refused.
public struct OutboxEntry: Sendable {
    public enum State: Sendable, Equatable {
        /// Will be sent once the server is reached, after all entries before it.
        case waiting
        /// The server refused it. It is parked until the user decides, and other entries do not wait for it.
        case refused(code: String, reason: String)
    }

    /// Its place in the order, counted from 1. A number is never used twice.
    public let number: Int64
    public let queued: Timestamp
    /// The message, which has an id.
    public let request: SendRequest
    /// The files that are sent with it.
    public let files: [OutboxFile]
    public let state: State
    /// When a server may have taken it first, without an answer; nil if none has.
    public let tried: Timestamp?

    /// The kind of an entry that is no message: it marks what it is about, and all before it, as read.
    static let markKind = "read"
    public var isMark: Bool { request.kind == OutboxEntry.markKind }
}

extension Outbox {
    /// Keeps a mark until the server can be reached.
    public func add(
        mark seq: Seq, of conversation: String, _ id: ConversationID?, at time: Timestamp
    ) throws(OutboxError) -> OutboxEntry? {
        let request = SendRequest(
            conversation: conversation, conversationID: id, text: "", id: MessageID.make(at: time),
            kind: OutboxEntry.markKind, about: seq.rawValue)
        return try add([request], at: time).first?.entry
    }
}

/// An entry as shown by `--json`.
public struct OutboxObject: Encodable, Sendable {
    private struct Reason: Encodable {
        let code: String
        let message: String
    }

    private struct File: Encodable {
        let name: String
        let size: UInt64
    }

    private let entry: OutboxEntry

    public init(_ entry: OutboxEntry) { self.entry = entry }

    private enum CodingKeys: String, CodingKey {
        case number, id, conversation, kind, about, text, files, queued, state, error
        case conversationID = "conversation_id"
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(entry.number, forKey: .number)
        try container.encodeIfPresent(entry.request.id, forKey: .id)
        try container.encode(entry.request.conversation, forKey: .conversation)
        try container.encodeIfPresent(entry.request.conversationID, forKey: .conversationID)
        try container.encodeIfPresent(entry.request.kind, forKey: .kind)
        try container.encodeIfPresent(entry.request.about, forKey: .about)
        try container.encode(entry.request.text, forKey: .text)
        if !entry.files.isEmpty {
            try container.encode(entry.files.map { File(name: $0.name, size: $0.size) }, forKey: .files)
        }
        try container.encode(entry.queued.rfc3339, forKey: .queued)
        switch entry.state {
        case .waiting: try container.encode("waiting", forKey: .state)
        case .refused(let code, let reason):
            try container.encode("refused", forKey: .state)
            try container.encode(Reason(code: code, message: reason), forKey: .error)
        }
    }
}
