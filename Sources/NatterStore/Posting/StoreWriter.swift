internal import NatterModel
internal import NatterSystem

/// The only thread that appends to the log. It takes what arrived during the last commit, numbers it, makes it durable
/// as one entry, and answers. Postings of many messages go in turns, so that single messages wait for a part of one only.
final class StoreWriter: Sendable {
    /// The messages of one request, or the part of them that goes into one commit.
    final class Posting: Sendable {
        let messages: ArraySlice<NewMessage>
        let principal: Principal
        let stopAtRefusal: Bool
        let completion: @Sendable ([PostOutcome]) -> Void

        init(
            messages: ArraySlice<NewMessage>, principal: Principal, stopAtRefusal: Bool,
            completion: @escaping @Sendable ([PostOutcome]) -> Void
        ) {
            (self.messages, self.principal) = (messages, principal)
            (self.stopAtRefusal, self.completion) = (stopAtRefusal, completion)
        }

        var cost: Int { messages.reduce(0) { $0 + $1.cost } }
        var size: Int { messages.reduce(0) { $0 + $1.size } }
    }

    /// A posting of several messages on its way through several commits.
    private final class Bulk: Sendable {
        let posting: Posting
        let outcomes = Monitor<[PostOutcome]>([])

        init(_ posting: Posting) { self.posting = posting }
    }

    /// Any other change.
    struct Operation: Sendable {
        /// Decides on the writer's thread, over the state and the staged part of the batch. It may be called again if
        /// other stores were first in the log. An error refuses only this operation.
        let decide: @Sendable (BatchBuilder) throws -> Decision
        let completion: @Sendable (StoreError?) -> Void
        /// Whether what comes after it must see its changes, for example of who may write. It is the last of its batch.
        var endsBatch = false
        /// The turn that it takes among those that end a batch.
        var turn = ChangeTurn.operators
        /// Whether it must see all earlier items as part of the state, including the heads of conversations, but for changes that
        /// wait for their turn.
        var beginsBatch = false
        var room = Room.ordinary
    }

    enum Item: Sendable {
        case posting(Posting)
        case operation(Operation)
        /// Work on the engine between two entries, and a function for its result.
        case upkeep(@Sendable (WriterCore) throws -> Void, @Sendable (StoreError?) -> Void)
        /// Applies entries that other stores have appended to the log, unless the one with this number is applied.
        case follow(to: UInt64?, @Sendable (StoreError?) -> Void)
    }

    private struct Queue {
        var items: [Item] = []
        var changes = Changes()
        /// Whether a change waits since a commit that could take none, because its only item shares with nothing.
        var owesChange = false
        /// Those whose turn is next come first.
        var bulks: [Bulk] = []
        /// How many have a part in the commit that is being made, or in look-ups of repeated ids after it.
        var busyBulks = 0
        /// Whether bulk waits until the journal is shorter.
        var holdsBulk = false
        var cost = 0
        var isStopping = false

        mutating func takeChange() -> Item? {
            owesChange = false
            guard let change = changes.take() else { return nil }
            cost -= min(change.cost, cost)
            return change
        }

        /// Whether a part of bulk may go into the next commit.
        var offersBulk: Bool { !bulks.isEmpty && (!holdsBulk || isStopping) }
        var isOver: Bool { isStopping && items.isEmpty && changes.isEmpty && bulks.isEmpty && busyBulks == 0 }
    }

    /// Changes that end a batch. A commit takes one of them, from each account in turn, behind all else that waits: so nobody's
    /// messages wait for many changes of another.
    private struct Changes {
        /// A place that was taken is nil: a request and its answer must not outlive their change here.
        private var lines: [ChangeTurn: ArraySlice<Item?>] = [:]
        /// Those that have a line; whose turn is next comes first.
        private var turns: ArraySlice<ChangeTurn> = []

        var isEmpty: Bool { turns.isEmpty }

        mutating func append(_ item: Item, _ turn: ChangeTurn) {
            if lines[turn] == nil { turns.append(turn) }
            lines[turn, default: []].append(item)
        }

