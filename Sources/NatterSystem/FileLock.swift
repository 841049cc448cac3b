internal import Glibc

/// A lock that belongs to this process and goes with it, on a file of its own: `flock(2)`.
public final class FileLock: DiskLock {
    private let descriptor: Int32

    private init(descriptor: Int32) { self.descriptor = descriptor }

    /// Tries to take the lock, and waits up to `timeoutMilliseconds` for it. Makes the file if need be, but not its directory.
    ///
    /// - Returns: nil if somebody else still holds it. Dropping the value lets the lock go.
    /// - Throws: `DiskError`, with `isMissing` also where the directory was removed while this waited.
    public static func take(_ path: String, timeoutMilliseconds: Int = 0) throws(DiskError) -> FileLock? {
        var descriptor = try openFile(path)
        let deadline = MonotonicClock.now() + Int64(timeoutMilliseconds)
        var pause: UInt32 = 200
        while true {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
                if isFile(descriptor, at: path) { return FileLock(descriptor: descriptor) }
                // Its last holder has removed it: nobody else would meet us at this one.
                close(descriptor)
                descriptor = try openFile(path)
                continue
            }
            guard errno == EWOULDBLOCK || errno == EINTR else {
                let error = DiskError(operation: "lock", path: path)
                close(descriptor)
                throw error
            }
            // flock has no time-out of its own; an alarm signal would be the process's, not ours.
            guard MonotonicClock.now() < deadline else {
                close(descriptor)
                return nil
            }
            usleep(pause)
            pause = min(pause * 2, 10_000)
        }
    }

    private static func openFile(_ path: String) throws(DiskError) -> Int32 {
        let descriptor = retrying { open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600) }
        guard descriptor >= 0 else { throw DiskError(operation: "open", path: path) }
        return descriptor
    }

    /// Whether what is open is what others find there.
    private static func isFile(_ descriptor: Int32, at path: String) -> Bool {
        var (opened, found) = (stat(), stat())
        guard fstat(descriptor, &opened) == 0, lstat(path, &found) == 0 else { return false }
        return (opened.st_dev, opened.st_ino) == (found.st_dev, found.st_ino)
    }

    deinit {
        // Closing alone would leave it with a process that is being started just now, until that has closed its copy.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }
}
