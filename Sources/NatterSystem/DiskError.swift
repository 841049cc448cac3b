internal import CSystem
internal import Glibc
public import NatterLanguage

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
    /// catalogues translate it, because few machines have the C library's own catalogue. Too many open files have a remedy.
    public var phrase: Phrase {
        guard let description = natter_error_text(rawValue) else { return "error \(rawValue)" }
        let words = String(cString: description)
        let phrase = Phrase(key: words.prefix(1).lowercased() + words.dropFirst())
        return self == .tooManyOpenFiles ? "\(phrase); raise the limit with 'ulimit -n' and try again" : phrase
    }
}

/// A failed call to the operating system.
public struct DiskError: Error, Equatable, PhraseConvertible {
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

    public var phrase: Phrase { "cannot \(Phrase(key: operation)) '\(path)': \(reason ?? code.phrase)" }
}
