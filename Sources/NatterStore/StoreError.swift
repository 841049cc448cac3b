internal import NatterConversation
internal import NatterLog
internal import NatterSQLite
public import NatterModel
internal import NatterSystem

/// Why the store refused or failed. Each case has a code in the public interface.
public enum StoreError: FailureConvertible, Equatable {
    /// Too many requests are waiting; nothing was done.
    case busy
    /// The disk failed during the write, or the answer of a shared database was lost, so the result is unknown. A retry with the
    /// same key is safe.
    case outcomeUnknown
    /// The database that keeps the store can't be reached; nothing was done.
    case databaseAway
    /// Another session of the database that keeps the store holds a lock; nothing was done.
    case databaseLocked
    /// The data directory is not where it was at the start; nothing was done.
    case directoryMoved
    /// The disk is full; nothing was done.
    case diskFull
    /// How long messages of a conversation are kept was stored, but the disk is too full to drop those that are due.
    case notDropped(String)
    /// An erasure has begun, but the disk is too full to end it. The next start does.
    case notErased
    /// The store was closed before an erasure was finished.
    case stoppedErasing
    /// The token was revoked or has expired, or its account was disabled.
    case unauthorized
    case noSuchUser(String)
    /// A user who is not a member of the group.
    case notInGroup(String, group: String)
    case noSuchConversation(String)
    case noSuchMessage(Seq, conversation: String)
    /// A message that can't be answered, edited or deleted.
    case badAbout(Phrase)
    case notAMember(String, leaving: Bool = false)
    case forbidden(Phrase)
    /// The other user does not accept personal messages from the sender.
    case blocked(String)
    /// A user who is to be added to a group has blocked the one who adds.
    case blockedByMember(String)
    case lastAdmin(String)
    /// An admin who would leave a server that nobody can administer remotely.
    case lastServerAdmin(String)
    /// An invitation that does not exist, has expired or was used.
    case badInvite
    case nameTaken(String)
    case badName(String, NameError)
    case badText(TextError)
    case idReused(String)
    /// A line after a refused one, in a request that stops at the first refusal.
    case notTried
    /// Beyond a limit of the account.
    case slowDown(Phrase, seconds: Int)
    /// Beyond a limit that is not the asker's own.
    case quota(Phrase)
    case fileLimit(FileLimit)
    case badFileName
    /// A message with files that it can't have.
    case badFiles
    /// What a message names as an upload is none of this user's for this conversation, or was not named in time, or is named already.
    case noSuchUpload
    /// A file that the asker may not know, or nobody does.
    case noSuchFile
    /// A file whose message was deleted or erased.
    case fileGone
    case notSupported(Phrase)
    /// A search query that is malformed.
    case badQuery(Phrase)
    case badCursor(Phrase)
    case cursorExpired(Phrase)
    /// A cursor that is below the first message that is kept.
    case notKept(first: Seq)
    case damaged(from: Seq, to: Seq, detail: Phrase)
    /// SQLite calls the database corrupt.
    case damagedDatabase(Phrase)
    /// Any other error of the disk or the database.
    case failed(Phrase)

