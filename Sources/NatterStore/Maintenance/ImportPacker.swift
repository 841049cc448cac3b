internal import NatterConversation
internal import NatterLog
internal import NatterSystem

/// The thread that compresses the messages of an import into staged log files, while another thread reads the input.
final class ImportPacker: Sendable {
    /// The most blocks that may wait. This bounds the memory of an import.
    private static let queueLimit = 8

    private struct State {
        var waiting: [Records] = []
        var isComplete = false
        var isAbandoned = false
        /// Set when the thread ends.
        var result: Result<Void, ArchiveError>?
    }

    private let state = Monitor(State())

    /// Hands over the messages of one block. Waits while the queue is full.
    ///
    /// - Returns: false once packing has failed; `finish` says why.
    func put(_ records: Records) -> Bool {
        let isRunning = state.wait { state -> Bool? in
            if state.result != nil { return false }
            return state.waiting.count < ImportPacker.queueLimit ? true : nil
        }
        guard isRunning == true else { return false }
        state.signal { $0.waiting.append(records) }
        return true
    }

    /// Waits until everything is on disk. The thread does not use the files afterwards.
    func finish() throws(ArchiveError) {
        state.signal { $0.isComplete = true }
        try state.wait { $0.result }?.get()
    }

    /// Ends the thread without finishing the files, and waits for its end.
    func abandon() {
        state.signal { $0.isAbandoned = true }
        _ = state.wait { $0.result }
    }

    func run(_ files: StagedFiles) {
        let result: Result<Void, ArchiveError>
        do {
            while let records = next() { try files.append(records) }
            if !state.withLock({ $0.isAbandoned }) { try files.finish() }
            result = .success(())
        } catch {
            result = .failure(ArchiveError(error))
        }
        state.signal { $0.result = result }
    }

    private func next() -> Records? {
        func take(_ state: inout State) -> Records? {
            state.isAbandoned || state.waiting.isEmpty ? nil : state.waiting.removeFirst()
        }
        let records = state.next(take, unless: { $0.isAbandoned || $0.isComplete })
        // Wakes `put`, which may wait for room.
        state.signal { _ in }
        return records
    }
}
