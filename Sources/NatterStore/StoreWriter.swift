internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
internal import NatterLanguage
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// The only thread that appends to the log. It takes everything that arrived during the last commit, numbers it,
/// makes it durable as one entry, and answers.
final class StoreWriter: Sendable {
    /// The messages of one request.
    struct Posting: Sendable {
        let messages: [NewMessage]
        let principal: Principal
        let stopAtRefusal: Bool
        let completion: @Sendable ([PostOutcome]) -> Void

        var cost: Int { messages.reduce(64) { $0 + $1.text.utf8.count + 64 } }
    }

    /// Any other change.
    struct Operation: Sendable {
        /// Decides on the writer's thread, over the state and the staged part of the batch. It may be called again if
        /// other stores were first in the log. An error refuses only this operation.
        let decide: @Sendable (BatchBuilder) throws -> Decision
        let completion: @Sendable (StoreError?) -> Void
        /// Whether later items must see its changes, for example a change of who may write.
        var endsBatch = false
        /// Whether it must see all earlier items as part of the state, including the heads of conversations.
        var beginsBatch = false
    }

    enum Item: Sendable {
        case posting(Posting)
        case operation(Operation)
        /// Work on the engine between two entries, and a function for its result.
        case upkeep(@Sendable (WriterCore) throws -> Void, @Sendable (StoreError?) -> Void)
        /// Applies entries that other stores have appended to the log.
        case follow(@Sendable (StoreError?) -> Void)
    }

    private struct Queue {
        var items: [Item] = []
        var cost = 0
        var isStopping = false
    }

    /// Bytes that may wait for a commit. Requests beyond it are refused as busy.
    static let queueLimit = 64 << 20
    /// A commit takes no further items once it has this many bytes.
    static let batchBytes = 1 << 20
    /// A commit is refused if less disk space is free, so that sealing and deleting can still finish.
    static let reservedBytes: UInt64 = 1 << 20

    private let queue = Monitor(Queue())

    /// - Returns: false if too much is waiting.
    func submit(_ item: Item) -> Bool {
        var cost = 64
        if case .posting(let posting) = item { cost = posting.cost }
        return queue.signal { queue in
            guard !queue.isStopping, queue.cost < StoreWriter.queueLimit else { return false }
            queue.items.append(item)
            queue.cost += cost
            return true
        }
    }

    /// Ends the thread after everything in the queue is done.
    func stop() { queue.signal { $0.isStopping = true } }

    /// The next items to commit; nil if the thread should end.
    private func next() -> [Item]? {
        queue.wait { queue -> [Item]?? in
            if queue.items.isEmpty { return queue.isStopping ? .some(nil) : nil }
            var taken = 0
            var cost = 0
            for item in queue.items {
                if taken > 0, item.beginsBatch { break }
                if case .posting(let posting) = item { cost += posting.cost } else { cost += 64 }
                taken += 1
                if cost >= StoreWriter.batchBytes || item.endsBatch { break }
            }
            queue.cost -= min(cost, queue.cost)
            if taken == queue.items.count {
                defer { queue.items.removeAll(keepingCapacity: true) }
                return .some(queue.items)
            }
            defer { queue.items.removeFirst(taken) }
            return .some(Array(queue.items.prefix(taken)))
        } ?? nil
    }

    func run(_ core: WriterCore) {
        while let items = next() { core.commit(items) }
    }
}

extension StoreWriter.Item {
    var beginsBatch: Bool {
        switch self {
        case .posting: false
        case .operation(let operation): operation.beginsBatch
        case .upkeep, .follow: true
        }
    }

    var endsBatch: Bool {
        switch self {
        case .posting: false
        case .operation(let operation): operation.endsBatch
        case .upkeep, .follow: true
        }
    }

    func refuse(_ reason: StoreError) {
        switch self {
        case .posting(let posting): posting.completion(posting.messages.map { _ in .refused(reason) })
        case .operation(let operation): operation.completion(reason)
        case .upkeep(_, let completion), .follow(let completion): completion(reason)
        }
    }
}
