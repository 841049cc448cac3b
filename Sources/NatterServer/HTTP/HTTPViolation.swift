public import NatterLanguage

/// Why the listener itself refuses a request; whoever sent it gets this one answer, and the connection is closed.
public enum HTTPViolation: Error, Sendable, Equatable, PhraseConvertible {
    /// 400: it breaks HTTP, or two readers could take it for different requests.
    case malformed(reason: Phrase)
    /// 413: the body is announced as longer than the route takes.
    case bodyTooLarge(limitBytes: Int)
    /// 429: the client, behind a proxy, has as many requests open already as it may.
    case tooManyRequests(limit: Int)
    /// 503: the bodies that are on their way have all the memory that bodies may have.
    case tooManyBodies

    public var status: Int {
        switch self {
        case .malformed: 400
        case .bodyTooLarge: 413
        case .tooManyRequests: 429
        case .tooManyBodies: 503
        }
    }

    public var phrase: Phrase {
        switch self {
        case .malformed(let reason): reason
        case .bodyTooLarge(let limit): "the body is larger than \(limit) bytes"
        case .tooManyBodies: "too much is being sent at once; try again in a moment"
        case .tooManyRequests(let limit): "there are \(limit) requests of your address already; try again in a moment"
        }
    }
}
