internal import Glibc
internal import NatterSystem

/// A file or standard input, read from its beginning to its end. For one thread.
final class InputFile {
    /// How messages name it: `standard input`, or the path in quotes.
    let label: String
    private let descriptor: Int32
    private let path: String

    /// - Parameter path: `-` is standard input.
    init(_ path: String) throws(DiskError) {
        if path == "-" {
            (descriptor, self.path, label) = (STDIN_FILENO, "standard input", "standard input")
        } else {
            descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw DiskError(operation: "open", path: path) }
            (self.path, label) = (path, "'\(path)'")
        }
    }

    deinit { if descriptor != STDIN_FILENO { close(descriptor) } }

    /// - Returns: how many bytes there were, 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if errno != EINTR { throw DiskError(operation: "read", path: path) }
        }
    }
}
