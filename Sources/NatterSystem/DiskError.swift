internal import CSystem
internal import Glibc
public import NatterModel

/// An error number of the operating system, with the names of swift-system. See errno(3).
public struct Errno: RawRepresentable, Hashable, Sendable, PhraseConvertible {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// The error number of the last failed call on this thread.
    public static var current: Errno { Errno(rawValue: errno) }

    public static let notPermitted = Errno(rawValue: EPERM)
    public static let noSuchFileOrDirectory = Errno(rawValue: ENOENT)
    public static let ioError = Errno(rawValue: EIO)
    public static let permissionDenied = Errno(rawValue: EACCES)
    public static let resourceBusy = Errno(rawValue: EBUSY)
    public static let fileExists = Errno(rawValue: EEXIST)
    public static let notADirectory = Errno(rawValue: ENOTDIR)
    public static let isDirectory = Errno(rawValue: EISDIR)
    public static let invalidArgument = Errno(rawValue: EINVAL)
    public static let tooManyOpenFiles = Errno(rawValue: EMFILE)
    public static let fileTooLarge = Errno(rawValue: EFBIG)
    public static let noSpace = Errno(rawValue: ENOSPC)
    public static let readOnlyFileSystem = Errno(rawValue: EROFS)
    public static let brokenPipe = Errno(rawValue: EPIPE)
    public static let connectionReset = Errno(rawValue: ECONNRESET)
    public static let tooManySymbolicLinkLevels = Errno(rawValue: ELOOP)
    /// A call that gave up after the time limit of its socket.
    public static let tryAgain = Errno(rawValue: EAGAIN)
    public static let connectionRefused = Errno(rawValue: ECONNREFUSED)
    public static let diskQuotaExceeded = Errno(rawValue: EDQUOT)

    /// True if this process could not open a file, or the system could not just now, which says nothing about what is in it.
    public var isOfProcess: Bool { [EMFILE, ENFILE, ENOMEM, EACCES].contains(rawValue) }

    /// The C library's description, such as "no space left on device", in lower case like all our messages. Our
    /// catalogues translate it, because few machines have the C library's own catalogue.
    public var problem: Phrase {
        guard let description = natter_error_text(rawValue) else { return "error \(rawValue)" }
        let words = String(cString: description)
        return Phrase(key: words.prefix(1).lowercased() + words.dropFirst())
    }

    /// What helps wherever this number is met.
    public var remedy: Phrase? {
        self == .tooManyOpenFiles ? "raise the limit with 'ulimit -n' and try again" : nil
    }

    public var phrase: Phrase { remedy.map { "\(problem); \($0)" } ?? problem }
}

/// A failed call to the operating system.
public struct DiskError: FailureConvertible, Equatable {
    public let code: Errno
    /// The attempted operation as a verb: `open`, `write`, `sync` …
    public let operation: String
    public let path: String
    /// The storage's own words instead of the number's description; nil for none.
    public let reason: Phrase?

    public init(code: Errno = .current, operation: String, path: String, reason: Phrase? = nil) {
        (self.code, self.operation, self.path, self.reason) = (code, operation, path, reason)
    }

    /// True if the disk is full. The disk is healthy, and nothing was written.
    public var isFull: Bool { [.noSpace, .diskQuotaExceeded, .fileTooLarge].contains(code) }
    /// True if this process may not write there.
    public var isReadOnly: Bool { [.readOnlyFileSystem, .permissionDenied].contains(code) }
    public var isMissing: Bool { code == .noSuchFileOrDirectory }
    /// True if the disk could not return its content.
    public var isUnreadable: Bool { code == .ioError }

    /// True if the content of the disk is unknown from now on. That is so after a failed change, but not after a failed
    /// read.
    public var leavesUnknown: Bool { code == .ioError && !DiskError.looks.contains(operation) }
    private static let looks: Set<String> = [
        "open", "open directory", "read", "list", "look at", "look at the file system of",
    ]

    private func saying(_ reason: Phrase) -> Phrase { "cannot \(Phrase(key: operation)) '\(path)': \(reason)" }
    fileprivate var problem: Phrase { saying(reason ?? code.problem) }
    public var phrase: Phrase { saying(reason ?? code.phrase) }

    /// 73 if the call was to create a file, 75 if the disk is full, else 74.
    public var failure: CommandFailure { failure(creating: operation == "create" || operation == "create directory") }

    public func failure(creating: Bool) -> CommandFailure {
        let remedy: Phrase? =
            switch code {
            case .permissionDenied: "run this as the user who owns it, or give that user the right to it"
            case .readOnlyFileSystem: "copy its directory to a disk that can be written, and use the copy"
            default: code.remedy
            }
        // Reading a file that is too large sets the same errno as a file that cannot grow.
        if isFull, operation != "read" {
            guard code == .fileTooLarge else { return .full(problem) }
            return .full(problem, remedy: "raise the limit with 'ulimit -f' and try again")
        }
        return creating && code != .tooManyOpenFiles
            ? CommandFailure(.cannotCreate, code: "cannot_create", problem, remedy: remedy)
            : .inputOutput(problem, remedy: remedy)
    }
}

extension CommandFailure {
    /// A file that the user named and that can't be read: 66, or 74 if the disk could not return what it holds.
    public init(unreadable error: DiskError) {
        self.init(unreadable: error.code, error.problem, remedy: error.code.remedy)
    }

    /// A file that can't be read, with a problem of the caller's.
    public init(unreadable code: Errno, _ problem: Phrase, remedy: Phrase? = nil) {
        self =
            code == .ioError
            ? .inputOutput(problem) : CommandFailure(.noInput, code: "cannot_read", problem, remedy: remedy)
    }
}