        mutating func take() -> Item? {
            guard let turn = turns.popFirst(), var line = lines.removeValue(forKey: turn) else { return nil }
            let item = line[line.startIndex]
            line[line.startIndex] = nil
            line.removeFirst()
            if !line.isEmpty {
                lines[turn] = line
                turns.append(turn)
            }
            return item
        }
    }

    /// Bytes that may wait for a commit. Requests beyond it are refused as busy: bulk first, and never what may use the kept room.
    static let queueLimit = 64 << 20
    private static let bulkLimit = queueLimit * 3 / 4
    /// A commit takes no further items once it has this many bytes.
    static let batchBytes = 1 << 20
    /// The most messages of bulk in one commit, how many there are if single messages wait, too, and the bytes from which on it
    /// takes no more of them. A few milliseconds of work.
    static let turn = (messages: 2_048, inCompany: 1_024, bytes: 256 << 10)

    private let queue = Monitor(Queue())

    /// - Returns: false if too much is waiting.
    func submit(_ item: Item) -> Bool {
        let cost = item.cost
        return queue.signal { queue in
            guard !queue.isStopping else { return false }
            if case .posting(let posting) = item, posting.messages.count > 1 {
                guard queue.cost < StoreWriter.bulkLimit else { return false }
                queue.bulks.append(Bulk(posting))
            } else {
                guard queue.cost < StoreWriter.queueLimit || item.room == .kept else { return false }
                if let turn = item.turn {
                    queue.changes.append(item, turn)
                } else {
                    queue.items.append(item)
                }
            }
            queue.cost += cost
            return true
        }
    }

    /// Lets bulk wait, or go on.
    func holdBulk(_ isHeld: Bool) { queue.signal { $0.holdsBulk = isHeld } }

    /// Ends the thread after everything in the queue is done.
    func stop() { queue.signal { $0.isStopping = true } }

    /// The next items to commit; nil if the thread should end.
    ///
    /// - Parameter isLinedUp: whether other servers wait for this one, so that it must not wait itself.
    private func next(isLinedUp: Bool) -> [Item]? {
        queue.next({ take(&$0, isLinedUp: isLinedUp) }, unless: { $0.isOver })
    }

    private func take(_ queue: inout Queue, isLinedUp: Bool) -> [Item]? {
        let takesBulk = queue.offersBulk || isLinedUp && !queue.bulks.isEmpty
        guard !queue.items.isEmpty || !queue.changes.isEmpty || takesBulk else { return nil }
        if queue.owesChange, let change = queue.takeChange() { return [change] }
        var items = takesBulk && queue.items.first?.beginsBatch != true ? takeTurn(&queue) : []
        var taken = 0
        var (cost, size) = (0, 0)
        for item in queue.items {
            if taken > 0, item.beginsBatch { break }
            cost += item.cost
            size += item.size
            taken += 1
            if size >= StoreWriter.batchBytes || item.endsBatch { break }
        }
        queue.cost -= min(cost, queue.cost)
        items += queue.items.prefix(taken)
        if taken == queue.items.count {
            queue.items.removeAll(keepingCapacity: true)
        } else {
            queue.items.removeFirst(taken)
        }
        if items.last?.endsBatch == true {
            queue.owesChange = !queue.changes.isEmpty
        } else if let change = queue.takeChange() {
            items.append(change)
        }
        return items
    }

    // MARK: Turns

    /// Takes a part of the first postings of many messages, and of each the rest of it later.
    private func takeTurn(_ queue: inout Queue) -> [Item] {
        var items: [Item] = []
        var (messages, bytes) = (0, 0)
        let most = queue.items.isEmpty && queue.changes.isEmpty ? StoreWriter.turn.messages : StoreWriter.turn.inCompany
        while let bulk = queue.bulks.first, messages < most, bytes < StoreWriter.turn.bytes {
            queue.bulks.removeFirst()
            queue.busyBulks += 1
            let start = bulk.outcomes.withLock { $0.count }
            var end = start
            while end < bulk.posting.messages.count, messages < most, bytes < StoreWriter.turn.bytes {
                bytes += bulk.posting.messages[end].size
                (end, messages) = (end + 1, messages + 1)
            }
            let part = Posting(
                messages: bulk.posting.messages[start..<end], principal: bulk.posting.principal,
                stopAtRefusal: bulk.posting.stopAtRefusal
            ) { [self] in finishTurn(of: bulk, $0) }
            queue.cost -= min(part.cost, queue.cost)
            items.append(.posting(part))
        }
        return items
    }

