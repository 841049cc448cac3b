internal import CSystem
public import Glibc
public import NatterLanguage

/// A call to the operating system that failed.
public struct DiskError: Error, Equatable, PhraseConvertible {
    public let code: Int32
    /// What was tried, as a verb: `open`, `write`, `sync` …
    public let operation: String
    public let path: String

    public init(code: Int32 = errno, operation: String, path: String) {
        (self.code, self.operation, self.path) = (code, operation, path)
    }

    /// No room left: a clean refusal, nothing is wrong with the disk.
    public var isFull: Bool { code == ENOSPC || code == EDQUOT || code == EFBIG }
    public var isMissing: Bool { code == ENOENT }
    /// The disk could not give back what is there.
    public var isUnreadable: Bool { code == EIO }

    /// The disk did not do what it was told to, so what it holds is not known. A call that only looks leaves nothing open.
    public var leavesUnknown: Bool { code == EIO && !DiskError.looks.contains(operation) }
    private static let looks: Set<String> = [
        "open", "open directory", "read", "list", "look at", "look at the file system of",
    ]

    public var phrase: Phrase { "cannot \(Phrase(key: operation)) '\(path)': \(DiskError.text(of: code))" }

    /// The C library's words for an error number, in lower case as our messages are. They are translated as ours are: the
    /// C library's own catalogues are on few machines.
    public static func text(of code: Int32) -> Phrase {
        guard let description = natter_error_text(code) else { return "error \(code)" }
        let words = String(cString: description)
        return Phrase(key: words.prefix(1).lowercased() + words.dropFirst())
    }
}
