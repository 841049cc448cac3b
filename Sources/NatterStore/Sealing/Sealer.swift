internal import NatterConversation
internal import NatterModel
internal import NatterLog
internal import NatterSystem

/// The thread that compresses tails into log files. It writes and syncs blocks, the writer records them, and then the
/// journal is trimmed. No request waits for it.
final class Sealer: Sendable {
    /// A tail of this many bytes is sealed.
    static let ripeBytes = Block.targetRawBytes
    /// The bound of the journal. Beyond it, small tails are sealed or moved up, because they would keep the journal
    /// from being trimmed.
    static let standardJournalBytes = 24 << 20
    /// Below this size, such a small tail is moved up. From this size on, it is sealed.
    static let stragglerBytes = 8 << 10
    /// How many small tails are moved up in one commit, so that nobody waits long for it: a MiB of messages at most.
    static let moveSize = 128
    /// How many tails one round seals, so that one commit records several files.
    static let roundSize = 32
    /// How many parts of one tail a round seals, so that a backlog of one conversation holds up neither the others nor
    /// the trimming of the journal.
    static let roundParts = 64
    /// From so many parts on, a tail grows faster than it can be packed as well as possible.
    static let burstParts = 8

    struct Queue {
        var ripe: Set<Int64> = []
        /// Those that became ripe since then. They wait for the end of the burst, and come behind other work, or that would wait as
        /// long as somebody sends much.
        var ripeLater: Set<Int64> = []
        /// The burst of requests for these.
        var burst = Burst()
        /// Whether the journal is so long that bursts are not waited for.
        var isLong = false
        /// Other work on log files.
        var errands: [Errand] = []
        /// Whether the journal has exceeded its bound.
        var isUntidy = false
        /// Whether the journal is being brought back to its bound.
        var isTidying = false
        /// Whether other work keeps the thread from it.
        var isAtErrand = false
        /// Whether another server has shortened tails of the shared log.
        var isTrimDue = false
        /// Whether messages were erased or dropped on another server, or may still wait to be removed.
        var isSweepDue = false
        /// The journal's size after it was last tidied.
        var tidiedBytes = 0
        var isStopping = false
        /// Conversations whose tails could not be sealed, and when they are tried again.
        var failed: Set<Int64> = []
        /// Those that another server seals, unless it can't. They are tried with those that failed.
        var elsewhere: Set<Int64> = []
        var retry = Int64.max
        /// Why some conversations could not be sealed.
        var trouble: (reason: String, conversations: Set<Int64>)?

        /// Whether other work waits than sealing what is ripe.
        var isAwaited: Bool {
            let now = MonotonicClock.now()
            return isSweepDue || errands.contains { $0.begin <= now }
        }

        /// When there may be something to do although nobody asks.
        fileprivate var wake: Int64 { errands.reduce(min(retry, burst.end ?? .max)) { min($0, $1.begin) } }

        /// Makes what waits for the end of the burst the next work.
        mutating func ripen() {
            ripe.formUnion(ripeLater)
            (ripeLater, burst) = ([], Burst())
        }

        /// Takes the next work; nil if nothing is to be done now.
        fileprivate mutating func take() -> Work? {
            if ripe.isEmpty {
                // It goes before what is asked for from now on.
                if isLong || (burst.end ?? .max) <= MonotonicClock.now() { ripen() }
                let now = MonotonicClock.now()
                if let index = errands.firstIndex(where: { $0.begin <= now }) {
                    return .errand(errands.remove(at: index).run)
                }
                if isSweepDue {
                    (isSweepDue, isTrimDue) = (false, false)
                    return .sweeping
                }
            }
            if !ripe.isEmpty {
                let round = Array(ripe.prefix(Sealer.roundSize))
                ripe.subtract(round)
                return .ripe(round)
            }
            if isUntidy { return .tidying }
            defer { isTrimDue = false }
            return isTrimDue ? .trimming : nil
        }
    }

    struct Errand {
        /// When it may begin, in milliseconds of the monotonic clock.
        let begin: Int64
        let run: @Sendable (ArchiveWriter) -> Void
    }

    /// How long to wait before tails that could not be sealed are tried again. Nobody may post meanwhile.
    static let retryMilliseconds: Int64 = 10_000

    /// How often a tail is tried again after another server was faster.
    static let races = 8
    static let raceMilliseconds = 20

    let queue = Monitor(Queue())
    let journalBytes: Int
    /// By how many bytes the sealer has made the journal smaller. Writes of others meanwhile do not count.
    let savedBytes = Monitor(0)

    init(journalBytes: Int) { self.journalBytes = journalBytes }

    /// Asks for whole blocks of these conversations to be sealed, if no other server does it.
    ///
    /// - Parameter isRest: whether a part was sealed just now. Else the end of the burst is waited for.
    func request(_ conversations: [Int64], isRest: Bool = false) {
        queue.signal { queue in
            let own = queue.elsewhere.isEmpty ? conversations : conversations.filter { !queue.elsewhere.contains($0) }
            guard !own.isEmpty else { return }
            if isRest, !queue.isAwaited { return queue.ripe.formUnion(own) }
            queue.ripeLater.formUnion(own)
            queue.burst.note()
        }
    }

