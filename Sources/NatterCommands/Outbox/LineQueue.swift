internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterSystem
internal import NatterProtocol

/// Handles the batches of `send --lines --queue` that cannot be sent. After the first such batch, everything goes
/// through the outbox until it is empty, so that the order stays correct.
final class LineQueue {
    /// How often a stream of lines retries the server.
    private static let attemptMilliseconds: Int64 = 5_000

    private let outbox: Outbox
    private let api: ServerAPI?
    private let groups: NamedGroups
    private let context: Context
    private var isQueueing: Bool
    private var nextAttempt: Int64 = 0

    /// The number of messages put into the outbox.
    private(set) var count = 0
    /// Why these messages were not sent.
    private(set) var reason: Phrase

    init(_ outbox: Outbox, api: ServerAPI?, _ groups: NamedGroups, _ context: Context) throws {
        (self.outbox, self.api, self.groups, self.context) = (outbox, api, groups, context)
        isQueueing = try api == nil || outbox.hasWaiting()
        reason = api == nil ? "--offline was given" : "others wait before them"
    }

    func begin(because reason: Phrase) {
        (isQueueing, self.reason) = (true, reason)
        nextAttempt = MonotonicClock.now() + LineQueue.attemptMilliseconds
    }

    /// True if the next batch goes to the outbox. This tries to deliver the outbox from time to time.
    ///
    /// - Throws: `RequestError` if waiting would not help.
    func takesOver() throws -> Bool {
        guard isQueueing, let api, MonotonicClock.now() >= nextAttempt else { return isQueueing }
        let report = try context.deliver(outbox, to: api, lockMilliseconds: Context.deliveryMilliseconds)
        if let error = report.interruption {
            guard error.allowsQueueing else { throw error }
            begin(because: error.reason)
        }
        nextAttempt = MonotonicClock.now() + LineQueue.attemptMilliseconds
        isQueueing = try outbox.hasWaiting()
        return isQueueing
    }

    /// Puts the first messages of a batch into the outbox, all or none.
    func add(
        first messages: Int, of batch: inout MessageBatch, at time: Timestamp, mayHaveArrived: Bool
    ) throws(OutboxError) -> [OutboxEntry] {
        let requests = batch.requests.prefix(messages).map { groups.identified($0) }
        let entries = try outbox.add(requests, at: time, mayHaveArrived: mayHaveArrived).map(\.entry)
        count += entries.count
        batch.removeFirst(messages)
        return entries
    }
}
