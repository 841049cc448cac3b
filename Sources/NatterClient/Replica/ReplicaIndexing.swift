internal import NatterArchive
internal import NatterSearch
internal import NatterLog
internal import NatterModel
public import NatterSystem

/// Brings the search index up to what the replica has; to be done after a command's output.
public enum ReplicaIndexing {
    /// Messages of one transaction, about.
    private static let batchCount = 20_000
    /// How long the lock is held at a time, about.
    private static let turnMilliseconds: Int64 = 250

    /// Adds messages to the index until it has all, or the time is up. A damaged index is deleted and made anew.
    ///
    /// - Parameter budgetMilliseconds: about; nil for all that there is.
    /// - Returns: whether the index has everything now. Another process that is at work is not waited for: then it has not.
    /// - Throws: `ReplicaError.storage`.
    @discardableResult
    public static func run(
        at location: ReplicaLocation, budgetMilliseconds: Int? = nil, disk: any Disk = PosixDisk()
    ) throws(ReplicaError) -> Bool {
        let deadline = budgetMilliseconds.map { MonotonicClock.now() + Int64($0) } ?? .max
        do {
            guard let replica = try Replica.open(at: location, disk: disk) else { return true }
            while true {
                guard let lock = try disk.lock(location.lockPath) else { return false }
                defer { withExtendedLifetime(lock) {} }
                // Others may want the lock, too.
                let turn = min(deadline, MonotonicClock.now() + turnMilliseconds)
                switch try turnOf(location, replica, until: turn, disk) {
                case .whole: return true
                case .blocked: return false
                case .more: if MonotonicClock.now() >= deadline { return false }
                }
            }
        } catch SearchIndexError.database(let error) {
            throw ReplicaError(error)
        } catch {
            throw ReplicaError(error)
        }
    }

    private enum Outcome {
        case whole
        /// Something can't be read.
        case blocked
        case more
    }

    private static func turnOf(
        _ location: ReplicaLocation, _ replica: Replica, until deadline: Int64, _ disk: any Disk
    ) throws -> Outcome {
        do {
            return try add(to: location, from: replica, until: deadline, disk)
        } catch SearchIndexError.corrupt, SearchIndexError.notContiguous {
            try ReplicaSearch.discard(at: location, disk: disk)
            return .more
        }
    }

    private static func add(
        to location: ReplicaLocation, from replica: Replica, until deadline: Int64, _ disk: any Disk
    ) throws -> Outcome {
        let index = try SearchIndex.openForWriting(path: location.searchPath, disk: disk)
        let coverage = try index.coverage()
        var work: [(conversation: ReplicaConversation, next: Seq)] = []
        for conversation in try replica.conversations(includingGone: true) {
            let next = coverage[conversation.id]?.upperBound.next ?? conversation.first
            if next <= conversation.head { work.append((conversation, next)) }
        }
        var isBlocked = false
        while !work.isEmpty, MonotonicClock.now() < deadline {
            try index.write { writer in
                var room = batchCount
                while room > 0, let (conversation, next) = work.last {
                    let reached = try add(conversation, from: next, room: &room, to: writer, replica, deadline)
                    if reached >= conversation.head || reached < next {
                        // What can't be read is not indexed, nor what follows: so each search says that it is missing.
                        if reached < conversation.head { isBlocked = true }
                        work.removeLast()
                    } else {
                        work[work.count - 1].next = reached.next
                    }
                    if MonotonicClock.now() >= deadline { return }
                }
            }
        }
        guard work.isEmpty else { return .more }
        return isBlocked ? .blocked : .whole
    }

    /// - Returns: the last seq that was added.
    private static func add(
        _ conversation: ReplicaConversation, from next: Seq, room: inout Int, to writer: SearchWriter,
        _ replica: Replica, _ deadline: Int64
    ) throws -> Seq {
        var reached = next.previous
        var left = room
        try writer.add(conversation.id, from: next) { rows in
            var time = Timestamp(milliseconds: 0)
            while reached < conversation.head, left > 0 {
                let seq = reached.next
                let block: OpenBlock?
                do { block = try replica.block(containing: seq, of: conversation) } catch is ArchiveError { return }
                guard let block, let start = block.records.index(of: seq) else {
                    guard case .missing(let through) = try replica.place(of: seq, in: conversation) else { return }
                    // Numbers without a text; should they come one day, the index is made anew.
                    while reached < min(through, conversation.head), left > 0 {
                        try rows.append(time: time, text: [])
                        reached = reached.next
                        left -= 1
                    }
                    continue
                }
                for position in start..<block.records.count where reached < conversation.head {
                    time = block.records.time(at: position)
                    if ReplicaSearch.isSearchable(block.records.kind(at: position)) {
                        try block.records.withText(at: position) { try rows.append(time: time, text: $0) }
                    } else {
                        try rows.append(time: time, text: [])
                    }
                    reached = reached.next
                    left -= 1
                }
                if MonotonicClock.now() >= deadline { return }
            }
        }
        room = left
        return reached
    }
}
