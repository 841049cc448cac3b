internal import NatterArchive
public import NatterLanguage
internal import NatterLog
public import NatterModel
internal import NatterSystem

/// Reads a whole conversation, block by block. Continues behind damaged messages.
public final class StoreExporter {
    public enum Piece {
        case messages(ExportedMessages)
        /// Messages that exist but can't be read.
        case damaged(from: Seq, to: Seq, detail: Phrase)
    }

    /// `general`, the group's name, or `@alice,@bob`.
    public let name: String
    private let store: Store
    /// nil if the two users have not written to each other.
    private let conversation: (identity: ConversationIdentity, tail: Tail)?
    private var seq = Seq(1)

    /// - Throws: `noSuchConversation`, `noSuchUser`.
    public init(_ name: String, of store: Store) throws(StoreError) {
        self.store = store
        (self.name, conversation) = try store.state.withLock { state throws(StoreError) in
            let found = try StoreExporter.find(name, in: state)
            let conversation = found.map { ($0.identity, Tail($0)) }
            return (found.map { $0.identity.kind == .personal ? name : $0.name } ?? name, conversation)
        }
    }

    /// - Returns: nil for a personal conversation without messages.
    private static func find(_ name: String, in state: StoreState) throws(StoreError) -> ConversationState? {
        let number: Int64?
        if name.hasPrefix("@") {
            let parts = name.split(separator: ",", omittingEmptySubsequences: false)
            guard parts.count == 2, parts.allSatisfy({ $0.hasPrefix("@") && $0.utf8.count > 1 }) else {
                throw .noSuchConversation(name)
            }
            var accounts: [AccountID] = []
            for part in parts {
                let user = String(part.dropFirst())
                guard let account = state.account(named: user) else { throw .noSuchUser(user) }
                accounts.append(account.id)
            }
            number = state.personal[AccountPair(accounts[0], accounts[1])]
            if number == nil { return nil }
        } else {
            number = NameRule.isGeneral(name) ? state.general : state.groups[NameRule.caseKey(name)]
        }
        guard let conversation = number.flatMap({ state.conversations[$0] }) else { throw .noSuchConversation(name) }
        return conversation
    }

    /// The next piece; nil at the end.
    public func next() throws(StoreError) -> Piece? {
        guard let (identity, tail) = conversation, seq <= tail.head else { return nil }
        do {
            let block = try store.withReader { archive in
                try LogReader(tail.log(of: identity, named: name), archive).storedBlock(containing: seq)
            }
            guard let start = block.records.index(of: seq) else {
                throw ArchiveError.damaged(from: seq, to: seq, detail: "a block does not hold message \(seq)")
            }
            seq = block.records.lastSeq.next
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
