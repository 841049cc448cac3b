internal import NatterArchive
internal import NatterCrypto
internal import NatterIndex
internal import NatterLanguage
internal import NatterLog
public import NatterModel
internal import NatterSystem

/// Adds messages of another time and place to the end of a conversation: all of them, or none.
///
/// They are packed while they come, into files that nobody sees, so memory stays bounded and the input is read once. Only
/// `finish` gives them their numbers, in one transaction. Nothing else may write to the store meanwhile.
public final class StoreImporter {
    /// What an import has done.
    public struct Summary: Sendable, Equatable {
        /// `general`, or the group's name.
        public let conversation: String
        public let count: UInt64
        /// The numbers that the messages got; zero where there was none.
        public let first: Seq
        public let last: Seq
    }

    private let store: Store
    private let staging: ImportStaging
    private let identity: ConversationIdentity
    /// Whether the group is made by this import.
    private let isNew: Bool
    private let head: Seq
    private let commit: Commit
    private let now: Timestamp
    private let packer = ImportPacker()
    private let thread: SystemThread
    private var records: Records
    private var recordBytes = 0
    private var isOver = false

    /// - Parameter name: `general` or a group's, in normalization form C; a group that is not there becomes a private one.
    public convenience init(into name: String, of store: Store) throws(ImportError) {
        try self.init(into: name, of: store, sizes: StagedFiles.Sizes())
    }

    init(into name: String, of store: Store, sizes: StagedFiles.Sizes) throws(ImportError) {
        self.store = store
        staging = ImportStaging(root: store.directory, disk: store.disk)
        let found = try StoreImporter.find(name, in: store)
        do throws(StoreError) {
            // Twice: the second comes after the tidying that the first may have set off, which takes a commit of its own.
            for _ in 0..<2 { try StoreImporter.seal(found?.number ?? store.state.withLock { $0.general }, of: store) }
        } catch {
            throw .store(error)
        }
        isNew = found == nil
        identity = found ?? StoreImporter.newGroup(name)
        let (conversation, commit, epoch) = store.state.withLock { [number = identity.number] state in
            (state.conversations[number].map { ($0.head, $0.headHash) }, state.commit.next, state.epoch)
        }
        head = conversation?.0 ?? .zero
        let hash = conversation?.1 ?? HashChain.start(of: identity.id)
        self.commit = commit
        now = store.clock.now()
        records = Records(firstSeq: head.next)
        do throws(DiskError) { try staging.prepare() } catch { throw .store(StoreError(error)) }
        // The thread alone uses them from here on.
        nonisolated(unsafe) let files = StagedFiles(
            staging: staging, store: store.id, epoch: epoch, created: now, conversation: identity, hashBefore: hash,
            sizes: sizes)
        do {
            thread = try SystemThread(name: "natter-packer") { [packer] in packer.run(files) }
        } catch {
            throw .store(StoreError(error))
        }
    }

    private static func find(_ name: String, in store: Store) throws(ImportError) -> ConversationIdentity? {
        if name.hasPrefix("@") { throw .personal(name) }
        let found = store.state.withLock { state in
            let number = name.lowercased() == "general" ? state.general : state.groups[NameRule.caseKey(name)]
            return number.flatMap { state.conversations[$0]?.identity }
        }
        if let found { return found }
        do throws(NameError) { try NameRule.check(name) } catch { throw .badName(name, error) }
        return nil
    }

    /// Number 0 until the group has a row.
    private static func newGroup(_ name: String) -> ConversationIdentity {
        var random = SecureRandom()
        return ConversationIdentity(
            number: 0, id: ConversationID(using: &random), kind: .group, name: name, users: [])
    }

