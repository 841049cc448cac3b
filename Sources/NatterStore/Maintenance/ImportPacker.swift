internal import NatterArchive
internal import NatterCrypto
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// The thread that packs the messages of an import and writes them into staged log files, while another reads the input.
final class ImportPacker: Sendable {
    /// Blocks that may wait; with those in work they bound the memory of an import.
    private static let queueLimit = 8

    /// What the files begin with.
    struct Place: Sendable {
        let store: StoreID
        let epoch: Epoch
        let created: Timestamp
        let conversation: ConversationIdentity
        let firstSeq: Seq
        let hashBefore: Digest
    }

    private struct State {
        var waiting: [Records] = []
        var isComplete = false
        var isAbandoned = false
        /// Set by the thread at its end.
        var result: Result<[WrittenBlocks], ArchiveError>?
    }

    private let state = Monitor(State())

    /// Hands over the messages of one block, waiting while too many wait.
    ///
    /// - Returns: false once packing has failed; `finish` says why.
    func put(_ records: Records) -> Bool {
        state.wait { state -> Bool? in
            if state.result != nil { return false }
            guard state.waiting.count < ImportPacker.queueLimit else { return nil }
            state.waiting.append(records)
            return true
        } ?? false
    }

    func wake() { state.signal { _ in } }
}
