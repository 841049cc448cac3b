internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterSystem

extension HealthCheck {
    private static let lockMilliseconds = 2_000
    private static let leastFreeBytes: UInt64 = 100 << 20
    private static let largestWALBytes: UInt64 = 64 << 20

    mutating func checkReplica(_ location: ReplicaLocation) {
        let disk = PosixDisk()
        do {
            // Before the first sync, the directory is not there yet.
            var place = location.directory
            while try disk.information(place) == nil, place != Path.directory(of: place) {
                place = Path.directory(of: place)
            }
            let free = try checkRoom(place, disk)
            guard place == location.directory, let replica = try Replica.open(at: location)
            else {
                return tell("replica: nothing has been synced yet")
            }
            checkMode(location.directory, forbidden: 0o077, allowed: "700")
            checkLock(location)
            try checkSizes(location, free: free, disk)
            try replica.checkDatabase(setsAside: false)
            try checkContent(replica)
            try checkIndex(replica)
        } catch {
            add(
                Finding(
                    .replica, error,
                    else: "make sure that '\(location.directory)' can be read and written, then run 'natter verify'"))
        }
    }

    private mutating func checkLock(_ location: ReplicaLocation) {
        do {
            if try FileLock.take(location.lockPath, timeoutMilliseconds: HealthCheck.lockMilliseconds) == nil {
                add(
                    .replica, "another natter process has held '\(location.lockPath)' for over 2 s",
                    "wait for it; 'fuser' shows the process")
            }
        } catch {
            add(Finding(.replica, error, else: "make sure that '\(location.directory)' can be read and written"))
        }
    }

    /// - Returns: how many bytes are free.
    private mutating func checkRoom(_ directory: String, _ disk: PosixDisk) throws -> UInt64 {
        let free = try disk.freeBytes(directory)
        guard free < HealthCheck.leastFreeBytes else { return free }
        add(
            .replica, "only \(free >> 20) MiB are free on the file system of '\(directory)'",
            "free some space or move the home directory")
        return free
    }

    private mutating func checkSizes(_ location: ReplicaLocation, free: UInt64, _ disk: PosixDisk) throws {
        for path in [location.databasePath, location.searchPath] {
            let size = try disk.information(path + "-wal")?.size ?? 0
            guard size > HealthCheck.largestWALBytes else { continue }
            add(
                .replica, "'\(path)-wal' has grown to \(size >> 20) MiB",
                "stop long-running natter commands, then run 'natter sync'")
        }
        for name in ["quarantine", "diverged"] {
            let directory = "\(location.directory)/\(name)"
            guard try disk.information(directory) != nil, try !disk.list(directory).isEmpty else { continue }
            add(
                .replica,
                name == "diverged"
                    ? "messages that the server no longer has were moved to '\(directory)'"
                    : "data that could not be read was moved to '\(directory)'", "remove it when you no longer need it")
        }
        tell("replica: \(try HealthCheck.size(of: location.directory, disk) >> 10) KiB, \(free >> 20) MiB free")
    }

    private mutating func checkContent(_ replica: Replica) throws {
        for conversation in try replica.conversations(includingGone: true) where conversation.gapCount > 0 {
            let count = try replica.gaps(of: conversation).reduce(into: UInt64(0)) {
                $0 &+= $1.upperBound.rawValue - $1.lowerBound.rawValue + 1
            }
            add(
                .replica,
                .plural(
                    count,
                    "\(count) message of '\(conversation.name)' is missing, because it was damaged here or on the server",
                    "\(count) messages of '\(conversation.name)' are missing, because they were damaged here or on the server"
                ),
                "run 'natter sync'; if it does not fetch them, ask the administrator to run 'natterd fsck'")
        }
        if let time = replica.lastSync() { tell("replica: synced \(Age.text(of: time, now: context.now))") }
    }

    /// An index that is behind is no problem: a first sync leaves it to the first search.
    private mutating func checkIndex(_ replica: Replica) throws {
        let count = try replica.countNotIndexed()
        tell(
            count == 0
                ? "index: complete"
                : .plural(
                    count, "index: \(count) message not indexed yet; the next 'natter search' adds it",
                    "index: \(count) messages not indexed yet; the next 'natter search' adds them"))
    }

    private static func size(of path: String, _ disk: PosixDisk) throws -> UInt64 {
        guard let found = try disk.information(path) else { return 0 }
        guard found.isDirectory else { return found.size }
        return try disk.list(path).reduce(0) { $0 &+ (try size(of: "\(path)/\($1)", disk)) }
    }
}