    /// Leaves conversations to the server whose message made their tails long. Two that pack the same tail at once would
    /// both take the time, and one of them in vain.
    func leave(_ conversations: [Int64]) {
        queue.signal { queue in
            queue.elsewhere.formUnion(conversations)
            queue.retry = min(queue.retry, MonotonicClock.now() + Sealer.retryMilliseconds)
        }
    }

    /// Notes that another server has sealed a part of a tail.
    func noteSealed(_ conversation: Int64) { queue.withLock { _ = $0.elsewhere.remove(conversation) } }

    /// Seals what is ripe now, and after that a conversation up to its last message; nil for none.
    func requestWhole(
        _ conversation: Int64?, of store: Store, _ completion: @escaping @Sendable (StoreError?) -> Void
    ) {
        queue.withLock { $0.ripen() }
        let isTaken = submit { [self] writer in
            guard store.engine.sealsTails else { return completion(nil) }
            let failure = conversation.flatMap { sealWhole($0, store, writer) }
            // Without a conversation, somebody waits until nothing is left to do.
            tidy(store, writer, isAwaited: conversation != nil)
            completion(failure)
        }
        if !isTaken { completion(.busy) }
    }

    /// Runs `errand` on the sealer's thread, so that nothing else writes log files meanwhile, except an import.
    ///
    /// - Parameter milliseconds: for how long it waits at least, while the thread does other work. Only an errand may submit one
    ///   that waits.
    /// - Returns: false if the thread is ending.
    func submit(after milliseconds: Int64 = 0, _ errand: @escaping @Sendable (ArchiveWriter) -> Void) -> Bool {
        queue.signal { queue in
            if !queue.isStopping {
                queue.errands.append(Errand(begin: MonotonicClock.now() + milliseconds, run: errand))
            }
            return !queue.isStopping
        }
    }

    /// Reports the size of the journal. Many conversations that all stay small would fill it although none of them is
    /// ripe.
    func note(journalBytes size: Int) {
        // Bytes that the last tidying could not remove must not start another one at once.
        let isUntidy = queue.withLock { queue in
            queue.isLong = size > journalBytes / 2
            return size > max(journalBytes, queue.tidiedBytes + journalBytes / 4)
        }
        if isUntidy { queue.signal { $0.isUntidy = true } }
    }

    /// Whether bulk must wait, because the journal is much longer than its bound and this thread is shortening it, or can't because
    /// of an errand. It would grow for as long as bulk arrives faster than files can be written, and a start reads all of it.
    func holdsBulk(journalBytes size: Int) -> Bool {
        size > 2 * journalBytes && queue.withLock { $0.isTidying || $0.isAtErrand }
    }

    /// Asks for what an earlier process has left, because perhaps nobody posts a message that would.
    func requestBacklog(of store: Store) {
        let (ripe, size) = store.state.withLock { state in
            let ripe = state.conversations.values.filter { $0.tail.estimatedBytes >= Sealer.ripeBytes }
            return (ripe.map(\.identity.number), state.journalBytes)
        }
        if !ripe.isEmpty { request(ripe) }
        note(journalBytes: size)
    }

    /// Asks for the journal to be trimmed, because another server has sealed tails.
    func requestTrim() { queue.signal { $0.isTrimDue = true } }

    /// Asks for what erased and dropped messages have left in a shared store to be removed.
    func requestSweep() { queue.signal { $0.isSweepDue = true } }

    /// Makes long errands end soon, and the thread after them.
    func stop() { queue.signal { $0.isStopping = true } }

    /// Why tails could not be sealed; nil if none fails now.
    var trouble: String? { queue.withLock { $0.trouble?.reason } }

    fileprivate enum Work {
        case ripe([Int64])
        case errand(@Sendable (ArchiveWriter) -> Void)
        case tidying
        case trimming
        case sweeping
    }

    /// The next work; nil at the end.
    private func next() -> Work? {
        enum Found {
            case work(Work)
            case end
            /// Something is due earlier than it was.
            case sooner
        }
        while true {
            let now = MonotonicClock.now()
            let wake = queue.withLock { queue in
                if queue.retry <= now {
                    queue.ripe.formUnion(queue.failed.union(queue.elsewhere))
                    (queue.failed, queue.elsewhere, queue.retry) = ([], [], .max)
                }
                return queue.wake
            }
            let waiting = wake < .max ? Int(clamping: max(0, wake - now)) : nil
            let found = queue.wait(timeoutMilliseconds: waiting) { queue -> Found? in
                if queue.isStopping { return .end }
                if let work = queue.take() { return .work(work) }
                return queue.wake < wake ? .sooner : nil
            }
            switch found {
            case .work(let work): return work
            case .end: return nil
            case .sooner, nil: continue
            }
        }
    }

