internal import NatterArchive
internal import NatterCrypto
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// The thread that packs the messages of an import and writes them into staged log files, while another reads the input.
final class ImportPacker: Sendable {
    /// Blocks that may wait; with those in work they bound the memory of an import.
    private static let queueLimit = 8

    private struct State {
        var waiting: [Records] = []
        var isComplete = false
        var isAbandoned = false
        /// Set by the thread at its end.
        var result: Result<Void, ArchiveError>?
    }

    private let state = Monitor(State())

    /// Hands over the messages of one block, waiting while too many wait.
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

    /// Waits until all that was handed over is on the disk. The thread does not touch the files from then on.
    func finish() throws(ArchiveError) {
        state.signal { $0.isComplete = true }
        try state.wait { $0.result }?.get()
    }

    /// Lets the thread end without finishing, and waits for that.
    func abandon() {
        state.signal { $0.isAbandoned = true }
        _ = state.wait { $0.result }
    }

    /// The thread's body.
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
        let records = state.wait { state -> Records?? in
            if state.isAbandoned { return .some(nil) }
            if !state.waiting.isEmpty { return state.waiting.removeFirst() }
            return state.isComplete ? .some(nil) : nil
        }
        // Whoever waits for room gets it.
        state.signal { _ in }
        return records ?? nil
    }
}