    /// Adds a message.
    ///
    /// - Parameters:
    ///   - sender: a label of 1 to 64 bytes.
    ///   - text: at most 65,536 bytes; it may be empty. Both UTF-8 without U+0000.
    public func append(time: Timestamp, sender: [UInt8], text: [UInt8]) throws(ImportError) {
        do throws(ImportedMessageError) {
            try ImportedMessageError.check(time: time, sender: sender, text: text, now: now)
        } catch {
            throw .badMessage(error)
        }
        let size = text.count + 8
        if recordBytes + size > Block.targetRawBytes || records.count >= BlockHeader.maximumCount { try handOver() }
        records.append(time: time, sender: sender, text: text, isImported: true, commit: commit)
        recordBytes += size
    }

    private func handOver() throws(ImportError) {
        guard !records.isEmpty else { return }
        let next = records.lastSeq.next
        if !packer.put(records) {
            // It has ended, and not because it was done.
            do throws(ArchiveError) { _ = try packer.finish() } catch { throw .store(StoreError(error)) }
        }
        records = Records(firstSeq: next)
        recordBytes = 0
    }

    /// Numbers all that was added, durably. Everything of the conversation is sealed when this returns.
    public func finish() throws(ImportError) -> Summary {
        try handOver()
        do {
            let staged = try packer.finish()
            try sealTail()
            isOver = true
            thread.join()
            let names = staged.map(\.name)
            try staging.publish(names)
            do throws(StoreError) {
                try record(staged)
            } catch {
                // Where the outcome is unknown, the list of names stays, and the next start finds out.
                if error != .outcomeUnknown {
                    try staging.withdraw(names)
                    try staging.clear()
                }
                throw error
            }
            try staging.clear()
            let last = staged.last?.written.lastSeq ?? .zero
            return Summary(
                conversation: identity.name, count: UInt64(last.distance(after: head)),
                first: last > .zero ? head.next : .zero, last: last)
        } catch {
            abandon()
            throw .store(StoreError(error))
        }
    }

    private func sealTail() throws {
        if !isNew { try StoreImporter.seal(identity.number, of: store) }
    }

    private static func seal(_ conversation: Int64, of store: Store) throws(StoreError) {
        let result = Monitor<Result<Void, StoreError>?>(nil)
        store.sealer.requestWhole(conversation) { error in
            result.signal { $0 = error.map { .failure($0) } ?? .success(()) }
        }
        try result.wait { $0 }?.get()
    }

    private func record(_ staged: [ImportPacker.Staged]) throws(StoreError) {
        let last = staged.last?.written
        let failure = store.perform { [store, identity, isNew, commit] connection, given in
            guard given == commit else { throw StoreError.failed("something else was written during the import") }
            // Nobody else has it before it is a part of the state.
            nonisolated(unsafe) let made: ConversationState? =
                isNew
                ? try store.insertConversation(
                    kind: .group, name: identity.name, users: [], accounts: nil, id: identity.id, on: connection) : nil
            let number = made?.identity.number ?? identity.number
            for file in staged { try file.written.numbered(number).record(on: connection) }
            if let last {
                // `sealed_time` stays: times that others gave do not hold up our clock.
                let statement = try connection.statement(
                    "UPDATE conversation SET sealed_seq=?, sealed_hash=?, sealed_commit=? WHERE number=?")
                try statement.run(last.lastSeq.rawValue, last.hashAfter.bytes, commit.rawValue, number)
            }
            return { state in
                if let made { state.add(made) }
                guard let last else { return }
                state.commit = commit
                state.conversations[number]?.drop(upTo: last.lastSeq, hash: last.hashAfter, commit: commit)
            }
        }
        if let failure { throw failure }
    }

    /// Ends the import without a trace.
    public func abandon() {
        guard !isOver else { return }
        isOver = true
        packer.abandon()
        thread.join()
        do throws(DiskError) { try staging.clear() } catch {
            store.report("cannot remove what an import has left: \(error)")
        }
    }

    deinit { abandon() }
}

extension WrittenBlocks {
    /// The same with the conversation's number in each row.
    fileprivate func numbered(_ conversation: Int64) -> WrittenBlocks {
        var copy = self
        copy.segment.conversation = conversation
        for index in copy.blocks.indices { copy.blocks[index].conversation = conversation }
        return copy
    }
}
