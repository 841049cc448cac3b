internal import NatterConversation
internal import NatterSystem
public import NatterModel
internal import NatterLog

extension Store {
    /// The most that one page reads while its filter finds nothing.
    private static let pageBudget = ReadBudget(blocks: 64, passedOver: 20_000)

    private static let foldedStep = 64

    public func messages(_ query: PageQuery, for principal: Principal) throws(StoreError) -> MessagePage {
        let snapshot = try snapshot(query.conversation, id: query.id, for: principal)
        return try read(snapshot) { reader in
            var page = try page(query, reader, snapshot.commit)
            page.group = snapshot.identity.kind == .group ? snapshot.identity.id : nil
            return page
        }
    }

    /// A page as provisional blocks, with everything that its hash chain needs. It ends early if it is long.
    public func blocks(_ query: PageQuery, for principal: Principal) throws(StoreError) -> [[UInt8]] {
        let snapshot = try snapshot(query.conversation, for: principal)
        return try read(snapshot) { reader in
            var blocks: [[UInt8]] = []
            var bytes = 0
            let filter = MessageFilter(after: query.after ?? .zero, before: query.before)
            _ = try reader.forward(filter, limit: query.limit, budget: Store.pageBudget) { piece in
                switch piece {
                case .messages(let run):
                    guard let first = run.positions.first, let last = run.positions.last else { return true }
                    let next = try run.block.provisional(first..<last + 1, of: snapshot.identity.id).map(\.bytes)
                    blocks += next
                    bytes += next.reduce(0) { $0 + $1.count }
                    return bytes < Limits.pageBytes
                case .missing(_, let seqs, let reason):
                    if blocks.isEmpty { throw ArchiveError.missing(seqs, reason) }
                    return false
                }
            }
            return blocks
        }
    }

    private func page(_ query: PageQuery, _ reader: LogReader, _ commit: Commit) throws -> MessagePage {
        let head = reader.log.head
        var filter = MessageFilter(after: query.after ?? .zero, before: query.before)
        (filter.since, filter.until, filter.isFolded) = (query.since, query.until, query.isFolded)
        if let sender = query.sender { filter.senders = [spelling(ofSender: sender)] }
        let folder = MessageFolder(reader, folds: query.isFolded, needsEdits: true)
        // The edit of a short text may be long, so folded messages are made a few at a time.
        let step = query.isFolded ? Store.foldedStep : Int.max
        if let around = query.around.map({ max($0, reader.log.first) }) {
            let window = try reader.window(around: around, count: query.limit, filter, budget: Store.pageBudget)
            if let lowest = window?.lowerBound {
                // The message itself must be on the page, so what precedes it takes at most half of the page.
                let seqs = lowest...max(lowest, min(around, head))
                let start = try start(of: reader, seqs, folder, step, isFolded: query.isFolded)
                filter.after = max(filter.after, start.previous)
            }
        }
        var messages: [Message] = []
        var bytes = 0
        /// The last message of a page that has enough bytes.
        var cut: Seq?
        /// Ends a page before missing messages, so that the next page begins with them and reports the damage.
        func collect(_ piece: LogPiece) throws -> Bool {
            switch piece {
            case .messages(let run):
                var rest = run.positions[...]
                while cut == nil, !rest.isEmpty {
                    var expected = bytes
                    let fitting = rest.prefix(step).prefix { position in
                        expected += run.records.answerBytes(at: position)
                        return expected <= Limits.pageBytes || (messages.isEmpty && position == run.positions.first)
                    }
                    var found = run.only(Array(fitting)).messages()
                    var isDamaged = false
                    do { try folder.apply(to: &found) } catch let error as ArchiveError {
                        // An edit that can't be read is damage of the message.
                        guard let seq = error.withheld?.from else { throw error }
                        found = Array(found.prefix { $0.seq != seq })
                        if messages.isEmpty, found.isEmpty { throw error }
                        isDamaged = true
                    }
                    for message in found {
                        bytes += Records.answerBytes(of: message.text)
                        guard bytes <= Limits.pageBytes || messages.isEmpty else { break }
                        messages.append(message)
                    }
                    rest = rest.dropFirst(fitting.count)
                    if isDamaged || bytes > Limits.pageBytes || fitting.isEmpty { cut = messages.last?.seq }
                }
                return cut == nil
            case .missing(_, let seqs, let reason):
                if messages.isEmpty { throw ArchiveError.missing(seqs, reason) }
                return false
            }
        }
        // A page of `before` alone is continued by `before`, so it has the newest messages, with `since`, too.
        if query.after != nil || query.around != nil || (query.since != nil && query.before == nil) {
            var scanned = try reader.forward(filter, limit: query.limit, budget: Store.pageBudget, visit: collect)
            scanned = cut ?? scanned
            // With `around`, `more` also counts messages behind the page, because the query did not ask to end there.
            let last = min(head, (query.before ?? head.next).previous)
            return MessagePage(messages: messages, head: head, more: scanned < last, next: scanned, commit: commit)
        }
        var scanned = try reader.backward(filter, limit: query.limit, budget: Store.pageBudget, visit: collect)
        let wantsAll = query.before == nil && filter.wantsAll
        if wantsAll, messages.contains(where: \.isImported) {
            // What was imported last may be older than what was there.
            (messages, bytes, cut) = ([], 0, nil)
            scanned = try reader.backward(reader.newest(query.limit, filter), limit: query.limit, visit: collect)
        }
        scanned = cut ?? scanned
        messages.reverse()
        let next = min(scanned, query.before ?? scanned)
        let precedes = next > reader.log.first
        // Without a selector this is the newest page, so whatever follows it does not exist yet. If it ended early, it
        // goes on backwards.
        let isNewest = wantsAll && (messages.count == query.limit || !precedes)
        return MessagePage(
            messages: messages, head: head, more: isNewest ? false : precedes, next: isNewest ? head : next,
            commit: commit)
    }

