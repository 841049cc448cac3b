internal import Glibc

/// Files that a user has named, to be read from any place and more than once.
public enum ChosenFile {
    /// Opens a file. Links are followed. A pipe is read to its end first.
    ///
    /// - Parameter directory: for the bytes of a pipe.
    public static func open(_ path: String, spoolingIn directory: String) throws(DiskError) -> any DiskFile {
        let descriptor = retrying { Glibc.open(path, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw DiskError(operation: "open", path: path) }
        let file = PosixFile(descriptor: descriptor, path: path)
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw DiskError(operation: "look at", path: path) }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return file
        case S_IFDIR: throw DiskError(code: .isDirectory, operation: "read", path: path)
        default: return try withExtendedLifetime(file) { () throws(DiskError) in try spool(descriptor, in: directory) }
        }
    }

    /// Opens a file to write to its end, or makes it; no link is followed. Nobody else can read it.
    public static func openPart(_ path: String) throws(DiskError) -> any DiskFile {
        let descriptor = retrying { Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600) }
        guard descriptor >= 0 else { throw DiskError(operation: "create", path: path) }
        return PosixFile(descriptor: descriptor, path: path)
    }

    /// Gives a complete file its name.
    ///
    /// - Parameter replaces: whether another file may have the name. A link of this name is replaced, not followed.
    /// - Throws: `.fileExists` otherwise.
    public static func place(_ path: String, as target: String, replaces: Bool) throws(DiskError) {
        if !replaces {
            if link(path, target) == 0 {
                unlink(path)
                return
            }
            // Some file systems have no hard links.
            var status = stat()
            if errno == EEXIST || lstat(target, &status) == 0 {
                throw DiskError(code: .fileExists, operation: "create", path: target)
            }
        }
        if rename(path, target) != 0 { throw DiskError(operation: "create", path: target) }
    }

    /// The bytes of a descriptor to its end, in an unnamed file.
    public static func spool(_ descriptor: Int32, in directory: String) throws(DiskError) -> any DiskFile {
        let file = try UnnamedFile(directory: directory)
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        var offset: UInt64 = 0
        while true {
            let count = buffer.withUnsafeMutableBytes { readWaiting(descriptor, $0.baseAddress, $0.count) }
            guard count >= 0 else { throw DiskError(operation: "read", path: "standard input") }
            if count == 0 { return file.content }
            try file.write(Array(buffer[..<count]), at: offset)
            offset += UInt64(count)
        }
    }
}
