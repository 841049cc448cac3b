internal import NatterLog
internal import NatterSystem

/// Opens the blocks that one walk will come to, on a second thread. It is for a walk through much, of which each block also costs
/// its reader time. It reports no errors: a block that it can't open is left to the reader, which says what is wrong. Only the
/// walk's own thread may use it.
final class ReadAhead {
    /// How many blocks may wait for their reader. Opened, each takes some 200 KiB. Half of them are queued at a time, because each
    /// time may wake the thread.
    static let depth = 8

    enum Outcome {
        case opened(OpenBlock)
        /// Nothing in the block is wanted.
        case unwanted
    }

    private struct Job {
        let row: BlockRow
        let conversation: ConversationIdentity
        let wish: BlockWish
    }

    private struct State {
        var waiting: [Job] = []
        /// The block that the thread opens now.
        var current: BlockRow?
        var done: [(row: BlockRow, outcome: Outcome)] = []
        /// The last row that was queued.
        var last: BlockRow?
        /// The conversation that was read last.
        var conversation: Int64?
        var isStopping = false

        var count: Int { waiting.count + done.count + (current == nil ? 0 : 1) }
    }

    private let cache: ArchiveCache
    private let room = UnpackingRoom()
    private let state = Monitor(State())
    /// nil while there is nothing to do, as in a short walk.
    private var thread: SystemThread?

    init(_ cache: ArchiveCache) { self.cache = cache }

    deinit {
        state.signal { $0.isStopping = true }
        thread?.join()
    }

    private static func run(_ state: Monitor<State>, _ cache: ArchiveCache) {
        let room = UnpackingRoom()
        func take(_ state: inout State) -> Job? {
            guard !state.isStopping, !state.waiting.isEmpty else { return nil }
            let job = state.waiting.removeFirst()
            state.current = job.row
            return job
        }
        while let job = state.next(take, unless: { $0.isStopping }) {
            let outcome = open(job, cache, room)
            state.signal { state in
                state.current = nil
                if let outcome { state.done.append((job.row, outcome)) }
            }
        }
    }

    /// - Returns: nil if the block can't be opened.
    private static func open(_ job: Job, _ cache: ArchiveCache, _ room: UnpackingRoom) -> Outcome? {
        do {
            let block = try cache.open(job.row, job.wish, in: room) {
                try cache.segment(of: job.row, job.conversation)
            }
            return block.map { .opened($0) } ?? .unwanted
        } catch {
            return nil
        }
    }

    /// Queues blocks from the one behind `row` on, as far as there is room. It does so only from the second block of a
    /// conversation in a row on, because a walk through several may go elsewhere next.
    ///
    /// - Parameter next: the row that the walk reads after another.
    func expect(
        behind row: BlockRow, of conversation: ConversationIdentity, _ wish: BlockWish, next: (BlockRow) -> BlockRow?
    ) {
        var last = state.withLock { state -> BlockRow? in
            if state.conversation != conversation.number {
                state = State(current: state.current, conversation: conversation.number)
                return nil
            }
            return state.count > ReadAhead.depth / 2 ? nil : state.last ?? row
        }
        var jobs: [Job] = []
        while jobs.count < ReadAhead.depth / 2, let known = last {
            last = next(known)
            if let last { jobs.append(Job(row: last, conversation: conversation, wish: wish)) }
        }
        guard let end = jobs.last else { return }
        state.signal { state in
            state.waiting += jobs
            state.last = end.row
        }
        // Without a thread, the walk opens what waits.
        if thread == nil {
            thread = try? SystemThread(name: "natter-ahead") { [state, cache] in ReadAhead.run(state, cache) }
        }
    }

    /// The block of a row, if it was expected. While the thread still opens it, the caller opens others that wait.
    ///
    /// - Returns: nil if the reader must open it.
    func outcome(of row: BlockRow) -> Outcome? {
        while true {
            let (outcome, other) =
                state.wait { state -> (Outcome?, Job?)? in
                    if let index = state.done.firstIndex(where: { $0.row == row }) {
                        return (state.done.remove(at: index).outcome, nil)
                    }
                    guard state.current == row else {
                        state.waiting.removeAll { $0.row == row }
                        return (nil, nil)
                    }
                    return state.waiting.isEmpty ? nil : (nil, state.waiting.removeFirst())
                } ?? (nil, nil)
            guard let other else { return outcome }
            let opened = ReadAhead.open(other, cache, room)
            state.withLock { state in if let opened { state.done.append((other.row, opened)) } }
        }
    }
}
