public import Glibc

/// A call to the operating system that failed.
public struct DiskError: Error, Equatable, CustomStringConvertible {
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

    public var description: String { "cannot \(operation) '\(path)': \(DiskError.text(of: code))" }

    /// The C library's words for an error number, in lower case as our messages are.
    public static func text(of code: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
        let words = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return words.prefix(1).lowercased() + words.dropFirst()
    }
}