    /// Lets a posting wait for its next turn, or answers it.
    private func finishTurn(of bulk: Bulk, _ outcomes: [PostOutcome]) {
        let posting = bulk.posting
        let all = bulk.outcomes.withLock { all in
            all += outcomes
            return all
        }
        let rest = posting.messages[all.count...]
        let isStopped = posting.stopAtRefusal && outcomes.contains { if case .refused = $0 { true } else { false } }
        let isDone = rest.isEmpty || isStopped
        queue.signal { queue in
            queue.busyBulks -= 1
            if !isDone { queue.bulks.append(bulk) }
            if isStopped { queue.cost -= min(rest.reduce(0) { $0 + $1.cost }, queue.cost) }
        }
        if isDone { posting.completion(rest.isEmpty ? all : all + rest.map { _ in .refused(.notTried) }) }
    }

    func run(_ core: WriterCore) {
        while true {
            let isLinedUp = core.isShared && waitForProposal()
            if isLinedUp { core.lineUp() }
            guard let items = next(isLinedUp: isLinedUp) else { return }
            core.commit(items)
        }
    }

    /// Waits for items.
    /// - Returns: whether the next ones will be proposed to the log.
    private func waitForProposal() -> Bool {
        queue.wait { queue in
            if !queue.owesChange, let first = queue.items.first { return first.isProposal }
            return queue.offersBulk || !queue.changes.isEmpty ? true : queue.isOver ? false : nil
        } ?? false
    }
}

/// The turns that changes take. Logins, logouts and registrations of many must not wait for each other's, nor the operator's.
enum ChangeTurn: Hashable {
    case operators
    case account(AccountID)
    case registrations, logouts
}

extension NewMessage {
    /// About how many bytes it takes in a commit.
    fileprivate var size: Int { text.utf8.count + 64 + files.count * FileRecord.lineBytes }

    /// About how many bytes of memory it takes while it waits: the request and the queue have it, and room for its answer.
    fileprivate var cost: Int {
        text.utf8.count + 3 * MemoryLayout<NewMessage>.stride + 4 * uploads.count * FileRecord.lineBytes
    }
}

extension StoreWriter.Item {
    fileprivate var cost: Int {
        if case .posting(let posting) = self { posting.cost } else { 64 }
    }

    var size: Int {
        if case .posting(let posting) = self { posting.size } else { 64 }
    }

    var beginsBatch: Bool { has { $0.beginsBatch } }
    var endsBatch: Bool { has { $0.endsBatch } }
    var room: Room { has { $0.room == .kept } ? .kept : .ordinary }

    /// The turn that it takes among changes; nil for an item that keeps its place.
    fileprivate var turn: ChangeTurn? {
        guard case .operation(let operation) = self, operation.endsBatch, !operation.beginsBatch else { return nil }
        return operation.turn
    }

    private func has(_ property: (StoreWriter.Operation) -> Bool) -> Bool {
        switch self {
        case .posting: false
        case .operation(let operation): property(operation)
        case .upkeep, .follow: true
        }
    }

    var isProposal: Bool {
        switch self {
        case .posting, .operation: true
        case .upkeep, .follow: false
        }
    }

    func refuse(_ reason: StoreError) {
        switch self {
        case .posting(let posting): posting.completion(posting.messages.map { _ in .refused(reason) })
        case .operation(let operation): operation.completion(reason)
        case .upkeep(_, let completion), .follow(_, let completion): completion(reason)
        }
    }
}
