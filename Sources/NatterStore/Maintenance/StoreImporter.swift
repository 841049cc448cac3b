internal import NatterConversation
public import NatterSystem
public import NatterModel
internal import NatterLog

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

    let store: Store
    private let staging: ImportStaging
    let blobs: StagedBlobs
    private let identity: ConversationIdentity
    /// Whether the import creates the group.
    private let isNew: Bool
    private let now: Timestamp
    private let files: StagedFiles
    private let packer = ImportPacker()
    /// Messages of earlier imports, to be left out; nil to leave nothing out.
    private var known: KnownMessages?
    private var memory: ImportMemory
    /// The history that must not have changed when the import is recorded; nil for a new conversation.
    private let history: ImportRecord.History?
    /// Whether times before 1990 are taken as they are.
    private let takesOld: Bool
    private let thread: SystemThread
    private var records: Records
    /// The seq that the first message is packed for.
    private let firstSeq: Seq
    private var count: UInt64 = 0
    /// Whether a message is about one of an earlier import. A block has the distance between both, so the first message
    /// must get the seq that it was packed for.
    private var namesEarlier = false
    private var isOver = false

    /// - Parameters:
    ///   - name: `general` or a group's name, in normalization form C. A group that does not exist is created as a
    ///     private one.
    ///   - takesOld: whether times before 1990 are taken, which may be seconds instead of milliseconds.
    public convenience init(
        into name: String, of store: Store, takesOld: Bool = true
    ) throws(ImportError) {
        try self.init(into: name, of: store, sizes: StagedFiles.Sizes(), takesOld: takesOld)
    }

    /// Imports the history of another program, again and again: messages that an earlier import brought are left out.
    ///
    /// - Parameter name: the same, or `@alice,@bob`, whom their accounts make a personal conversation.
    public convenience init(merging name: String, of store: Store) throws(ImportError) {
        try self.init(into: name, of: store, sizes: StagedFiles.Sizes(), isMerging: true)
    }

    init(
        into name: String, of store: Store, sizes: StagedFiles.Sizes, isMerging: Bool = false, takesOld: Bool = true
    ) throws(ImportError) {
        (self.store, self.takesOld) = (store, takesOld)
        staging = ImportStaging(root: store.directory, disk: store.disk)
        blobs = StagedBlobs(staging)
        // The known messages include those of all imports before this one.
        try StoreImporter.begin(store)
        do {
            try store.catchUp()
            let found: ConversationIdentity?
            let identity: ConversationIdentity
            if isMerging, name.hasPrefix("@") {
                (found, identity) = try StoreImporter.findPersonal(name, in: store)
            } else {
                found = try StoreImporter.find(name, in: store)
                identity = found ?? StoreImporter.newGroup(name)
            }
            isNew = found == nil
            self.identity = identity
            memory = ImportMemory(store, conversation: found?.number)
            let (start, epoch, history) = store.state.withLock { state in
                let conversation = state.conversations[identity.number]
                let start = StagedFiles.Place(
                    firstSeq: (conversation?.head ?? .zero).next,
                    hashBefore: conversation?.headHash ?? HashChain.start(of: identity.id), commit: .zero)
                return (start, state.epoch, conversation.map { ImportRecord.History($0, isMerging: isMerging) })
            }
            self.history = history
            known = isMerging ? try KnownMessages(of: name, in: store) : nil
            now = store.clock.now()
            firstSeq = start.firstSeq
            records = Records(firstSeq: start.firstSeq)
            try staging.prepare()
            files = try StagedFiles(
                staging: staging, store: store.id, epoch: epoch, created: now, conversation: identity, start: start,
                sizes: sizes)
            // Only the packer's thread uses them until it has ended.
            nonisolated(unsafe) let packed = files
            thread = try SystemThread(name: "natter-packer") { [packer] in packer.run(packed) }
        } catch {
            StoreImporter.end(store)
            throw (error as? ImportError) ?? StoreImporter.failure(error, store)
        }
    }

    private static func find(_ name: String, in store: Store) throws(ImportError) -> ConversationIdentity? {
        if name.hasPrefix("@") { throw .personal(name) }
        if let found = store.state.withLock({ $0.shared(named: name)?.identity }) { return found }
        do throws(NameError) { try NameRule.check(name) } catch { throw .badName(name, error) }
        return nil
    }

    /// The conversation of two accounts, if they have one, and what it is or will be.
    private static func findPersonal(
        _ name: String, in store: Store
    ) throws(ImportError) -> (found: ConversationIdentity?, identity: ConversationIdentity) {
        let found: (ConversationIdentity?, ConversationIdentity)
        do throws(StoreError) {
            found = try store.state.withLock { state throws(StoreError) in
                if let conversation = try StoreExporter.find(name, in: state) {
                    return (conversation.identity, conversation.identity)
                }
                let (one, other) = try StoreExporter.people(name, in: state)
                return (nil, .unwritten(one, other, in: store.id))
            }
        } catch {
            throw .store(error)
        }
        return found
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

    /// Whether the next message of the other program is new. Call it once for each, in order.
    ///
    /// - Parameter edited: when its text was last changed, if it was.
    public func standing(time: Timestamp, sender: [UInt8], text: [UInt8], edited: Timestamp?) -> ImportStanding {
        known?.find(time: time, sender: sender, text: text, edited: edited) ?? .new
    }

    /// Adds a message. Sender, text and label are UTF-8 without U+0000.
    ///
    /// - Parameters:
    ///   - sender: a label of 1 to 64 bytes.
    ///   - text: at most 65,536 bytes; it may be empty.
    ///   - about: the place of the earlier message that it is about. An edit of one that is erased or deleted is left
    ///     out, and an answer to a deleted one becomes a plain message.
    ///   - via: a label of 1 to 200 bytes.
    ///   - id: its key in this conversation. A message whose id is there already is left out.
    /// - Returns: the place of the message, which an earlier import may have brought.
    @discardableResult
    public func append(
        time: Timestamp, sender: [UInt8], text: [UInt8], kind: MessageKind = .text, about: ImportedPlace? = nil,
        via: [UInt8]? = nil, written: Timestamp? = nil, isErased: Bool = false, id: IdempotencyKey? = nil
    ) throws(ImportError) -> ImportedPlace {
        do throws(ImportedMessageError) {
            // An erased event has the number of the account in place of its name.
            if isErased, kind != .event, !sender.isEmpty || !text.isEmpty { throw .notErased }
            // An erased message has no sender, so any stands for it in the check.
            let name = isErased && sender.isEmpty ? [UInt8(ascii: "-")] : sender
            try ImportedMessageError.check(
                time: time, sender: name, text: text, kind: kind, via: via, now: now, takesOld: takesOld)
        } catch {
            throw .badMessage(error)
        }
        var about = about
        if case .earlier(let seq)? = about {
            // Nobody sees an erased or deleted message again by its edit.
            if kind == .edit, try memory.isErased(seq) { return .earlier(seq) }
            if try memory.isDeleted(seq) {
                if kind.isChange { return .earlier(seq) }
                about = nil
            }
        }
        let place = count
        if let id {
            let content = KnownMessages.content(time, sender, text) + [kind.rawValue]
            if let found = try memory.find(id, content: content, at: place) { return found }
        }
        if !records.hasRoom(textBytes: text.count, sender: sender, via: via) { try handOver() }
        // A placeholder: a block's commit is stored in its header, which `settle` corrects.
        records.append(
            time: time, sender: sender, text: text, kind: kind, isImported: true,
            about: about.map { seq(of: $0) }, via: via,
            // No server takes another one from a client.
            written: written.flatMap { Timestamp.range.contains($0) ? $0 : nil }, isErased: isErased, commit: Commit(1))
        count += 1
        return .new(place)
    }

    /// The seq in the numbers that the messages are packed with.
    private func seq(of place: ImportedPlace) -> Seq {
        switch place {
        case .new(let place): return firstSeq.advanced(by: Int(clamping: place))
        case .earlier(let seq):
            namesEarlier = true
            return seq
        }
    }

    /// Remembers the whole input, by its hash.
    ///
    /// - Returns: when an earlier import into this conversation had the same input.
    public func noteInput(_ digest: Digest) throws(ImportError) -> Timestamp? { try memory.note(digest) }

    private func handOver() throws(ImportError) {
        guard !records.isEmpty else { return }
        let next = records.lastSeq.next
        if !packer.put(records) {
            // The packer has ended early, so `finish` throws its error.
            do throws(ArchiveError) { try packer.finish() } catch { throw StoreImporter.failure(error, store) }
        }
        records = Records(firstSeq: next)
    }

    /// Numbers all messages, durably. When this returns, the conversation is sealed up to the last of them.
    public func finish() throws(ImportError) -> Summary {
        try handOver()
        do {
            try packer.finish()
            let record = ImportRecord(
                store, staging, identity, isNew: isNew, files, blobs, memory, since: history,
                packedFor: namesEarlier ? firstSeq : nil)
            let summary = try record.run()
            finishStaging()
            return summary
        } catch {
            abandon()
            throw StoreImporter.failure(error, store)
        }
    }

    static func failure(_ error: any Error, _ store: Store) -> ImportError {
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
