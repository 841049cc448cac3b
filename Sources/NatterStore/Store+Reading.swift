internal import NatterArchive
internal import NatterLanguage
public import NatterModel
internal import NatterSystem

extension Store {
    /// The most that one page reads while its filter finds nothing.
    private static let pageBudget = ReadBudget(blocks: 64, passedOver: 20_000)

    public func messages(_ query: PageQuery, for principal: Principal) throws(StoreError) -> MessagePage {
        let snapshot = try snapshot(query.conversation, for: principal)
        return try read(snapshot) { reader in try page(query, reader, snapshot.commit) }
    }

    private func page(_ query: PageQuery, _ reader: LogReader, _ commit: Commit) throws -> MessagePage {
        let head = reader.log.head
        var filter = MessageFilter(after: query.after ?? .zero, before: query.before)
        (filter.since, filter.until) = (query.since, query.until)
        filter.sender = query.sender.map(spelling(ofSender:))
        if let around = query.around {
            // One half is before the message. The rest is the message and what follows it. Near an end, the other
            // side gets more.
            let limit = UInt64(query.limit)
            let half = min(limit / 2, around.previous.rawValue)
            var lowest = max(around.rawValue - half, 1)
            if lowest.addingReportingOverflow(limit - 1).partialValue > head.rawValue {
                lowest = head.rawValue >= limit ? head.rawValue - limit + 1 : 1
            }
            filter.after = max(filter.after, Seq(lowest - 1))
            filter.before = min(query.before ?? Seq(UInt64(Int64.max)), Seq(lowest).advanced(by: query.limit))
        }
        var messages: [Message] = []
        /// Ends a page before missing messages, so that the next page begins with them and reports the damage.
        func take(_ piece: LogPiece) throws -> Bool {
            switch piece {
            case .messages(let run): messages += run.messages()
            case .missing(_, let seqs, let reason):
                if messages.isEmpty { throw ArchiveError.missing(seqs, reason) }
                return false
            }
            return true
        }
        if query.after != nil || query.around != nil || query.since != nil {
            let scanned = try reader.forward(filter, limit: query.limit, budget: Store.pageBudget, visit: take)
            // With `around`, `more` also counts messages behind the page, because the query did not ask to end there.
            let last = min(head, (query.before ?? head.next).previous)
            return MessagePage(messages: messages, head: head, more: scanned < last, next: scanned, commit: commit)
        }
        let scanned = try reader.backward(filter, limit: query.limit, budget: Store.pageBudget, visit: take)
        messages.reverse()
        let next = min(scanned, query.before ?? scanned)
        // Without a selector this is the newest page, so whatever follows it does not exist yet.
        let isNewest = query.before == nil && filter.isPlain
        return MessagePage(
            messages: messages, head: head, more: isNewest ? false : next > Seq(1), next: isNewest ? head : next,
            commit: commit)
    }

    /// The sender's name as it is in messages. Case does not matter in the name of an account. Any other name may be
    /// an imported label.
    func spelling(ofSender name: String) -> String {
        state.withLock { $0.account(named: name)?.name.text } ?? name
    }

    public func position(
        _ cursor: String, in conversation: String, for principal: Principal
    ) throws(StoreError) -> Seq {
        guard let parsed = MessageCursor(cursor) else {
            throw .badCursor(
                StoreCursor(cursor) == nil
                    ? "the cursor is malformed" : "this is a cursor of sync, not of a message")
        }
        let snapshot = try snapshot(conversation, for: principal)
        switch try read(snapshot, { reader in try reader.standing(of: parsed) }) {
        // If the message itself can't be read, only its number is known.
        case .good(let seq), .unknown(let seq): return seq
        case .foreign: throw .badCursor("the cursor is of another conversation, or of a former one of this name")
        case .ahead:
            throw .cursorExpired("the cursor is ahead of the conversation, whose head is \(snapshot.tail.head)")
        case .diverged: throw .cursorExpired("the cursor is of a history that the server no longer has")
        }
    }

    public func conversations(
        of principal: Principal, after: String?, limit: Int
    ) throws(StoreError) -> ConversationPage {
        let (names, more) = state.withLock { state -> ([String], Bool) in
            var names = state.visible(to: principal).map { state.displayName(of: $0, for: principal.account) }
            names.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            if let after { names.removeAll { !after.utf8.lexicographicallyPrecedes($0.utf8) } }
            return (Array(names.prefix(limit)), names.count > limit)
        }
        // A conversation that was removed since the names were collected is left out.
        let views = names.compactMap { try? conversation($0, for: principal) }
        return ConversationPage(conversations: views, more: more, next: names.last ?? after)
    }

    public func conversation(_ name: String, for principal: Principal) throws(StoreError) -> ConversationView {
        view(of: try snapshot(name, for: principal))
    }

    /// The conversation object with its newest message. An unreadable message is left out; reading it reports the
    /// damage.
    func view(of snapshot: Snapshot, first: Seq = Seq(1)) -> ConversationView {
        let head = snapshot.tail.head
        var last: Message?
        if head > .zero { last = try? read(snapshot) { reader in try reader.run(of: head)?.messages().first } }
        return ConversationView(
            name: snapshot.name, id: snapshot.identity.id, kind: snapshot.identity.kind, first: first, head: head,
            hash: snapshot.tail.hash, read: snapshot.read, unread: snapshot.unread, last: last)
    }
}
