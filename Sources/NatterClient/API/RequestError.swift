public import NatterHTTP
public import NatterModel
public import NatterProtocol

/// Why a request failed.
public enum RequestError: FailureConvertible {
    /// There was no answer.
    case transport(TransportError, server: ServerAddress)
    /// The answer to a change was lost, so the server may have carried it out. A lost answer to a message is `.transport`,
    /// because its senders repeat it with the same id. `advice` says how to find out.
    case unanswered(TransportError, server: ServerAddress, advice: Phrase)
    /// The server answered with a refusal.
    case refused(Refusal)
    /// The answer did not come from a natter server.
    case foreign(Phrase, remedy: Phrase? = nil)

    /// A server's answer to a request that it refused.
    public struct Refusal: Sendable, Equatable {
        public var status: Int
        /// The API's name of the error, such as `bad_name`. A newer server may send an unknown one.
        public var code: String
        /// The message in English.
        public var message: String
        private var parts: PhraseParts?
        /// The value of `Retry-After`, 0 to 86,400.
        public var retryAfterSeconds: Int?
        /// Whether it is about a line of a request. Only its message says when to try again.
        private var isOfLine = false
        /// Where the token that was refused is from, if it is not the profile's.
        public var tokenFile: String?

        public init(status: Int, code: String, message: String) {
            (self.status, self.code, self.message) = (status, code, message)
        }

        /// A refusal that this program has found itself.
        init(_ code: ErrorCode, _ phrase: Phrase) {
            self.init(status: code.status, code: code.rawValue, phrase: phrase)
        }

        init(status: Int, code: String, phrase: Phrase) {
            self.init(status: status, code: code, message: phrase.english)
            parts = PhraseParts(phrase)
        }

        init(_ body: ErrorBody, status: Int, retryAfterSeconds: Int? = nil) {
            self.init(status: status, code: body.error.code, message: body.error.message)
            parts = body.error.phrase
            self.retryAfterSeconds = retryAfterSeconds
            isOfLine = body.line != nil
        }

        /// Whether the same request would be refused again.
        var isFinal: Bool { (400..<500).contains(status) && status != 408 && status != 429 }

        /// Whether it is about the message itself, so that any earlier attempt to send the same was refused, too.
        public var isAboutMessage: Bool { has(.idReused) || [400, 413, 422].contains(status) }

        public func has(_ code: ErrorCode) -> Bool { self.code == code.rawValue }

        /// Whether the session had ended already, or the token.
        public var isOfEndedSession: Bool { has(.unauthorized) || has(.tokenExpired) }

        /// The message, translated if the catalogue has it.
        public var phrase: Phrase { Phrase(parts, saying: message) }

        fileprivate var failure: CommandFailure {
            var exitCode = ExitCode(status: status)
            var remedy: Phrase?
            switch ErrorCode(rawValue: code) {
            case .lastAdmin: exitCode = .refused
            case .outcomeUnknown: exitCode = .unavailable
            case .misdirected: exitCode = .configuration
            // An unknown path means that the server has another version of the API.
            case .notFound, .methodNotAllowed, .unsupportedMediaType:
                (exitCode, remedy) = (.badProtocol, "is this a newer or older server?")
            case .unauthorized, .tokenExpired: remedy = RequestError.renewal(of: tokenFile)
            case .noSuchUser: remedy = "'natter users' lists them"
            case .noSuchConversation: remedy = "'natter ls' lists yours, and '@NAME' is the one with a user"
            case .slowDown, .busy: remedy = retryAfterSeconds == nil && !isOfLine ? "try again later" : nil
            case .diskFull: remedy = "try again when the server has free space"
            case .damaged: remedy = "its administrator can run 'natterd fsck'"
            default: break
            }
            return CommandFailure(exitCode, code: code, phrase, remedy: remedy)
        }
    }

    /// How to get a token that is good instead of one that is not.
    ///
    /// - Parameter tokenFile: where that is from, if not from a login.
    public static func renewal(of tokenFile: String?) -> Phrase {
        tokenFile.map { "make another one with 'natter token create', and put it into '\($0)'" }
            ?? "run 'natter login NAME' again"
    }

