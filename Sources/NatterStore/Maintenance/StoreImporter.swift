internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
internal import NatterLanguage
internal import NatterLog
public import NatterModel
internal import NatterSystem

/// Appends messages from elsewhere to a conversation: all of them or none.
///
/// The messages are compressed while they arrive, into files that no reader sees. So memory stays bounded, the input
/// is read once, and other writers do not wait. Only `finish` numbers the messages, in one commit, behind everything
/// that was written meanwhile.
public final class StoreImporter {
    /// The result of an import.
    public struct Summary: Sendable, Equatable {
        /// `general`, or the group's name.
        public let conversation: String
        public let count: UInt64
        /// The numbers of the messages; zero if there were none.
        public let first: Seq
        public let last: Seq
    }

    /// How long an import waits for another one to end.
    private static let patienceMilliseconds = 10_000

    private let store: Store
    private let staging: ImportStaging
    private let identity: ConversationIdentity
    /// Whether the import creates the group.
    private let isNew: Bool
    private let now: Timestamp
    private let files: StagedFiles
    private let packer = ImportPacker()
    private let thread: SystemThread
    private var records: Records
    private var recordBytes = 0
    private var isOver = false

    /// - Parameter name: `general` or a group's name, in normalization form C. A group that does not exist is created
    ///   as a private one.
    public convenience init(into name: String, of store: Store) throws(ImportError) {
        try self.init(into: name, of: store, sizes: StagedFiles.Sizes())
    }

    init(into name: String, of store: Store, sizes: StagedFiles.Sizes) throws(ImportError) {
        self.store = store
        staging = ImportStaging(root: store.directory, disk: store.disk)
        let found = try StoreImporter.find(name, in: store)
        isNew = found == nil
        let identity = found ?? StoreImporter.newGroup(name)
        self.identity = identity
        try StoreImporter.begin(store)
        let (start, epoch) = store.state.withLock { state in
            let conversation = state.conversations[identity.number]
            let start = StagedFiles.Place(
                firstSeq: (conversation?.head ?? .zero).next,
                hashBefore: conversation?.headHash ?? HashChain.start(of: identity.id), commit: .zero)
            return (start, state.epoch)
        }
        now = store.clock.now()
        records = Records(firstSeq: start.firstSeq)
        do {
            try staging.prepare()
            files = try StagedFiles(
                staging: staging, store: store.id, epoch: epoch, created: now, conversation: identity, start: start,
                sizes: sizes)
            // Only the packer's thread uses them until it has ended.
            nonisolated(unsafe) let packed = files
            thread = try SystemThread(name: "natter-packer") { [packer] in packer.run(packed) }
        } catch {
            StoreImporter.end(store)
            throw StoreImporter.failure(error, store)
        }
    }

    private static func find(_ name: String, in store: Store) throws(ImportError) -> ConversationIdentity? {
        if name.hasPrefix("@") { throw .personal(name) }
        let found = store.state.withLock { state in
            let number = NameRule.isGeneral(name) ? state.general : state.groups[NameRule.caseKey(name)]
            return number.flatMap { state.conversations[$0]?.identity }
        }
        if let found { return found }
        do throws(NameError) { try NameRule.check(name) } catch { throw .badName(name, error) }
        return nil
    }

    /// The number is 0 until the group has a row.
    private static func newGroup(_ name: String) -> ConversationIdentity {
        var random = SecureRandom()
        return ConversationIdentity(
            number: 0, id: ConversationID(using: &random), kind: .group, name: name, users: [])
    }

    /// Waits until no other import is running.
    private static func begin(_ store: Store) throws(ImportError) {
        let begun = store.isImporting.wait(timeoutMilliseconds: patienceMilliseconds) { isImporting -> Bool? in
            guard !isImporting else { return nil }
            isImporting = true
            return true
        }
        guard begun == true else { throw .store(.busy) }
    }

    private static func end(_ store: Store) { store.isImporting.signal { $0 = false } }

    /// Adds a message. Sender and text are UTF-8 without U+0000.
    ///
    /// - Parameters:
    ///   - sender: a label of 1 to 64 bytes.
    ///   - text: at most 65,536 bytes; it may be empty.
    public func append(time: Timestamp, sender: [UInt8], text: [UInt8]) throws(ImportError) {
        do throws(ImportedMessageError) {
            try ImportedMessageError.check(time: time, sender: sender, text: text, now: now)
        } catch {
            throw .badMessage(error)
        }
        let size = text.count + 8
        if recordBytes + size > Block.targetRawBytes || records.count >= BlockHeader.maximumCount { try handOver() }
        // A placeholder: a block's commit is stored in its header, which `settle` corrects.
        records.append(time: time, sender: sender, text: text, isImported: true, commit: Commit(1))
        recordBytes += size
    }

    private func handOver() throws(ImportError) {
        guard !records.isEmpty else { return }
        let next = records.lastSeq.next
        if !packer.put(records) {
            // The packer has ended early, so `finish` throws its error.
            do throws(ArchiveError) { try packer.finish() } catch { throw StoreImporter.failure(error, store) }
        }
        records = Records(firstSeq: next)
        recordBytes = 0
    }

    /// Numbers all messages, durably. When this returns, the conversation is sealed up to the last of them.
    public func finish() throws(ImportError) -> Summary {
        try handOver()
        do {
            try packer.finish()
            let summary = try ImportRecord(store, staging, identity, isNew: isNew, files).run()
            finishStaging()
            return summary
        } catch {
            abandon()
            throw StoreImporter.failure(error, store)
        }
    }

    private static func failure(_ error: any Error, _ store: Store) -> ImportError {
        store.stopIfDiskFailed(error)
        return .store(StoreError(error))
    }

    /// Ends the import and removes what it wrote.
    public func abandon() {
        guard !isOver else { return }
        packer.abandon()
        finishStaging()
    }

    /// Ends the thread, cleans up, and lets the next import begin.
    private func finishStaging() {
        isOver = true
        thread.join()
        // If it is not known whether the import was recorded, the list of names stays, and the next start finds out.
        if !store.isFailed {
            do throws(DiskError) { try staging.clear() } catch {
                store.report("cannot remove what an import has left: \(error)")
                store.stopIfDiskFailed(error)
            }
        }
        StoreImporter.end(store)
    }

    deinit { abandon() }
}
