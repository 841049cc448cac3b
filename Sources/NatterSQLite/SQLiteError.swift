internal import CSQLite
public import NatterModel
public import NatterSystem

/// A failed call to SQLite.
public struct SQLiteError: FailureConvertible, Equatable {
    public enum Reason: Sendable, Equatable {
        /// The disk is full. Nothing was changed.
        case full
        /// An I/O error. The content of the file is unknown.
        case inputOutput
        /// The file is damaged, or not a database.
        case corrupt
        /// Another process holds the lock.
        case busy
        /// A constraint of the schema was violated.
        case constraint
        /// The file can't be opened.
        case cannotOpen
        /// A newer natter made the file.
        case newerSchema
        /// A ``WorkBudget`` is used up. Nothing was changed.
        case overBudget
        case other
    }

    public let reason: Reason
    /// SQLite's extended result code.
    public let code: Int32
    public let message: Phrase
    public let path: String
    /// The error of the system's call that failed; nil if none did, or SQLite does not say.
    public let systemError: Errno?

    public init(reason: Reason, code: Int32 = 0, message: Phrase, path: String, systemError: Errno? = nil) {
        (self.reason, self.code, self.message, self.path) = (reason, code, message, path)
        self.systemError = systemError
    }

    /// Whether this process could not open a file, which says nothing about what is in it.
    public var isOfProcess: Bool { systemError?.isOfProcess ?? false }

    /// Whether it says something about what is in the file: it is damaged, or a page of it can't be read. After any other, such as
    /// that of a lock or of the file beside the write-ahead log, it may be whole.
    public var isOfContent: Bool {
        switch reason {
        case .busy, .full, .cannotOpen, .overBudget: false
        // A failed read counts only with the error of a disk; a short one has none.
        case .inputOutput: SQLiteError.readCodes.contains(code) && (systemError == nil || systemError == .ioError)
        case .corrupt, .constraint, .newerSchema: !isOfProcess
        case .other: !isOfProcess && ![SQLITE_NOMEM, SQLITE_PROTOCOL].contains(code & 0xFF)
        }
    }

    /// A write or sync failed, so the content of the file is unknown.
    public var leavesUnknown: Bool { reason == .inputOutput && !SQLiteError.lookCodes.contains(code) }

    // Macros that Swift can't import.
    static let shortRead = SQLITE_IOERR | 2 << 8
    /// Codes of failed reads: read, short read, and a read that fails with EIO.
    private static let readCodes: Set<Int32> = [SQLITE_IOERR | 1 << 8, shortRead, SQLITE_IOERR | 33 << 8]
    /// Codes of failed calls that change nothing: these, file size and access.
    private static let lookCodes = readCodes.union([SQLITE_IOERR | 7 << 8, SQLITE_IOERR | 13 << 8])

    static let write = SQLITE_IOERR | 3 << 8
    /// Codes of the file beside the write-ahead log (`-shm`): open, size, map.
    private static let sharedMemoryCodes: Set<Int32> = [
        SQLITE_IOERR | 18 << 8, SQLITE_IOERR | 19 << 8, SQLITE_IOERR | 21 << 8,
    ]

    /// Whether a call failed for want of room, although its code says I/O error. SQLite has a code of its own only for a write
    /// with ENOSPC, not for a quota. A limit of the file's size is not meant: no room that anybody makes ends it.
    ///
    /// A write that was refused is rolled back like that one, and the index of the write-ahead log comes before all others. After
    /// a sync nobody knows which writes were lost, whatever its number is.
    ///
    /// - Parameter systemError: of that call.
    static func isFull(_ code: Int32, _ systemError: Errno?) -> Bool {
        switch systemError {
        case .diskQuotaExceeded: code == write || sharedMemoryCodes.contains(code)
        case .noSpace: sharedMemoryCodes.contains(code)
        default: false
        }
    }

    public var phrase: Phrase { reason == .full ? failure.problem : failure.message }

    public var failure: CommandFailure {
        switch reason {
        case .full: .full("no room left for '\(path)'")
        case .busy:
            CommandFailure(.temporary, code: "busy", "the database '\(path)' is locked by another process")
        case .newerSchema:
            CommandFailure(
                .configuration, code: "newer_format",
                "the database '\(path)' was made by a newer natter: \(message)", remedy: "use that one")
        case .corrupt: .inputOutput("the database '\(path)' is damaged: \(message)")
        case .cannotOpen: .inputOutput("cannot open the database '\(path)': \(message)")
        default: .inputOutput("database '\(path)': \(message)")
        }
    }
}