    /// Its code word is the one of the API, where there is one. The phrases are for the API, too, so a remedy is a part of them.
    public var failure: CommandFailure {
        func failure(_ exitCode: ExitCode, _ code: String, _ phrase: Phrase) -> CommandFailure {
            CommandFailure(exitCode, code: code, phrase)
        }
        return switch self {
        case .busy: failure(.temporary, "busy", "the server is busy; try again in a moment")
        case .databaseAway:
            failure(.temporary, "busy", "the server can't reach its database; try again in a moment")
        case .databaseLocked:
            failure(
                .temporary, "busy", "another session holds a lock in the server's database; try again in a moment")
        case .stoppedErasing:
            failure(.temporary, "busy", "the server stopped before everything was erased; repeat the command")
        case .outcomeUnknown:
            .inputOutput("it is not known whether this was done; look before you run the command again")
        case .directoryMoved: .inputOutput("the server's data directory was moved or removed; nothing was stored")
        case .damagedDatabase(let detail): failure(.inputOutput, "damaged", detail)
        case .failed(let detail): .inputOutput(detail)
        case .damaged(let from, let to, let detail):
            failure(.inputOutput, "damaged", "messages \(from) to \(to) are damaged: \(detail)")
        case .diskFull: failure(.temporary, "disk_full", "the server's disk is full; nothing was stored")
        case .notDropped(let name):
            failure(
                .temporary, "disk_full",
                "the time is set, but old messages of '\(name)' are still there, because the disk is full; free some space and repeat the command"
            )
        case .notErased:
            failure(
                .temporary, "disk_full",
                "the erasure has begun, but could not be finished, because the disk is full; free some space and repeat the command"
            )
        case .unauthorized: failure(.refused, "unauthorized", "the session has ended, or the token was revoked")
        case .noSuchUser(let name): failure(.notFound, "no_such_user", "no user is named '\(name)'")
        case .notInGroup(let name, let group): failure(.notFound, "no_such_user", "'\(name)' is not in '\(group)'")
        case .noSuchConversation(let name):
            failure(.notFound, "no_such_conversation", "there is no conversation '\(name)'")
        case .noSuchMessage(let seq, let name):
            failure(.notFound, "no_such_message", "there is no message \(seq) in '\(name)'")
        case .badAbout(let why): failure(.invalidData, "bad_about", why)
        case .notAMember(let name, leaving: false):
            failure(.refused, "not_a_member", "you are not a member of '\(name)'; it is open, so join it first")
        case .notAMember(let name, leaving: true):
            failure(.refused, "not_a_member", "you are not a member of '\(name)'")
        case .forbidden(let what): failure(.refused, "forbidden", what)
        case .badInvite:
            failure(
                .refused, "registration_closed", "registration needs an invitation, and this one is not valid")
        case .blocked(let name): failure(.refused, "blocked", "'\(name)' does not take messages from you")
        case .blockedByMember(let name):
            failure(.refused, "blocked", "'\(name)' has blocked you, so you can't add them to a group")
        case .slowDown(let why, _): failure(.temporary, "slow_down", why)
        case .quota(let why): failure(.refused, "quota", why)
        case .fileLimit(let limit):
            switch limit.kind {
            case .file: failure(.invalidData, "too_large", limit.phrase)
            case .account: failure(.refused, "quota", limit.phrase)
            case .total: failure(.temporary, "disk_full", limit.phrase)
            }
        case .badFileName:
            failure(
                .invalidData, "bad_name",
                "a file's name has 1 to 255 bytes and no control characters, and is neither '.' nor '..'")
        case .badFiles:
            failure(
                .invalidData, "bad_request",
                "a text has at most \(Limits.filesPerMessage) files, each once; an edit or a deletion has none")
        case .noSuchUpload:
            failure(
                .notFound, "not_found",
                "there is no such upload of yours for this conversation, or it was not used in a day; upload the file again"
            )
        case .noSuchFile: failure(.notFound, "not_found", "there is no such file")
        case .fileGone: failure(.invalidData, "gone", "the message of this file was deleted or erased")
        case .notSupported(let why): failure(.unavailable, "not_supported", why)
        case .lastAdmin(let name):
            failure(
                .refused, "last_admin",
                "the last admin of '\(name)' can neither leave nor be demoted; promote another first")
        case .lastServerAdmin(let name):
            failure(
                .refused, "last_admin",
                "'\(name)' is the server's last admin and cannot be disabled, demoted or deleted; promote another user first"
            )
        case .nameTaken(let name):
            failure(.invalidData, "name_taken", "the name '\(name)' is taken; choose another one")
        case .badName(let name, let error): failure(.invalidData, "bad_name", "the name '\(name)' \(error)")
        case .badText(let error): error.failure
        case .idReused(let key):
            failure(.invalidData, "id_reused", "the id '\(key)' was used before with other content")
        case .notTried: failure(.invalidData, "not_tried", "not tried, because an earlier line was refused")
        case .badQuery(let why): failure(.invalidData, "bad_request", why)
        case .badCursor(let why): failure(.invalidData, "bad_cursor", why)
        case .cursorExpired(let why): failure(.invalidData, "cursor_expired", why)
        case .notKept(let first):
            failure(
                .invalidData, "cursor_expired",
                "older messages are not kept; the first one is \(first), so go on with after=\(first.previous)")
        }
    }

    public var phrase: Phrase {
        self == .outcomeUnknown
            ? "it is not known whether this was stored; ask for it, or repeat it with the same id" : failure.problem
    }

    public static var noFilesInPostgres: StoreError {
        .notSupported("this server keeps its messages in PostgreSQL, where they can't have files")
    }

    /// Why work that has begun did not end. Unlike a request that a full disk refuses, it has stored something.
    var cause: Phrase { self == .diskFull ? "the disk is full" : phrase }

    /// Whether a shared database can't be used at the moment.
    var isOfDatabase: Bool { self == .databaseAway || self == .databaseLocked }

    /// Converts an error of the targets below.
    public init(_ error: any Error) {
        if let error = error as? StoreError {
            self = error
            return
        }
        if let error = error as? StoreOpenError {
            // A shared store is opened again if its log went back.
            self = .failed(error.phrase)
            return
        }
        if let error = error as? PostgresError {
            self =
                switch error {
                case _ where error.isLocked: .databaseLocked
                case _ where error.isRace || error.isHeldUp: .busy
                case _ where error.isPassing: .databaseAway
                case _ where error.isFull: .diskFull
                default: .failed(error.phrase)
                }
            return
        }
        switch ArchiveError(error) {
        case .damaged(let from, let to, let detail): self = .damaged(from: from, to: to, detail: detail)
        case .unreadable(let from, let to, let error): self = .damaged(from: from, to: to, detail: error.phrase)
        case let error where error.isFull: self = .diskFull
        case .disk(let error) where error.code == .connectionRefused: self = .databaseAway
        case .log(.disk(let error)) where error.code == .connectionRefused: self = .databaseAway
        case .disk(let error) where error.isLocked: self = .databaseLocked
        case .log(.disk(let error)) where error.isLocked: self = .databaseLocked
        case .index(let error) where error.reason == .busy: self = .busy
        case .index(let error) where error.reason == .corrupt: self = .damagedDatabase(error.phrase)
        case let error: self = .failed(error.phrase)
        }
    }
}

extension DiskError {
    /// Whether `PostgresDisk` has waited in vain for a lock. A disk of files says no more than the number.
    fileprivate var isLocked: Bool { code == .resourceBusy && reason != nil }
}
