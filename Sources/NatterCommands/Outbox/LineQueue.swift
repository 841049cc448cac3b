internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterSystem

/// What `send --lines --queue` does with batches that can't be sent. From the first such one on everything goes through
/// the outbox, so that the order stays, until that is empty again.
final class LineQueue {
    /// How often a stream of lines tries to reach the server.
    private static let attemptMilliseconds: Int64 = 5_000

    private let outbox: Outbox
    private let api: ServerAPI?
    private let timeoutMilliseconds: Int
    private var isQueueing: Bool
    private var nextAttempt: Int64 = 0

    /// How many messages were put into the outbox.
    private(set) var count = 0
    /// Why the server did not get them.
    private(set) var reason: Phrase

    init(_ outbox: Outbox, api: ServerAPI?, _ context: Context) throws {
        (self.outbox, self.api) = (outbox, api)
        timeoutMilliseconds = try context.timeoutMilliseconds()
        isQueueing = try api == nil || outbox.hasWaiting()
        reason = api == nil ? "--offline was given" : "others wait before them"
    }

    func begin(because reason: Phrase) {
        (isQueueing, self.reason) = (true, reason)
        nextAttempt = MonotonicClock.now() + LineQueue.attemptMilliseconds
    }

    /// Whether the outbox is to have the next batch. Now and then it is delivered first.
    ///
    /// - Throws: `APIError` where waiting would be of no use.
    func takesOver(tell: (OutboxDelivery.Report) -> Void) throws -> Bool {
        guard isQueueing, let api, MonotonicClock.now() >= nextAttempt else { return isQueueing }
        let report = try OutboxDelivery(outbox, api: api).run(
            timeoutMilliseconds: timeoutMilliseconds, lockMilliseconds: Context.deliveryMilliseconds)
        tell(report)
        if let error = report.interruption {
            guard QueueRule.allows(error) else { throw error }
            begin(because: error.reason)
        }
        nextAttempt = MonotonicClock.now() + LineQueue.attemptMilliseconds
        isQueueing = try outbox.hasWaiting()
        return isQueueing
    }

    /// Puts what is left of a batch into the outbox.
    func add(_ batch: inout MessageBatch, at time: Timestamp) throws(OutboxError) -> [OutboxEntry] {
        let entries = try outbox.add(batch.requests, at: time).map(\.entry)
        count += entries.count
        batch.removeAll()
        return entries
    }
}
