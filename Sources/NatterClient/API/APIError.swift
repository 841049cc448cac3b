public import NatterHTTP
public import NatterLanguage

/// Why the server did not do what it was asked.
public enum APIError: Error, PhraseConvertible {
    /// There is no answer.
    case transport(TransportError, server: ServerAddress)
    /// The server has answered that it won't.
    case refused(Refusal)
    /// Something has answered, but no server of ours.
    case foreign(Phrase)

    /// What a server says of a refused request.
    public struct Refusal: Sendable, Equatable {
        public var status: Int
        /// As the interface names it, such as `bad_name`; of a newer server perhaps one that we do not know.
        public var code: String
        public var message: String
        /// What `Retry-After` asks for, 0 to 86 400.
        public var retryAfterSeconds: Int?
        /// The range that can't be read, where the code is `damaged`.
        public var from: UInt64?
        public var to: UInt64?

        public init(
            status: Int, code: String, message: String, retryAfterSeconds: Int? = nil, from: UInt64? = nil,
            to: UInt64? = nil
        ) {
            (self.status, self.code, self.message) = (status, code, message)
            (self.retryAfterSeconds, self.from, self.to) = (retryAfterSeconds, from, to)
        }

        /// The server's words, which are English, in the reader's language as far as it is one of its usual sentences.
        public var phrase: Phrase {
            Catalogue.isInUse
                ? Phrase(recognizing: message, among: ServerSentences.templates) : Phrase(verbatim: message)
        }
    }

    /// Whether the server may have acted on the request although nothing said so.
    public var isOutcomeUnknown: Bool {
        switch self {
        case .transport(.protocolError, _), .transport(.aborted, _), .foreign: false
        case .transport(let error, _): error.isOutcomeUnknown
        case .refused(let refusal): refusal.code == "outcome_unknown"
        }
    }

    /// Whether the server could not be reached at all, so that what was kept of it must do.
    public var isNotReached: Bool {
        switch self {
        case .transport(.notReached, _), .transport(.timedOut, _), .transport(.interrupted, _): true
        default: false
        }
    }

    /// What happened, without what to do about it.
    public var reason: Phrase {
        switch self {
        case .transport(.timedOut(sent: false), let server): "'\(server)' was not reached in time"
        case .transport(.timedOut(sent: true), let server): "'\(server)' did not answer in time"
        case .transport(.interrupted(let reason), let server): "the connection to '\(server)' broke: \(reason)"
        case .transport(let error, _): "\(error)"
        case .refused(let refusal): refusal.phrase
        case .foreign(let what): what
        }
    }

    public var phrase: Phrase {
        switch self {
        case .transport(.notReached, let server) where server.isLoopback:
            "\(reason); start one with 'natter serve', or say with --server where it is"
        case .transport(.notReached, _): "\(reason); check the network, or say with --server where it is"
        case .transport(.timedOut, _): "\(reason); try again, or wait longer with --timeout"
        case .transport(.interrupted, _): "\(reason); try again"
        default: reason
        }
    }
}