    func run(_ store: Store) {
        let sealsTails = store.engine.sealsTails
        let writer = store.archiveWriter()
        while let work = next() {
            switch work {
            case _ where !sealsTails:
                if case .errand(let errand) = work { errand(writer) }
                queue.signal { $0.isUntidy = false }
            case .ripe(let conversations):
                sealRipe(conversations, store, writer)
                tidy(store, writer)
            case .errand(let errand):
                queue.withLock { $0.isAtErrand = true }
                errand(writer)
                queue.withLock { $0.isAtErrand = false }
                store.releaseBulk()
            case .tidying: tidy(store, writer)
            case .trimming:
                if let failure = trim(store) { store.report("cannot trim the journal: \(failure)") }
            case .sweeping: store.finishErasing([])
            }
        }
        // Somebody may wait for these. A long one ends as soon as it sees that the store is closing.
        let now = MonotonicClock.now()
        let due = queue.withLock { queue in
            defer { queue.errands = [] }
            return queue.errands.filter { $0.begin <= now }
        }
        for errand in due { errand.run(writer) }
    }

    private func sealRipe(_ conversations: [Int64], _ store: Store, _ writer: ArchiveWriter) {
        _ = seal(conversations, .fullBlocks, store, writer, room: .ordinary)
        requestRest(of: conversations, store)
    }

    /// Does what cannot wait for the end of a long errand: seals what is ripe now, and keeps the journal short.
    ///
    /// - Returns: whether the errand may go on; false if the store is closing.
    @discardableResult
    func keepUp(_ store: Store, _ writer: ArchiveWriter) -> Bool {
        if isStopping { return false }
        var ripe = queue.withLock { queue in
            defer { queue.ripe = [] }
            queue.ripen()
            return Array(queue.ripe)[...]
        }
        while !ripe.isEmpty {
            sealRipe(Array(ripe.prefix(Sealer.roundSize)), store, writer)
            ripe = ripe.dropFirst(Sealer.roundSize)
        }
        if queue.withLock({ $0.isUntidy }) { tidy(store, writer, isAwaited: true) }
        return !isStopping
    }

    /// Whether the store is closing, so that long work ends.
    var isStopping: Bool { queue.withLock { $0.isStopping } }

    /// Seals a tail up to its last message, in the kept room if need be: an erasure asks for it. Call on the sealer's thread.
    func sealWhole(_ conversation: Int64, _ store: Store, _ writer: ArchiveWriter) -> StoreError? {
        var former: Seq?
        while let next = backlog(of: conversation, store), next != former {
            former = next
            _ = seal([conversation], .fullBlocks, store, writer, room: .kept)
        }
        var failure = seal([conversation], .all, store, writer, room: .kept)
        // Another server was first, perhaps with a part of the tail.
        for _ in 0..<Sealer.races where failure == .busy && store.isShared {
            pause()
            failure = seal([conversation], .all, store, writer, room: .kept)
        }
        return failure
    }

    /// The first message of a tail that is longer than a block; nil for any other.
    private func backlog(of number: Int64, _ store: Store) -> Seq? {
        store.state.withLock { state in
            guard let tail = state.conversations[number]?.tail, !tail.fullBlocks.isEmpty else { return nil }
            return tail.firstSeq
        }
    }

    /// Waits, unless the store is closing: usually for a server that is just writing the same files.
    func pause(milliseconds: Int = Sealer.raceMilliseconds) {
        queue.wait(timeoutMilliseconds: milliseconds) { $0.isStopping }
    }

    /// Asks for what a round has left of long tails, and for what came meanwhile. Nobody may post again.
    private func requestRest(of conversations: [Int64], _ store: Store) {
        guard !store.isFailed else { return }
        let failed = queue.withLock { $0.failed }
        let rest = store.state.withLock { state in
            // One that an import holds is asked for with the next message, or this would ask again and again.
            conversations.filter { number in
                guard let conversation = state.conversations[number], !failed.contains(number) else { return false }
                return !conversation.isBeingSealed && !conversation.tail.fullBlocks.isEmpty
            }
        }
        if !rest.isEmpty { request(rest, isRest: true) }
    }
}

/// Requests for work that can wait until a burst of messages is over. Meanwhile those who send have the processors.
struct Burst: Sendable {
    /// A burst is over when nothing was asked for during so many milliseconds.
    static let quiet: Int64 = 200
    /// So many milliseconds after the first request, work begins in any case.
    static let most: Int64 = 1_500

    private var times: (first: Int64, last: Int64)?

    mutating func note(at now: Int64 = MonotonicClock.now()) { times = (times?.first ?? now, now) }

    /// When the work is to begin, if nothing more is asked for, in milliseconds of the monotonic clock; nil without a request.
    var end: Int64? { times.map { min($0.last + Burst.quiet, $0.first + Burst.most) } }
}
