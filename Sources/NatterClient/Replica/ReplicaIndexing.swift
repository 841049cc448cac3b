internal import NatterConversation
internal import NatterModel
internal import NatterSearch
public import NatterSystem

/// Updates the search index with new messages of the replica. A command does this after its output.
public enum ReplicaIndexing {
    /// About how many messages one transaction adds.
    private static let batchCount = 20_000
    /// About how long the lock is held at a time.
    private static let turnMilliseconds: Int64 = 250
    /// How long messages are added at least, even if the time is up before it is known which.
    private static let leastMilliseconds: Int64 = 20

    /// Adds messages to the index until it has all or the time is up. A damaged index is deleted and rebuilt.
    ///
    /// - Parameters:
    ///   - budgetMilliseconds: about how long to work; nil for no limit.
    ///   - progress: called with the number of messages that were added so far.
    /// - Returns: whether the index has everything now. If another process holds the lock, it returns false at once.
    /// - Throws: `ReplicaError.storage`.
    @discardableResult
    public static func run(
        at location: ReplicaLocation, budgetMilliseconds: Int? = nil, disk: any Disk = PosixDisk(),
        progress: (Int) -> Void = { _ in }
    ) throws(ReplicaError) -> Bool {
        var count = 0
        let deadline = budgetMilliseconds.map { MonotonicClock.now() + Int64($0) } ?? .max
        do {
            guard let replica = try Replica.open(at: location, disk: disk) else { return true }
            while true {
                guard let lock = try disk.lock(location.lockPath) else { return false }
                defer { withExtendedLifetime(lock) {} }
                do {
                    switch try add(from: replica, until: deadline, disk, &count, progress) {
                    case .whole: return true
                    case .blocked: return false
                    case .more: break
                    }
                } catch SearchIndexError.corrupt, SearchIndexError.notContiguous {
                    try discard(at: location, disk: disk)
                }
                if MonotonicClock.now() >= deadline { return false }
            }
        } catch SearchIndexError.database(let error) {
            throw ReplicaError(error)
        } catch {
            throw ReplicaError(error)
        }
    }

    /// Deletes the index. Later commands rebuild it.
    static func discard(at location: ReplicaLocation, disk: any Disk) throws {
        try SearchIndex.discard(path: location.searchPath, disk: disk)
        try disk.syncDirectory(location.directory)
    }

    private enum Outcome {
        case whole
        /// Something can't be read.
        case blocked
        case more
    }

    /// Works for a turn, because other processes may also wait for the lock.
    private static func add(
        from replica: Replica, until deadline: Int64, _ disk: any Disk, _ count: inout Int, _ progress: (Int) -> Void
    ) throws -> Outcome {
        let began = MonotonicClock.now()
        let index = try SearchIndex.openForWriting(path: replica.location.searchPath, disk: disk)
        let coverage = try replica.coverage(of: index)
        let foreign = Set(try index.coverage().keys).subtracting(coverage.keys)
        if !foreign.isEmpty { try index.write { writer in for id in foreign { try writer.forget(id) } } }
        var work: [(reader: LogReader, next: Seq)] = []
        for conversation in try replica.conversations(includingGone: true) {
            let next = coverage[conversation.id]?.upperBound.next ?? conversation.first
            if next <= conversation.head { work.append((replica.reader(of: conversation), next)) }
        }
        guard !work.isEmpty else { return .whole }
        var isBlocked = false
        // To find the work takes time for each conversation. No more turns than it takes again as long to do.
        let found = MonotonicClock.now()
        let turn = min(max(deadline, found + leastMilliseconds), found + max(turnMilliseconds, found - began))
        repeat {
            try index.write { writer in
                var room = batchCount
                while room > 0, let (reader, next) = work.last {
                    let reached = try SearchFeed.add(
                        reader, from: next, through: reader.log.head, limit: room, skipsDamage: false, to: writer,
                        isOver: { MonotonicClock.now() >= turn })
                    room -= reached.distance(after: next.previous)
                    count += reached.distance(after: next.previous)
                    progress(count)
                    if reached >= reader.log.head || reached < next {
                        // Indexing stops before damaged messages. So each search still reads them and reports that
                        // they are missing.
                        if reached < reader.log.head { isBlocked = true }
                        work.removeLast()
                    } else {
                        work[work.count - 1].next = reached.next
                    }
                    if MonotonicClock.now() >= turn { return }
                }
            }
        } while !work.isEmpty && MonotonicClock.now() < turn
        guard work.isEmpty else { return .more }
        return isBlocked ? .blocked : .whole
    }
}

extension Replica {
    /// The part of the replica's present history that an index has. A file of another history, as of a home that was restored
    /// in part, would hide messages: the hash at its newest message shows all before it.
    ///
    /// - Parameter one: the only conversation to look at; nil for all.
    func coverage(
        of index: SearchIndex, only one: ConversationID? = nil
    ) throws -> [ConversationID: SearchIndex.Coverage] {
        // First the index, so that it contains no message that the conversations lack.
        let coverage = try index.coverage()
        return try conversations(includingGone: true).reduce(into: [:]) { trusted, conversation in
            guard one.map({ $0 == conversation.id }) ?? true, let covered = coverage[conversation.id],
                covered.upperBound <= conversation.head
            else { return }
            let mark = try index.mark(of: conversation.id)
            if (try? reader(of: conversation).agrees(with: mark)) == true { trusted[conversation.id] = covered }
        }
    }

    /// How many messages each search has to read because the index does not have them yet: all of them if there is no index
    /// that can be read.
    public func countNotIndexed() throws(ReplicaError) -> UInt64 {
        let index = SearchIndex.openForReading(path: location.searchPath, disk: disk)
        let coverage = (try? index.map { try self.coverage(of: $0) }) ?? [:]
        var count: UInt64 = 0
        for conversation in try conversations(includingGone: true) {
            let next = coverage[conversation.id]?.upperBound.next ?? conversation.first
            guard next <= conversation.head else { continue }
            count &+= conversation.head.rawValue - next.rawValue + 1
        }
        return count
    }
}
