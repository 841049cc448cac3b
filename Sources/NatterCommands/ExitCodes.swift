internal import NatterArchive
internal import NatterCLI
internal import NatterClient
internal import NatterHTTP
internal import NatterLog
internal import NatterModel
internal import NatterPattern
internal import NatterWire

/// Translates every error to an exit code, a code for programs and a message. No other code chooses exit codes.
enum ExitCodes {
    static func translate(_ error: any Error) -> CommandFailure {
        switch error {
        case let error as RequestError: translate(error)
        case let error as TransportError: CommandFailure(.unavailable, code: "not_reached", "\(error)")
        case let error as ProfileError: translate(error)
        case let error as SyncError: translate(error)
        case let error as ReplicaError: translate(error)
        case let error as OutboxError: translate(error)
        case let error as AddressError: CommandFailure(.configuration, code: "bad_address", "\(error)")
        case let error as PatternError: translate(error)
        case let error as TextError: CommandFailure(.invalidData, code: "bad_text", "\(error)")
        default: CommandFailure(of: error) ?? CommandFailure(.inputOutput, code: "io_error", "\(error)")
        }
    }

    private static func translate(_ error: ProfileError) -> CommandFailure {
        switch error {
        case .notLoggedIn: CommandFailure(.refused, code: "not_logged_in", "\(error)")
        case .unsafe: CommandFailure(.refused, code: "unsafe_file", "\(error)")
        case .badName: CommandFailure(.usage, code: "usage", "\(error)")
        case .malformed, .noToken: CommandFailure(.configuration, code: "bad_configuration", "\(error)")
        case .unreadable(let error): CommandFailure(unreadable: error)
        case .locked: CommandFailure(.temporary, code: "locked", "\(error)")
        }
    }

    private static func translate(_ error: SyncError) -> CommandFailure {
        switch error {
        case .api(let error): translate(error)
        case .otherStore(_, nil): CommandFailure(.badProtocol, code: "bad_protocol", "\(error)")
        case .otherStore: CommandFailure(.refused, code: "other_store", "\(error)")
        case .replica(let error): translate(error)
        }
    }

    private static func translate(_ error: OutboxError) -> CommandFailure {
        switch error {
        case .locked: CommandFailure(.temporary, code: "locked", "\(error)")
        case .disk(let error): CommandFailure(error)
        case .full: CommandFailure(full: "\(error)")
        case .storage: CommandFailure(.inputOutput, code: "io_error", "\(error)")
        case .damaged: CommandFailure(.inputOutput, code: "damaged", "\(error)")
        case .idReused: CommandFailure(.invalidData, code: "id_reused", "\(error)")
        case .noEntry: CommandFailure(.notFound, code: "not_in_outbox", "\(error)")
        case .ambiguous: CommandFailure(.usage, code: "usage", "\(error)")
        }
    }

    private static func translate(_ error: PatternError) -> CommandFailure {
        switch error {
        case .invalid, .tooLong, .runaway: CommandFailure(.invalidData, code: "bad_pattern", "\(error)")
        case .failed: CommandFailure(.inputOutput, code: "io_error", "\(error)")
        }
    }

    private static func translate(_ error: ReplicaError) -> CommandFailure {
        switch error {
        case .locked: CommandFailure(.temporary, code: "locked", "\(error)")
        case .storage(.disk(let error)), .storage(.log(.disk(let error))): CommandFailure(error)
        case .storage(let error) where error.isFull: CommandFailure(full: "\(error)")
        case .storage where error.isBusyDatabase:
            CommandFailure(.temporary, code: "locked", "\(error); try again later")
        case .storage where error.isDamage:
            CommandFailure(.inputOutput, code: "io_error", "\(error); run 'natter verify', then 'natter sync'")
        case .storage(let archive) where archive.isNewer:
            CommandFailure(.configuration, code: "newer_format", "\(error)")
        case .storage: CommandFailure(.inputOutput, code: "io_error", "\(error)")
        case .malformedAnswer, .hole: CommandFailure(.badProtocol, code: "bad_protocol", "\(error)")
        }
    }