    /// The lowest of these messages that still is on a page whose last is the message asked for, if what precedes that
    /// one takes half a page.
    private func start(
        of reader: LogReader, _ seqs: ClosedRange<Seq>, _ folder: MessageFolder, _ step: Int, isFolded: Bool
    ) throws -> Seq {
        var start = seqs.upperBound
        var bytes = 0
        var filter = MessageFilter(after: seqs.lowerBound.previous, before: seqs.upperBound)
        filter.isFolded = isFolded
        try reader.backward(filter) { piece in
            guard case .messages(let run) = piece else {
                start = seqs.lowerBound
                return false
            }
            var rest = run.positions[...]
            while !rest.isEmpty {
                let part = rest.prefix(step)
                var found = run.only(Array(part)).messages()
                // The page would end before one whose edit can't be read.
                do { try folder.apply(to: &found) } catch let error as ArchiveError where error.withheld != nil {
                    return false
                }
                for message in found {
                    bytes += Records.answerBytes(of: message.text)
                    guard bytes <= Limits.pageBytes / 2 else { return false }
                    start = message.seq
                }
                rest = rest.dropFirst(part.count)
            }
            return true
        }
        return start
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
                SealedCursor(cursor) == nil
                    ? "the cursor is malformed" : "this is a cursor of sync, not of a message")
        }
        let snapshot = try snapshot(conversation, for: principal)
        switch try read(snapshot, { reader in try reader.standing(of: parsed) }) {
        // If the message itself can't be read, only its number is known.
        case .good(let seq), .unknown(let seq): return seq
        case .notKept:
            throw .notKept(first: snapshot.tail.first)
        case .foreign: throw .badCursor("the cursor is of another conversation, or of a former one of this name")
        case .ahead:
            throw .cursorExpired(
                "the cursor is ahead of the conversation, whose head is \(snapshot.tail.head): the server was restored from a backup; read again from the start, with after=0"
            )
        case .diverged:
            throw .cursorExpired(
                "the cursor is of a history that the server no longer has; read again from the start, with after=0")
        }
    }

    /// One message with the numbers of its replies and edits.
    public func message(
        _ seq: Seq, in conversation: String, isFolded: Bool, for principal: Principal
    ) throws(StoreError) -> MessageView {
        let snapshot = try snapshot(conversation, for: principal)
        guard seq >= snapshot.tail.first, seq <= snapshot.tail.head else {
            throw .noSuchMessage(seq, conversation: conversation)
        }
        return try read(snapshot) { reader in
            let block = try reader.storedBlock(containing: seq)
            guard let index = block.records.index(of: seq) else {
                throw StoreError.noSuchMessage(seq, conversation: conversation)
            }
            let hash = block.hash(after: index)
            let message = Message(block.records[index], hash: hash, of: snapshot.identity.id, named: snapshot.name)
            func seqs(_ kind: MessageKind) throws -> [Seq] {
                try RelationRows.seqs(
                    of: kind, about: seq, in: snapshot.identity.number, limit: Limits.pageLimit,
                    on: reader.archive.connection)
            }
            return MessageView(
                message: try MessageFolder(reader, folds: isFolded, needsEdits: true).applied(to: message),
                replies: try seqs(.text),
                edits: try seqs(.edit), hash: hash)
        }
    }

    public func conversations(
        of principal: Principal, after: String?, limit: Int
    ) throws(StoreError) -> ConversationPage {
        let names = listing(for: principal).behind(after)
        let snapshots = lookUp(names.prefix(limit)) { state, entry -> Snapshot? in
            // A conversation that was removed since the names were collected is left out.
            guard let conversation = state.conversations[entry.number], Authority.sees(principal, conversation) else {
                return nil
            }
            return state.snapshot(of: conversation, for: principal.account)
        }
        var views: [ConversationView] = []
        var bytes = 0
        for snapshot in snapshots {
            guard bytes < Limits.pageBytes else {
                return ConversationPage(conversations: views, more: true, next: views.last?.name ?? after)
            }
            let view = view(of: snapshot)
            bytes += ConversationView.answerBytes + (view.last.map { Records.answerBytes(of: $0.text) } ?? 0)
            views.append(view)
        }
        return ConversationPage(
            conversations: views, more: limit < names.count, next: names.prefix(limit).last?.name ?? after)
    }

    /// The names of all conversations that a principal sees.
    private func listing(for principal: Principal) -> ConversationListing {
        func entries(_ state: StoreState) -> [ConversationListing.Entry] {
            state.visible(to: principal).map { conversation in
                ConversationListing.Entry(
                    name: state.displayName(of: conversation, for: principal.account),
                    number: conversation.identity.number)
            }
        }
        guard principal.scope == .all else { return ConversationListing(state.withLock { entries($0) }) }
        return listing(of: principal.account, \.listing, entries)
    }

    /// An order of an account's conversations. Sorts it outside the lock, because there may be thousands, and keeps it.
    func listing(
        of account: AccountID, _ order: WritableKeyPath<AccountState, ConversationListing?>,
        _ entries: (StoreState) -> [ConversationListing.Entry]
    ) -> ConversationListing {
        let (known, version, entries) = state.withLock { state in
            let own = state.accounts[account]
            let known = own?[keyPath: order]
            return (known, own?.namesVersion ?? 0, known == nil ? entries(state) : [])
        }
        if let known { return known }
        let made = ConversationListing(entries)
        state.withLock { $0.accounts[account]?.keep(made, as: order, of: version) }
        return made
    }

    public func conversation(_ name: String, for principal: Principal) throws(StoreError) -> ConversationView {
        view(of: try snapshot(name, for: principal))
    }

    /// The conversation object with its newest message. An unreadable message is left out; reading it reports the
    /// damage.
    func view(of snapshot: Snapshot, first: Seq? = nil) -> ConversationView {
        ConversationView(
            name: snapshot.name, id: snapshot.identity.id, kind: snapshot.identity.kind, topic: snapshot.topic,
            first: max(first ?? snapshot.tail.first, snapshot.tail.first), head: snapshot.tail.head,
            hash: snapshot.tail.hash, read: snapshot.mark.seq, unread: snapshot.unread,
            last: newest(of: snapshot))
    }

    /// The newest message by time.
    private func newest(of snapshot: Snapshot) -> Message? {
        if let newest = snapshot.tail.newest {
            return Message(newest.record, hash: newest.hash, of: snapshot.identity.id, named: snapshot.name)
        }
        return try? read(snapshot) { reader in
            guard let run = try reader.newestMessage(), let position = run.positions.first else { return nil }
            // An imported one may have been deleted before the last one.
            let message = try MessageFolder(reader, folds: false).messages(of: run) ?? run.messages()
            if message.first?.isDeleted == false,
                let kept = NewestMessage(run.records[position], hash: run.block.hash(after: position))
            {
                state.withLock { state in
                    state.conversations[snapshot.identity.number]?.keep(
                        kept, head: snapshot.tail.hash, erasedCommit: snapshot.erasedCommit)
                }
            }
            return message.first
        }
    }
}
