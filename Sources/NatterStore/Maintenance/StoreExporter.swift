internal import NatterConversation
internal import NatterSystem
public import NatterModel
internal import NatterLog

/// Reads a whole conversation, block by block. Continues behind damaged messages.
public final class StoreExporter {
    public enum Piece {
        case messages(ExportedMessages)
        /// Messages as people see them: with their newest texts, and without edits and deletions.
        case folded([Message])
        /// Messages that exist but can't be read.
        case damaged(from: Seq, to: Seq, detail: Phrase)
    }

    /// `general`, the group's name, or `@alice,@bob`.
    public let name: String
    /// nil if the two users have not written to each other.
    public var id: ConversationID? { conversation?.identity.id }
    /// The first message that is kept.
    public var first: Seq { conversation?.tail.first ?? Seq(1) }
    private let store: Store
    /// nil if the two users have not written to each other.
    private let conversation: (identity: ConversationIdentity, tail: Tail)?
    private var seq: Seq
    private let isFolded: Bool
    private let form: Form

    /// How edits and deletions are exported.
    public enum Form: Sendable {
        /// Each record as the log has it, with deleted texts.
        case stored
        /// Each record as it is, without the texts that were deleted.
        case records
        /// Originals with their newest texts. Pieces without any change still come as `messages`.
        case newest
    }

    /// - Parameter takesDeleted: whether it may be a group that was deleted. See `find`.
    /// - Throws: `noSuchConversation`, `noSuchUser`.
    public init(
        _ name: String, of store: Store, isFolded: Bool = false, form: Form = .stored, takesDeleted: Bool = false
    ) throws(StoreError) {
        (self.store, self.isFolded, self.form) = (store, isFolded, form)
        (self.name, conversation) = try store.state.withLock { state throws(StoreError) in
            let found = try StoreExporter.find(name, in: state, takesDeleted: takesDeleted)
            let conversation = found.map { ($0.identity, Tail($0)) }
            return (found.map { $0.identity.kind == .personal ? name : $0.name } ?? name, conversation)
        }
        seq = conversation?.tail.first ?? Seq(1)
    }

    /// - Parameter takesDeleted: whether the name may be that of a group that was deleted, the last one that had it, if no
    ///   group has it now, or the id of any.
    /// - Returns: nil for a personal conversation without messages.
    static func find(
        _ name: String, in state: StoreState, takesDeleted: Bool = false
    ) throws(StoreError) -> ConversationState? {
        if name.hasPrefix("@") {
            let (first, second) = try people(name, in: state)
            guard let number = state.personal[AccountPair(first.id, second.id)] else { return nil }
            if let conversation = state.conversations[number] { return conversation }
        } else if let conversation = state.shared(named: name) {
            return conversation
        }
        guard takesDeleted, let deleted = deleted(name, in: state) else { throw .noSuchConversation(name) }
        return deleted
    }

    private static func deleted(_ name: String, in state: StoreState) -> ConversationState? {
        if let id = ConversationID(hex: name), let group = state.conversation(id), group.isDeleted { return group }
        let key = NameRule.caseKey(name)
        return state.conversations.values.filter { $0.isDeleted && $0.nameKey == key }
            .max { $0.identity.number < $1.identity.number }
    }