    private static func translate(_ error: RequestError) -> CommandFailure {
        switch error {
        case .transport(.certificate, _): CommandFailure(.unavailable, code: "certificate", "\(error)")
        case .transport(.unreadable, _): CommandFailure(.noInput, code: "cannot_read", "\(error)")
        case .transport(.malformedCertificates, _): CommandFailure(.invalidData, code: "bad_file", "\(error)")
        case .transport(.tooFewFiles, _): CommandFailure(.inputOutput, code: "io_error", "\(error)")
        case .transport(.protocolError, _), .foreign: CommandFailure(.badProtocol, code: "bad_protocol", "\(error)")
        case .transport(.aborted(let cause), _): translate(cause)
        case .transport: CommandFailure(.unavailable, code: "not_reached", "\(error)")
        case .unanswered(_, _, let path):
            CommandFailure(.unavailable, code: "outcome_unknown", "\(error); \(look(afterLosing: path))")
        case .refused(let refusal): translate(refusal)
        }
    }

    /// How to find out whether the server carried out a change.
    ///
    /// - Parameter path: of the request.
    private static func look(afterLosing path: String) -> Phrase {
        let parts = path.split(whereSeparator: { $0 == "/" || $0 == "?" }).dropFirst()
        return switch parts.first {
        case "register": "try 'natter login' before you repeat it"
        case "login": "log in again; 'natter session' then shows whether there is a session too many"
        case "logout": "'natter session' shows it after the next login"
        case "password": "try 'natter login' with the new password before you repeat it"
        case "tokens": "look with 'natter token ls' before you repeat it"
        case "sessions": "look with 'natter session ls' before you repeat it"
        case "groups" where parts.contains("members"):
            "look with 'natter group ls' and 'natter group members' before you repeat it"
        case "groups": "look with 'natter group ls' before you repeat it"
        case "admin": "look with 'natter admin log --audit' before you repeat it"
        // Read marks, contacts and blocked users.
        case "conversations", "contacts", "blocks": "you can safely repeat it"
        default: "look before you repeat it"
        }
    }

    private static func translate(_ refusal: RequestError.Refusal) -> CommandFailure {
        CommandFailure(exitCode(of: refusal), code: refusal.code, "\(refusal.phrase)\(remedy(for: refusal))")
    }

    private static func exitCode(of refusal: RequestError.Refusal) -> ExitCode {
        switch ErrorCode(rawValue: refusal.code) {
        case .lastAdmin: .refused
        case .outcomeUnknown: .unavailable
        case .misdirected: .configuration
        // An unknown path means that the server has another version of the API.
        case .notFound, .methodNotAllowed, .unsupportedMediaType: .badProtocol
        default:
            switch refusal.status {
            case 400, 409, 410, 413, 422: .invalidData
            case 401, 403: .refused
            case 404: .notFound
            case 429, 503, 507: .temporary
            case 500...: .inputOutput
            default: .badProtocol
            }
        }
    }

    /// How to get a token that is good instead of one that is not.
    ///
    /// - Parameter tokenFile: where that is from, if not from a login.
    static func renewal(of tokenFile: String?) -> Phrase {
        tokenFile.map { "make another one with 'natter token create', and put it into '\($0)'" }
            ?? "run 'natter login NAME' again"
    }

    private static func remedy(for refusal: RequestError.Refusal) -> Phrase {
        return switch ErrorCode(rawValue: refusal.code) {
        case .unauthorized: "; \(renewal(of: refusal.tokenFile))"
        case .noSuchUser: "; 'natter users' lists them"
        case .noSuchConversation: "; 'natter ls' lists yours, and '@NAME' is the one with a user"
        // A server that says when says it in its message, too; of a line among others only there.
        case .slowDown, .busy:
            refusal.retryAfterSeconds == nil && !refusal.phrase.english.contains("try again") ? "; try again later" : ""
        case .diskFull: "; try again when the server has free space"
        case .notFound, .methodNotAllowed, .unsupportedMediaType: "; is this a newer or older server?"
        case .damaged: "; its administrator can run 'natterd fsck'"
        default: ""
        }
    }
}