    /// Whether the server may have acted on the request although no answer confirms it.
    public var isOutcomeUnknown: Bool {
        switch self {
        case .transport(.protocolError, _), .transport(.aborted, _), .foreign: false
        case .transport(let error, _): error.isOutcomeUnknown
        case .unanswered: true
        case .refused(let refusal): refusal.has(.outcomeUnknown)
        }
    }

    /// Whether the request has gone out, and nothing that can be read says what became of it.
    public var mayHaveArrived: Bool {
        switch self {
        case .transport(.protocolError, _), .transport(.aborted, _), .foreign: true
        default: isOutcomeUnknown
        }
    }

    /// Whether the server could not be reached, so that only the replica can answer.
    public var isNotReached: Bool {
        switch self {
        case .transport(.notReached, _), .transport(.timedOut, _), .transport(.interrupted, _), .unanswered: true
        default: false
        }
    }

    /// Whether the replica is what can be read: the server was not reached, or something that it needs is away, such as its
    /// database.
    public var isAway: Bool {
        if case .refused(let refusal) = self { refusal.status >= 500 && !refusal.has(.diskFull) } else { isNotReached }
    }

    /// Whether the same request may succeed a little later.
    public var isTemporary: Bool {
        if case .refused(let refusal) = self, [429, 503].contains(refusal.status) { return true }
        return isNotReached || isOutcomeUnknown
    }

    /// Whether something else may have answered in the server's place, such as a network's login page.
    public var isFromElsewhere: Bool {
        switch self {
        case .transport(.certificate, _), .transport(.protocolError, _), .foreign: true
        default: false
        }
    }

    /// Whether `send --queue` keeps a message after it. What answers in the server's place has not refused the message, and each
    /// later delivery verifies the certificate again.
    public var allowsQueueing: Bool {
        if case .refused(let refusal) = self, refusal.status == 507 { return true }
        return isTemporary || isFromElsewhere
    }

    /// How long the server asks to wait; 0 if it does not.
    public var retryAfterSeconds: Int {
        if case .refused(let refusal) = self { refusal.retryAfterSeconds ?? 0 } else { 0 }
    }

    /// The failed request in the error of a request or of a sync; nil for any other error.
    public init?(in error: any Error) {
        switch error {
        case let error as RequestError: self = error
        case SyncError.api(let error): self = error
        default: return nil
        }
    }

    /// The reason of the error, without a remedy.
    public var reason: Phrase {
        switch self {
        case .transport(.timedOut(sent: false), let server): "'\(server)' was not reached in time"
        case .transport(.timedOut(sent: true), let server): "'\(server)' did not answer in time"
        case .transport(.interrupted(let reason), let server): "the connection to '\(server)' broke: \(reason)"
        case .transport(let error, _): "\(error)"
        case .unanswered(let error, let server, _): RequestError.transport(error, server: server).reason
        case .refused(let refusal): refusal.phrase
        case .foreign: failure.message
        }
    }

    public var failure: CommandFailure {
        switch self {
        case .refused(let refusal): refusal.failure
        case .foreign(let what, let remedy):
            CommandFailure(.badProtocol, code: "bad_protocol", what, remedy: remedy)
        case .unanswered(_, _, let advice):
            CommandFailure(
                .unavailable, code: "outcome_unknown",
                "\(reason); the request may have been carried out or not", remedy: advice)
        case .transport(.notReached, let server) where server.isLoopback:
            notReached("start one with 'natter serve', or say with --server where it is")
        case .transport(.notReached, _): notReached("check the network, or say with --server where it is")
        case .transport(.timedOut, _): notReached("try again, or wait longer with --timeout")
        case .transport(.interrupted, _): notReached("try again")
        case .transport(let error, _): error.failure
        }
    }

    private func notReached(_ remedy: Phrase) -> CommandFailure {
        CommandFailure(.unavailable, code: "not_reached", reason, remedy: remedy)
    }

    public var phrase: Phrase {
        switch self {
        case .refused, .unanswered: failure.problem
        case .transport(.aborted(let error), _): Phrase(describing: error)
        default: failure.message
        }
    }
}
