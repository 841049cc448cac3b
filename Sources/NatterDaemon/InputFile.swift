internal import Glibc
internal import NatterCommandLine
internal import NatterSystem

/// The data of an operation.
protocol InputSource: AnyObject {
    /// - Returns: the number of bytes read; 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Int
}

/// A file or standard input, read once from beginning to end. Not thread-safe.
final class InputFile: InputSource {
    /// Its name in messages: `standard input`, or the path in quotes.
    let label: String
    private let descriptor: Int32
    private let path: String

    /// - Parameter path: `-` is standard input.
    /// - Throws: 66 if it can't be opened.
    init(_ path: String) throws(CommandFailure) {
        if path == "-" {
            (descriptor, self.path, label) = (STDIN_FILENO, "standard input", "standard input")
        } else {
            descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw CommandFailure(unreadable: DiskError(operation: "open", path: path)) }
            (self.path, label) = (path, "'\(path)'")
        }
    }

    deinit { if descriptor != STDIN_FILENO { close(descriptor) } }

    /// - Returns: the number of bytes read; 0 at the end.
    /// - Throws: 66 if it can't be read.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Int {
        let count = readWaiting(descriptor, buffer.baseAddress, buffer.count)
        if count < 0 { throw CommandFailure(unreadable: DiskError(operation: "read", path: path)) }
        return count
    }
}
