internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterSystem

extension Examination {
    private static let lockMilliseconds = 2_000
    private static let leastFreeBytes: UInt64 = 100 << 20
    private static let largestWALBytes: UInt64 = 64 << 20
    /// To look through so many one by one takes no time that one would notice.
    private static let mostNotIndexed: UInt64 = 10_000

    mutating func checkReplica(_ location: ReplicaLocation) {
        let disk = PosixDisk()
        do {
            guard try disk.information(location.directory) != nil, let replica = try Replica.open(at: location) else {
                return tell("replica: nothing was synced yet")
            }
            checkMode(location.directory, forbidden: 0o077, allowed: "700")
            try checkLock(location)
            try checkSizes(location, disk)
            try checkContent(replica)
            try checkIndex(replica)
        } catch {
            add(
                Finding(
                    .replica, error,
                    else:
                        "use 'natter verify'; what cannot be read comes anew after 'natter logout --forget' and a login"
                ))
        }
    }

    private mutating func checkLock(_ location: ReplicaLocation) throws {
        if try FileLock.take(location.lockPath, timeoutMilliseconds: Examination.lockMilliseconds) == nil {
            add(
                .replica, "another natter has held '\(location.lockPath)' for over 2 s",
                "wait for it; 'fuser' tells which process it is")
        }
    }

    private mutating func checkSizes(_ location: ReplicaLocation, _ disk: PosixDisk) throws {
        let free = try disk.freeBytes(location.directory)
        if free < Examination.leastFreeBytes {
            add(
                .replica, "only \(free >> 20) MiB are free where '\(location.directory)' lies",
                "make room, or move the home")
        }
        for path in [location.databasePath, location.searchPath] {
            let size = try disk.information(path + "-wal")?.size ?? 0
            guard size > Examination.largestWALBytes else { continue }
            add(
                .replica, "'\(path)-wal' has grown to \(size >> 20) MiB",
                "end natter commands that run for long, then use 'natter sync'")
        }
        for name in ["quarantine", "diverged"] {
            let directory = "\(location.directory)/\(name)"
            guard try disk.information(directory) != nil, try !disk.list(directory).isEmpty else { continue }
            add(
                .replica,
                name == "diverged"
                    ? "messages that the server no longer has were put aside in '\(directory)'"
                    : "what could not be read was put aside in '\(directory)'", "remove it once it is of no use")
        }
        tell("replica: \(try Examination.size(of: location.directory, disk) >> 10) KiB, \(free >> 20) MiB free")
    }

    private mutating func checkContent(_ replica: Replica) throws {
        for conversation in try replica.conversations(includingGone: true) where conversation.gapCount > 0 {
            let count = try replica.gaps(of: conversation).reduce(into: UInt64(0)) {
                $0 &+= $1.upperBound.rawValue - $1.lowerBound.rawValue + 1
            }
            add(
                .replica,
                .plural(
                    count, "\(count) message of '\(conversation.name)' missing, as the server could not give it",
                    "\(count) messages of '\(conversation.name)' missing, as the server could not give them"),
                "ask its administrator for 'natterd fsck', then use 'natter sync'")
        }
        if let time = replica.lastSync() { tell("replica: synced \(Age.text(of: time, now: context.now))") }
    }

    private mutating func checkIndex(_ replica: Replica) throws {
        let count = try replica.countNotIndexed()
        guard count > Examination.mostNotIndexed else {
            return tell(
                .plural(count, "index: \(count) message to be added", "index: \(count) messages to be added"))
        }
        add(
            .index,
            .plural(
                count, "\(count) message not in the search index, which makes a search slow",
                "\(count) messages not in the search index, which makes a search slow"),
            "any 'natter search' adds them")
    }

    private static func size(of path: String, _ disk: PosixDisk) throws -> UInt64 {
        guard let found = try disk.information(path) else { return 0 }
        guard found.isDirectory else { return found.size }
        return try disk.list(path).reduce(0) { $0 &+ (try size(of: "\(path)/\($1)", disk)) }
    }
}
