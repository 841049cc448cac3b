internal import Glibc

/// An exclusive lock on a lock file or a directory, made with `flock(2)`. The kernel releases it when the process ends.
public final class FileLock: DiskLock {
    private let descriptor: Int32
    private let path: String

    private init(descriptor: Int32, path: String) { (self.descriptor, self.path) = (descriptor, path) }

    public var isInPlace: Bool { FileLock.isFile(descriptor, at: path) }

    /// Takes the lock, and waits for it up to `timeoutMilliseconds`. Creates the file if necessary, but no directory.
    ///
    /// - Returns: nil if another process still has it. The lock is released when the value is deallocated.
    /// - Throws: `DiskError`; `isMissing` also if the directory was removed during the wait.
    public static func take(_ path: String, timeoutMilliseconds: Int = 0) throws(DiskError) -> FileLock? {
        var descriptor = try openFile(path)
        let deadline = MonotonicClock.now() + Int64(timeoutMilliseconds)
        var pause: UInt32 = 200
        while true {
            if retrying({ flock(descriptor, LOCK_EX | LOCK_NB) }) == 0 {
                if isFile(descriptor, at: path) { return FileLock(descriptor: descriptor, path: path) }
                // The last holder removed this file, so another process would lock a new one. Lock the new one, too.
                close(descriptor)
                descriptor = try openFile(path)
                continue
            }
            guard errno == EWOULDBLOCK else {
                let error = DiskError(operation: "lock", path: path)
                close(descriptor)
                throw error
            }
            // flock has no timeout, and an alarm signal would belong to the whole process.
            guard MonotonicClock.now() < deadline else {
                close(descriptor)
                return nil
            }
            usleep(pause)
            pause = min(pause * 2, 10_000)
        }
    }

    private static func openFile(_ path: String) throws(DiskError) -> Int32 {
        var descriptor = retrying { open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600) }
        if descriptor < 0, errno == EISDIR {
            descriptor = retrying { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) }
        }
        guard descriptor >= 0 else {
            let code = Errno(rawValue: errno)
            throw DiskError(code: code, operation: access(path, F_OK) == 0 ? "open" : "create", path: path)
        }
        return descriptor
    }

    /// True if the open file is still the file at the path.
    private static func isFile(_ descriptor: Int32, at path: String) -> Bool {
        var (opened, found) = (stat(), stat())
        guard fstat(descriptor, &opened) == 0, lstat(path, &found) == 0 else { return false }
        return (opened.st_dev, opened.st_ino) == (found.st_dev, found.st_ino)
    }

    deinit {
        // A process that is being started may have a copy of the descriptor, so closing alone would not release the
        // lock.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }
}
