internal import NatterLanguage
internal import NatterSystem
internal import NatterArchive
internal import NatterCrypto
internal import NatterLog
public import NatterModel

extension Store {
    /// What a request needs of a conversation, taken at one moment.
    struct Snapshot {
        let identity: ConversationIdentity
        let name: String
        let tail: Tail
        let commit: Commit
        var read: Seq = .zero
        var unread: UInt64 = 0
    }

    func snapshot(_ name: String, for principal: Principal) throws(StoreError) -> Snapshot {
        try state.withLock { state throws(StoreError) in
            switch try state.resolve(name, for: principal.account) {
            case .existing(let conversation):
                try Authority.check(.read, of: principal.account, in: conversation, named: name, state)
                return state.snapshot(of: conversation, for: principal.account)
            case .unwritten(let own, let peer):
                let empty = unwritten(own, peer)
                return Snapshot(
                    identity: empty.identity, name: "@" + peer.name.text, tail: Tail(empty), commit: state.commit)
            }
        }
    }

    /// A personal conversation that nobody has written to looks like an empty one.
    private func unwritten(_ own: AccountState, _ peer: AccountState) -> ConversationState {
        let users = [own.name.text, peer.name.text].sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let id = ConversationID.derived(store: self.id, kind: .personal, users: users)
        return ConversationState(
            identity: ConversationIdentity(number: 0, id: id, kind: .personal, name: "", users: users), isOpen: false,
            accounts: nil, sealedSeq: .zero, sealedHash: HashChain.start(of: id), sealedCommit: .zero,
            lastServerTime: .zero)
    }

    public func messages(_ query: PageQuery, for principal: Principal) throws(StoreError) -> MessagePage {
        let snapshot = try snapshot(query.conversation, for: principal)
        do {
            return try withReader { reader in try page(query, snapshot, reader) }
        } catch {
            throw StoreError(error)
        }
    }

    private func page(_ query: PageQuery, _ snapshot: Snapshot, _ reader: ArchiveReader) throws -> MessagePage {
        let messages = MessageReader(
            reader: reader, conversation: snapshot.identity, name: snapshot.name, tail: snapshot.tail)
        let head = snapshot.tail.head
        var filter = MessageReader.Filter(since: query.since, until: query.until)
        filter.sender = query.sender.map { Array(spelling(ofSender: $0).utf8) }
        var after = query.after
        var before = query.before
        if let around = query.around {
            // The half before it, then it and what follows; near an end the other side gets the room.
            let limit = UInt64(query.limit)
            let half = min(limit / 2, around.previous.rawValue)
            var lowest = max(around.rawValue - half, 1)
            if lowest.addingReportingOverflow(limit - 1).partialValue > head.rawValue {
                lowest = head.rawValue >= limit ? head.rawValue - limit + 1 : 1
            }
            after = max(after ?? .zero, Seq(lowest - 1))
            before = min(before ?? Seq(UInt64(Int64.max)), Seq(lowest).advanced(by: query.limit))
        }
        let isForward = after != nil || query.since != nil
        // Around a message, what lies beyond the page is more; that it ends where it does is not what was asked for.
        let last = min(head, (query.before ?? head.next).previous)
        if isForward {
            let limit = before ?? Seq(UInt64(Int64.max))
            let found = try messages.forward(after: after ?? .zero, before: limit, filter: filter, limit: query.limit)
            return MessagePage(
                messages: found.messages, head: head, more: found.scanned < last,
                next: found.messages.isEmpty && found.scanned < (after ?? .zero) ? after ?? .zero : found.scanned,
                commit: snapshot.commit)
        }
        let found = try messages.backward(
            before: before ?? head.next, after: .zero, filter: filter, limit: query.limit)
        // Without any selector the page is the newest one, and what follows it is what will come.
        let isNewest = before == nil && filter.isEmpty
        return MessagePage(
            messages: found.messages, head: head, more: isNewest ? false : found.scanned > Seq(1),
            next: isNewest ? head : found.scanned, commit: snapshot.commit)
    }

    /// A sender as messages have it: case does not count in an account's name; any other may be an imported label.
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
        guard parsed.isOf(snapshot.identity.id) else {
            throw .badCursor("the cursor is of another conversation, or of a former one of this name")
        }
        guard parsed.seq <= snapshot.tail.head else {
            throw .cursorExpired("the cursor is ahead of the conversation, whose head is \(snapshot.tail.head)")
        }
        let hash: Digest
        do {
            hash = try withReader { reader in
                let messages = MessageReader(
                    reader: reader, conversation: snapshot.identity, name: snapshot.name, tail: snapshot.tail)
                if parsed.seq == .zero { return HashChain.start(of: snapshot.identity.id) }
                if parsed.seq == snapshot.tail.sealedSeq { return snapshot.tail.sealedHash }
                let run = try messages.run(containing: parsed.seq)
                guard let index = run.records.index(of: parsed.seq) else { throw StoreError.failed("a block is short") }
                return run.hash(after: index)
            }
        } catch {
            // Where the message itself can't be read, its number is all there is to go by.
            if case .damaged = StoreError(error) { return parsed.seq }
            throw StoreError(error)
        }
        guard hash.prefix == parsed.hashPrefix else {
            throw .cursorExpired("the cursor is of a history that the server no longer has")
        }
        return parsed.seq
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
        var views: [ConversationView] = []
        for name in names {
            // One that went away since the names were taken is simply not there.
            guard let view = try? conversation(name, for: principal) else { continue }
            views.append(view)
        }
        return ConversationPage(conversations: views, more: more, next: names.last ?? after)
    }

    public func conversation(_ name: String, for principal: Principal) throws(StoreError) -> ConversationView {
        let snapshot = try snapshot(name, for: principal)
        return view(of: snapshot)
    }

    /// The conversation object, with its newest message. One that can't be read is left out: reading it says why.
    func view(of snapshot: Snapshot, first: Seq = Seq(1)) -> ConversationView {
        let head = snapshot.tail.head
        var last: Message?
        if head > .zero {
            last = try? withReader { reader in
                try MessageReader(
                    reader: reader, conversation: snapshot.identity, name: snapshot.name, tail: snapshot.tail
                ).page(head...head).first
            }
        }
        return ConversationView(
            name: snapshot.name, id: snapshot.identity.id, kind: snapshot.identity.kind, first: first, head: head,
            hash: snapshot.tail.hashes.last ?? snapshot.tail.sealedHash, read: snapshot.read, unread: snapshot.unread,
            last: last)
    }
}

extension StoreState {
    /// What a request of this account needs of a conversation.
    func snapshot(of conversation: ConversationState, for account: AccountID) -> Store.Snapshot {
        var snapshot = Store.Snapshot(
            identity: conversation.identity, name: displayName(of: conversation, for: account),
            tail: Tail(conversation), commit: commit)
        if let reader = accounts[account] { (snapshot.read, snapshot.unread) = unread(conversation, for: reader) }
        return snapshot
    }
}
