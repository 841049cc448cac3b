internal import Glibc
internal import NatterSystem

/// Reads the files of a certificate and its key. It follows symbolic links, because tools that renew certificates
/// replace links.
enum SecretFile {
    private static let limit = 1 << 20
    /// Debian's group for programs that may read the keys in `/etc/ssl/private`.
    private static let keyGroup = "ssl-cert"

    static func read(_ path: String, isKey: Bool) throws(TLSError) -> [UInt8] {
        // Open without blocking, so that a pipe given by mistake does not hang.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .cannotRead(path: path, reason: Errno.current.phrase) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .cannotRead(path: path, reason: Errno.current.phrase) }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size <= limit else { throw .noFile(path: path) }
        if isKey, isExposed(status) { throw .exposedKey(path: path, mode: status.st_mode & 0o777) }
        var bytes = [UInt8](repeating: 0, count: limit)
        var count = 0
        while count < bytes.count {
            let more = bytes.withUnsafeMutableBytes { rest in
                retrying { Glibc.read(descriptor, rest.baseAddress?.advanced(by: count), rest.count - count) }
            }
            guard more >= 0 else { throw .cannotRead(path: path, reason: Errno.current.phrase) }
            if more == 0 { break }
            count += more
        }
        return Array(bytes.prefix(count))
    }

    /// True if users other than the owner can read or write the file. Two groups may read keys: root's, through which
    /// systemd passes credentials, and Debian's ssl-cert.
    private static func isExposed(_ status: stat) -> Bool {
        if status.st_mode & 0o037 != 0 { return true }
        return status.st_mode & 0o040 != 0 && status.st_gid != 0 && status.st_gid != groupNumber(keyGroup)
    }

    private static func groupNumber(_ name: String) -> gid_t? {
        var entry = group()
        var found: UnsafeMutablePointer<group>?
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16 << 10) { buffer in
            guard let start = buffer.baseAddress, getgrnam_r(name, &entry, start, buffer.count, &found) == 0 else {
                return nil
            }
            return found?.pointee.gr_gid
        }
    }
}
