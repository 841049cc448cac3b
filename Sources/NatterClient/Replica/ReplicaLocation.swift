internal import Glibc
internal import NatterSystem
public import NatterModel

/// The place of the replica of one user of one store: `HOME/replicas/<store id>-<16 hex of the user's name>/`. That of
/// tokens that can't do all has `-<fingerprint of their scope>` behind it.
public struct ReplicaLocation: Sendable, Equatable {
    public let directory: String
    public let store: StoreID
    /// The account's name, as the server writes it.
    public let user: String

    public init(home: String, store: StoreID, user: String, limitedScope: String? = nil) {
        self.store = store
        self.user = user
        // A hash, because a name may contain characters that mean something to the file system.
        let hash = Hex.encode(Array(Digest(of: Array(user.utf8)).bytes.prefix(8)))
        directory = "\(home)/replicas/\(store)-\(hash)" + (limitedScope.map { "-\($0)" } ?? "")
    }

    /// The directory's name, which is unique to store and user.
    var directoryName: String { Path.name(of: directory) }

    public var databasePath: String { directory + "/replica.db" }
    /// The lock around every change in the directory. It is never held while waiting for the network.
    public var lockPath: String { directory + "/replica.lock" }
    /// The lock of a process that asks the server for everything again.
    var wholeLockPath: String { directory + "/whole.lock" }
    public var searchPath: String { directory + "/search.db" }
    /// The time of the last complete sync, as a line of text.
    var lastSyncPath: String { directory + "/last-sync" }
    /// The names of the user's groups, a line each.
    var groupNamesPath: String { directory + "/groups" }
    var divergedDirectory: String { directory + "/diverged" }
}

extension ReplicaLocation {
    /// Whether the user is in a group of this name, in any case, as the last sync left it.
    ///
    /// - Returns: nil if only the replica itself can tell, or the server.
    public func hasGroup(_ name: String) -> Bool? { GroupNames.contain(name, self, on: PosixDisk()) }

    /// Call it after a change of the user's groups on the server: until the next sync, `hasGroup` does not know.
    public func forgetGroups() { try? GroupNames.forget(self, on: PosixDisk()) }

    /// The time of the last complete sync; nil if there was none.
    public var lastSync: Timestamp? { LastSync.read(self, on: PosixDisk()) }

    /// Deletes a replica with everything that was set aside in it, and those of the user's limited tokens. If there is
    /// none, nothing happens.
    ///
    /// - Throws: `ReplicaError.locked` while another command syncs into it; `DiskError`, with some files left in a
    ///   directory that no command looks at.
    public func remove() throws {
        let parent = Path.directory(of: directory)
        guard try PosixDisk().information(parent) != nil else { return }
        let limited = try PosixDisk().list(parent).filter {
            $0.hasPrefix(directoryName + "-") && !$0.contains(".removed-")
        }
        for name in limited + [directoryName] { try ReplicaLocation(beside: self, named: name).removeThis() }
    }

    private init(beside other: ReplicaLocation, named name: String) {
        (store, user) = (other.store, other.user)
        directory = "\(Path.directory(of: other.directory))/\(name)"
    }

    private func removeThis() throws {
        let disk = PosixDisk()
        defer { removeRemains() }
        guard try disk.information(directory) != nil else { return }
        let lock: FileLock?
        do throws(DiskError) {
            lock = try FileLock.take(lockPath, timeoutMilliseconds: FileLock.patienceMilliseconds)
        } catch {
            // Another process was faster.
            if error.isMissing { return }
            throw error
        }
        guard let lock else { throw ReplicaError.locked(path: lockPath) }
        defer { withExtendedLifetime(lock) {} }
        // Renamed first, so that a replica exists with all its files or not at all.
        var generator = SystemRandomNumberGenerator()
        let removed = "\(directory).removed-\(generator.next() as UInt64)"
        try disk.rename(directory, to: removed)
        try disk.syncDirectory(Path.directory(of: directory))
        try ReplicaLocation.delete(removed, disk)
    }

    /// Deletes what a killed `remove()` has left, also of limited tokens.
    func removeRemains() {
        let disk = PosixDisk()
        let parent = Path.directory(of: directory)
        for name in (try? disk.list(parent)) ?? [] where name.hasPrefix(directoryName) && name.contains(".removed-") {
            // Another process may be doing the same.
            try? ReplicaLocation.delete("\(parent)/\(name)", disk)
        }
    }

    private static func delete(_ path: String, _ disk: PosixDisk) throws {
        guard try disk.information(path)?.isDirectory == true else { return try disk.remove(path) }
        for name in try disk.list(path) { try delete("\(path)/\(name)", disk) }
        if rmdir(path) != 0 { throw DiskError(operation: "remove", path: path) }
    }
}
