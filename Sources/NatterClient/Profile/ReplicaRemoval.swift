internal import Glibc
internal import NatterSystem

extension ReplicaLocation {
    private static let lockMilliseconds = 10_000

    /// Deletes a replica for good, with all that was set aside in it. Nothing happens if there is none.
    ///
    /// - Throws: `ReplicaError.locked` while another command syncs into it; `DiskError`, with some files left in a
    ///   directory that no command looks at.
    public func remove() throws {
        let disk = PosixDisk()
        guard try disk.information(directory) != nil else { return }
        let lock: FileLock?
        do throws(DiskError) {
            lock = try FileLock.take(lockPath, timeoutMilliseconds: ReplicaLocation.lockMilliseconds)
        } catch {
            // Another process was faster.
            if error.isMissing { return }
            throw error
        }
        guard let lock else { throw ReplicaError.locked(path: lockPath) }
        defer { withExtendedLifetime(lock) {} }
        // Out of the way first: a replica is there with all of its files, or not at all.
        var generator = SystemRandomNumberGenerator()
        let removed = "\(directory).removed-\(generator.next() as UInt64)"
        try disk.rename(directory, to: removed)
        try disk.syncDirectory(Path.directory(of: directory))
        try ReplicaLocation.delete(removed, disk)
    }

    private static func delete(_ path: String, _ disk: PosixDisk) throws {
        guard try disk.information(path)?.isDirectory == true else { return try disk.remove(path) }
        for name in try disk.list(path) { try delete("\(path)/\(name)", disk) }
        if rmdir(path) != 0 { throw DiskError(operation: "remove", path: path) }
    }
}