    /// The names in `@alice,@bob`.
    public static func names(_ name: String) throws(StoreError) -> [String] {
        let parts = name.split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.hasPrefix("@") && $0.utf8.count > 1 }) else {
            throw .noSuchConversation(name)
        }
        return parts.map { String($0.dropFirst()) }
    }

    /// The accounts of `@alice,@bob`.
    static func people(_ name: String, in state: StoreState) throws(StoreError) -> (AccountState, AccountState) {
        var accounts: [AccountState] = []
        for user in try names(name) {
            guard let account = state.account(named: user) else { throw .noSuchUser(user) }
            accounts.append(account)
        }
        return (accounts[0], accounts[1])
    }

    /// The messages of a block from `seq` on, if they are given one by one, and where they end.
    ///
    /// - Throws: `ArchiveError.damaged` or `.unreadable` if the newest edit of the first can't be read.
    private func changed(_ block: OpenBlock, _ reader: LogReader) throws -> (messages: [Message]?, end: Seq) {
        let end = block.records.lastSeq
        do { return (try changed(block, upTo: end, reader), end) } catch let error as ArchiveError {
            guard let edited = error.withheld?.from, edited > seq, edited <= end else { throw error }
            // Those before it come first.
            return (try changed(block, upTo: edited.previous, reader) ?? [], edited.previous)
        }
    }

    /// - Returns: nil if the whole block is given as it is, because nothing happened to a message of it.
    private func changed(_ block: OpenBlock, upTo end: Seq, _ reader: LogReader) throws -> [Message]? {
        guard isFolded || form != .stored, let start = block.records.index(of: seq),
            let last = block.records.index(of: end)
        else { return nil }
        let isNewest = isFolded || form == .newest
        let folder = MessageFolder(reader, folds: isNewest, needsEdits: true)
        var messages: [Message]
        if isFolded {
            messages = (start...last).map { Message(block.records[$0], hash: .zero, of: reader.log.id, named: name) }
            try folder.apply(to: &messages)
        } else {
            let run = MessageRun(reader.log, block, positions: Array(start...last))
            let found = try folder.messages(of: run)
            guard found != nil || end < block.records.lastSeq else { return nil }
            messages = found ?? run.messages()
        }
        return isNewest ? messages.filter { !$0.kind.isPart } : messages
    }

    /// The next piece; nil at the end.
    public func next() throws(StoreError) -> Piece? {
        guard let (identity, tail) = conversation, seq <= tail.head else { return nil }
        do {
            let (block, messages, end) = try store.withReader { archive -> (OpenBlock, [Message]?, Seq) in
                let reader = LogReader(tail.log(of: identity, named: name), archive)
                let block = try reader.storedBlock(containing: seq)
                let (messages, end) = try changed(block, reader)
                return (block, messages, end)
            }
            guard let start = block.records.index(of: seq) else {
                throw ArchiveError.damaged(from: seq, to: seq, detail: "a block does not hold message \(seq)")
            }
            seq = end.next
            if let messages { return .folded(messages) }
            return .messages(ExportedMessages(records: block.records, start: start))
        } catch {
            let error = StoreError(error)
            guard case .damaged(let from, let to, let detail) = error else { throw error }
            let first = max(from, seq)
            seq = max(to, seq).next
            return .damaged(from: first, to: max(to, first), detail: detail)
        }
    }
}

/// Messages that are read in place, without copies.
public struct ExportedMessages {
    let records: Records
    let start: Int

    public var count: Int { records.count - start }

    /// Fields that only some messages have.
    public struct Fields {
        public let about: Seq?
        public let via: [UInt8]?
        public let written: Timestamp?
        public let isErased: Bool
    }

    /// Whether every message has a seq, a time, a sender, a kind and a text, and nothing else.
    public var isPlain: Bool { records.isPlain }

    /// The fields of the message at a place, 0 for the first.
    public func fields(at place: Int) -> Fields? {
        guard place >= 0, place < count else { return nil }
        let record = records[start + place]
        return Fields(about: record.about, via: record.via, written: record.written, isErased: record.isErased)
    }

    /// Calls `body` with each imported message: seq, time, sender, text, the message that it edits, and whether it is erased. The
    /// text is valid only during the call.
    func forEachImported(_ body: (Seq, Timestamp, [UInt8], UnsafeRawBufferPointer, Seq?, Bool) -> Void) {
        for index in start..<records.count where records.isImported(at: index) {
            let edited = records.kind(at: index) == .edit ? records.about(at: index) : nil
            records.withText(at: index) { text in
                body(
                    records.firstSeq.advanced(by: index), records.time(at: index), records.sender(at: index), text,
                    edited, records.isErased(at: index))
            }
        }
    }

    /// Calls `body` with each message: seq, time, sender (UTF-8), kind, text (UTF-8). The text is valid only during
    /// the call.
    public func forEach(
        _ body: (Seq, Timestamp, [UInt8], MessageKind, UnsafeRawBufferPointer) throws -> Void
    ) rethrows {
        for index in start..<records.count {
            try records.withText(at: index) { text in
                try body(
                    records.firstSeq.advanced(by: index), records.time(at: index), records.sender(at: index),
                    records.kind(at: index), text)
            }
        }
    }
}
