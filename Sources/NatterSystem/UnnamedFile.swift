internal import Glibc

/// A temporary file that no directory names, gone with its last reference.
public final class UnnamedFile: Sendable {
    private let file: PosixFile

    public init(directory: String) throws(DiskError) {
        // Read from <fcntl.h>: __O_TMPFILE | O_DIRECTORY, which Swift cannot import.
        let temporary: Int32 = 0o20_000_000 | O_DIRECTORY
        let descriptor = retrying { open(directory, O_RDWR | O_CLOEXEC | temporary, 0o600) }
        guard descriptor >= 0 else { throw DiskError(operation: "make a temporary file in", path: directory) }
        file = PosixFile(descriptor: descriptor, path: directory)
    }

    public func write(_ bytes: [UInt8], at offset: UInt64) throws(DiskError) { try file.write(bytes, at: offset) }

    public func read(count: Int, at offset: UInt64) throws(DiskError) -> [UInt8] {
        try file.read(count: count, at: offset)
    }
}
