public import NatterLanguage

/// Why there is no answer.
public enum TransportError: Error, PhraseConvertible {
    /// Nothing of the request can have been acted on: no such name, refused, no way there, no TLS.
    case notReached(Phrase)
    /// The server's certificate was not verified, or there is nothing to verify it with; nothing was sent.
    case certificate(Phrase)
    /// Too long without any progress, or past the deadline; `sent` if a part of the request had gone out.
    case timedOut(sent: Bool)
    /// The connection broke after a part of the request had gone out: whether it was acted on is unknown.
    case interrupted(Phrase)
    /// The other side does not speak HTTP, or sends more than it may.
    case protocolError(Phrase)
    /// The caller's own function for the body threw.
    case aborted(any Error)

    /// Whether the server may have acted on the request without its answer having come.
    public var isOutcomeUnknown: Bool {
        switch self {
        case .notReached, .certificate, .timedOut(sent: false): false
        case .timedOut(sent: true), .interrupted, .protocolError, .aborted: true
        }
    }

    public var phrase: Phrase {
        switch self {
        case .notReached(let what), .certificate(let what), .interrupted(let what), .protocolError(let what): what
        case .timedOut(sent: false): "the server was not reached in time"
        case .timedOut(sent: true): "the server did not answer in time"
        case .aborted(let error): Phrase(describing: error)
        }
    }
}
