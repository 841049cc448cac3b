internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterLog

/// Builds one batch: checks authority, numbers the messages, and finds repeated ids. Runs on the writer's thread.
/// Nothing is visible before `publish`. If other stores were first in the log, the batch is built again from its
/// items.
final class BatchBuilder {
    let commit: Commit
    let now: Timestamp
    /// The highest row numbers, including those that this batch has assigned.
    private(set) var counters: StoreState.Counters
    private(set) var messages = Batch()
    private(set) var changes: [Change] = []
    private(set) var blocks: [WrittenBlocks] = []
    private(set) var movedTails = SealedBatch.empty
    private(set) var newKeys: [MovedKey] = []
    /// The error that makes the whole batch impossible.
    private(set) var failure: (any Error)?

    private let store: Store
    private let findKey: (RecentKey) -> FoundKey?
    private var tails: [Int64: StagedTail] = [:]
    private var newConversations: [Int64: ConversationState] = [:]
    private var newPersonal: [AccountPair: Int64] = [:]
    private var stagedKeys: [RecentKey: FoundKey] = [:]
    private var newContacts: [AccountID: Set<AccountID>] = [:]
    private var newFiles: Set<FileID> = []
    /// The messages that this batch deletes, by conversation.
    private var newDeletions: [Int64: Set<Seq>] = [:]
    private var spent: [Quotas.Amounts] = []
    private var postings: [Posted] = []
    private var operations: [(completion: @Sendable (StoreError?) -> Void, refusal: StoreError?)] = []

    /// The new messages of one conversation. A class, so that appending needs no copy.
    private final class StagedTail {
        var head: Seq
        var hash: Digest
        var lastServerTime: Timestamp
        /// The salt of the next record; nil begins a run.
        var nextSalt: SaltSource?
        /// The salt of the newest record of this batch.
        var newestSalt: SaltSource?
        var records: [(record: Record, hash: Digest)] = []

        init(_ conversation: ConversationState) {
            (head, hash) = (conversation.head, conversation.headHash)
            nextSalt = conversation.nextSalt
            lastServerTime = conversation.lastServerTime
        }
    }

    /// A posting and what became of its messages.
    private struct Posted: Sendable {
        let posting: StoreWriter.Posting
        /// A message with a repeated id is refused here until it is found.
        var outcomes: [PostOutcome] = []
        var repeated: [Repeated] = []
        var hasRefusal = false

        mutating func refuse(_ reason: StoreError) {
            outcomes.append(.refused(reason))
            hasRefusal = true
        }

        mutating func noteRepeated(
            _ given: NewMessage, _ seq: Seq, of conversation: ConversationIdentity, named name: String
        ) {
            repeated.append(
                Repeated(place: outcomes.count, given: given, conversation: conversation, name: name, seq: seq))
            outcomes.append(.refused(.notTried))
        }
    }

    /// A message whose id was used before.
    private struct Repeated: Sendable {
        let place: Int
        let given: NewMessage
        let conversation: ConversationIdentity
        let name: String
        let seq: Seq
    }

    /// The values that the messages of one posting share.
    private struct Poster {
        let principal: Principal
        let name: [UInt8]
        let label: String?
        let via: [UInt8]?
        /// The conversation of the message before, which the principal may write to. Most postings of many messages have one.
        var last: (given: String, id: ConversationID?, conversation: ConversationState, name: String)?

        /// - Parameter label: of the principal's token.
        init(_ principal: Principal, label: String?) {
            (self.principal, self.label) = (principal, label)
            name = Array(principal.name.text.utf8)
            via = label.map { Array($0.utf8) }
        }
    }

    /// - Parameter findKey: finds the use of a key before this batch.
    init(_ store: Store, findKey: @escaping (RecentKey) -> FoundKey?) {
        (self.store, self.findKey) = (store, findKey)
        now = store.clock.now()
        (commit, counters) = store.state.withLock { ($0.commit.next, $0.counters) }
    }

    /// Whether the batch contains nothing to make durable.
    var isEmpty: Bool { messages.isEmpty && changes.isEmpty && movedTails.isEmpty }

    /// Whether nothing in the log would prove that the state was the newest for all answers: something is refused, or nothing
    /// is new.
    var mayBeOutdated: Bool {
        isEmpty || operations.contains { $0.refusal != nil } || postings.contains { $0.hasRefusal }
    }

    func newAccountNumber() -> AccountID {
        counters.account += 1
        return AccountID(rawValue: counters.account)
    }

    func newTokenNumber() -> Int64 {
        counters.token += 1
        return counters.token
    }

    func newConversationNumber() -> Int64 {
        counters.conversation += 1
        return counters.conversation
    }

    /// The audit entry for an action of an admin or operator.
    func audited(_ actor: String, _ action: String, _ subject: String) -> Change {
        counters.audit += 1
        return .audited(counters.audit, AuditEntry(time: now, actor: actor, action: action, subject: subject))
    }

    // MARK: Operations

    func add(_ operation: StoreWriter.Operation) {
        var refusal: StoreError?
        do {
            let decision = try operation.decide(self)
            try spend(decision.events)
            add(decision)
        } catch {
            if ArchiveError(error).leavesUnknown { failure = error }
            refusal = StoreError(error)
        }
        operations.append((operation.completion, refusal))
    }

    /// Counts what an operation does in groups.
    private func spend(_ events: [Decision.Event]) throws(StoreError) {
        guard let actor = events.first?.actor else { return }
        let messages = events.filter { $0.cost == .message }
        try spend(
            Quotas.Amounts(
                account: actor.account, messages: messages.count,
                bytes: messages.reduce(0) { $0 + $1.text.utf8.count }, members: events.count { $0.cost == .member }))
    }

    private func spend(_ amounts: Quotas.Amounts) throws(StoreError) {
        if try store.quotas.spend(amounts, at: now) { spent.append(amounts) }
    }

    /// Uncounts what this batch has counted for the limits of accounts. Call it if the batch is not stored.
    func giveBack() { store.quotas.giveBack(spent) }

    private func add(_ decision: Decision) {
        for change in decision.changes { add(change) }
        blocks += decision.blocks
        if !decision.movedTails.isEmpty { movedTails = decision.movedTails }
        guard !decision.events.isEmpty else { return }
        store.state.withLock { state in
            for event in decision.events {
                guard let conversation = conversation(event.conversation, state) else { continue }
                _ = stage(
                    in: conversation, sender: Array(event.actor.name.text.utf8), text: Array(event.text.utf8),
                    kind: .event)
            }
        }
    }

    private func add(_ change: Change) {
        changes.append(change)
        if case .conversationAdded(let new) = change { newConversations[new.number] = new.makeState() }
    }

    private func conversation(_ number: Int64, _ state: StoreState) -> ConversationState? {
        newConversations[number] ?? state.conversations[number]
    }

    // MARK: Messages

    func add(_ posting: StoreWriter.Posting) {
        var posted = Posted(posting: posting)
        posted.outcomes.reserveCapacity(posting.messages.count)
        var isStopped = false
        store.state.withLock { state in
            // Checked again, because the token may have been revoked or the account disabled since the request began.
            guard state.isGood(posting.principal, at: now) else {
                for _ in posting.messages { posted.refuse(.unauthorized) }
                return
            }
            var poster = Poster(posting.principal, label: state.tokens[posting.principal.token]?.label)
            for message in posting.messages {
                guard !isStopped else {
                    posted.refuse(.notTried)
                    continue
                }
                do {
                    try number(message, by: &poster, &posted, state)
                } catch let error as StoreError {
                    posted.refuse(error)
                    isStopped = posting.stopAtRefusal
                } catch {
                    failure = error
                    return
                }
            }
        }
        postings.append(posted)
    }

    /// Finds the conversation of a message and checks that the principal may write to it.
    ///
    /// - Returns: also its name for the principal, and whether the message was counted.
    private func target(
        of message: NewMessage, by poster: inout Poster, _ state: StoreState
    ) throws(StoreError) -> (conversation: ConversationState, name: String, isCounted: Bool) {
        if let last = poster.last, last.id == message.conversationID, last.given == message.conversation {
            return (last.conversation, last.name, false)
        }
        let principal = poster.principal
        let conversation: ConversationState
        var isCounted = false
        switch try state.resolve(message.conversation, id: message.conversationID, for: principal.account) {
        case .existing(let existing): conversation = existing
        case .unwritten(let own, let peer):
            // Checked first, because a refused message must not create the conversation. If the id is known, it was
            // used in another conversation.
            try Authority.check(.send(conversation: message.conversation), of: principal, state)
            if peer.blocked.contains(own.id) { throw StoreError.blocked(message.conversation) }
            if newPersonal[AccountPair(own.id, peer.id)] == nil, let about = message.about {
                throw StoreError.badAbout("there is no message \(about) in '\(message.conversation)'")
            }
            if newPersonal[AccountPair(own.id, peer.id)] == nil, let key = message.key, let recent = message.recentKey,
                find(recent) != nil
            {
                throw StoreError.idReused(key.text)
            }
            try spend(Quotas.Amounts(account: principal.account, bytes: message.text.utf8.count))
            isCounted = true
            conversation = begin(own, peer)
        }
        let name = state.displayName(of: conversation, for: principal.account)
        var isBlocked = false
        do throws(StoreError) {
            try Authority.check(.write, of: principal.account, in: conversation, named: message.conversation, state)
        } catch .blocked where message.recentKey.flatMap(find) != nil {
            // It may have been stored before the block, and only its answer lost.
            isBlocked = true
        }
        try Authority.checkScope(.write, of: principal, on: conversation.identity.id)
        if isBlocked { return (conversation, name, isCounted) }
        poster.last = (message.conversation, message.conversationID, conversation, name)
        return (conversation, name, isCounted)
    }

    /// Numbers a message and adds what became of it, unless it throws.
    private func number(
        _ message: NewMessage, by poster: inout Poster, _ posted: inout Posted, _ state: StoreState
    ) throws {
        try check(message)
        let (conversation, name, isCounted) = try target(of: message, by: &poster, state)
        let principal = poster.principal
        var text = message.text
        let bytes = text.withUTF8 { Array($0) }
        let number = conversation.identity.number
        var key: Batch.Key?
        if let given = message.key, let recent = message.recentKey {
            let made = Batch.Key(
                recent: recent,
                content: content(of: message, bytes, in: conversation.identity.id))
            if let found = find(recent) {
                let isSame = found.content == made.content || found.content == FoundKey.erasedContent
                guard isSame, found.conversation == number else { throw StoreError.idReused(given.text) }
                return posted.noteRepeated(message, found.seq, of: conversation.identity, named: name)
            }
            key = made
        }
        try Authority.checkRecipient(of: message, by: principal.account, in: conversation, state)

        var original: OriginalMessage?
        if let about = message.about {
            let found = try self.original(about, of: message, in: conversation)
            let isDeleted =
                conversation.deletions.contains(about) || newDeletions[number]?.contains(about) == true
            try Authority.check(
                message, about: found, isDeleted: isDeleted, by: principal, in: conversation, named: name, state)
            original = found
        }

        let files = try state.files.rows(of: message, by: principal, in: conversation.identity.id, besides: newFiles)
        // Last of all checks, because only what is stored counts.
        if !isCounted { try spend(Quotas.Amounts(account: principal.account, bytes: bytes.count)) }
        // A user who takes a message back has not written to anybody.
        if message.kind == .text, let peer = Authority.peer(of: principal.account, in: conversation) {
            addContact(principal.account, to: peer, state)
        }
        let (record, hash) = stage(
            in: conversation, sender: poster.name, text: bytes, kind: message.kind, about: message.about,
            via: poster.via, written: message.written, key: key)
        if let original, let relation = Relation(record) { add(relation, about: original, in: number) }
        let seq = record.seq
        for (file, row) in zip(message.files, files) { add(file.record, row, of: record, by: poster, in: conversation) }
        if let key {
            let found = FoundKey(conversation: number, seq: seq, content: key.content)
            stagedKeys[key.recent] = found
            newKeys.append(MovedKey(key: key.recent, found: found, commit: commit))
        }
        posted.outcomes.append(
            .posted(
                Message(
                    conversation: name, conversationID: conversation.identity.id, seq: seq,
                    cursor: MessageCursor(conversation: conversation.identity.id, seq: seq, hashPrefix: hash.prefix),
                    time: record.time, sender: principal.name.text, text: text, kind: record.kind, about: record.about,
                    via: poster.label, written: record.written)))
    }

    /// Checks what can be checked without the conversation.
    private func check(_ message: NewMessage) throws(StoreError) {
        if message.kind == .delete {
            guard message.text.isEmpty else { throw .badText(.notEmpty) }
        } else if message.uploads.isEmpty || !message.text.isEmpty {
            do throws(TextError) { try TextError.check(message.text) } catch { throw .badText(error) }
        }
        if message.about == nil, message.kind.isChange {
            throw .badAbout("'about' is missing: the number of the message to change")
        }
        try message.checkFiles(isShared: store.isShared)
    }

    /// Adds the record of a file behind its text. Both are of one commit.
    private func add(
        _ file: FileRecord, _ row: FileRow, of text: Record, by poster: Poster, in conversation: ConversationState
    ) {
        let (record, _) = stage(
            in: conversation, sender: poster.name, text: Array(file.line.utf8), kind: .file, about: text.seq,
            via: poster.via)
        newFiles.insert(row.id)
        if let relation = Relation(record) { add(.related(relation, in: conversation.identity.number, author: nil)) }
        add(.fileSet(row.named(by: record.seq, in: conversation.identity.number)))
    }

    /// The hash that tells whether an id is used again with the same content.
    private func content(of message: NewMessage, _ text: [UInt8], in conversation: ConversationID) -> UInt64 {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ConversationID.byteCount + text.count)
        conversation.append(to: &bytes)
        if message.kind != .text || message.about != nil || !message.files.isEmpty {
            // No text has a zero byte, so no text alone has the same bytes.
            bytes += [0, message.kind.rawValue]
            LEB128.append(message.about?.rawValue ?? 0, to: &bytes)
        }
        bytes += text
        for file in message.files { bytes += file.content }
        return bytes.withUnsafeBytes { store.keySecret.hash($0) }
    }

    /// The message that a new one is about: in this batch, in the tail, or read before.
    private func original(
        _ seq: Seq, of message: NewMessage, in conversation: ConversationState
    ) throws(StoreError) -> OriginalMessage {
        let staged = tails[conversation.identity.number]
        guard seq >= conversation.first, seq <= staged?.head ?? conversation.head else {
            throw .badAbout("there is no message \(seq) in '\(message.conversation)'")
        }
        if let first = staged?.records.first?.record.seq, seq >= first, let staged {
            let record = staged.records[Int(clamping: seq.rawValue - first.rawValue)].record
            var records = Records(firstSeq: seq)
            records.append(record)
            return OriginalMessage(records, 0)
        }
        if let read = message.original, read.conversation == conversation.identity.id {
            // It may have been erased since then. The next try reads what is left.
            guard read.erasedCommit == conversation.erasedCommit else { throw .busy }
            return try read.message.get()
        }
        if let records = conversation.tail.block(containing: seq)?.records, let index = records.index(of: seq) {
            return OriginalMessage(records, index)
        }
        // It was sealed since the request came. The next try reads it.
        throw .busy
    }

    private func add(_ relation: Relation, about original: OriginalMessage, in conversation: Int64) {
        let isDeletion = relation.kind == .delete
        if isDeletion { newDeletions[conversation, default: []].insert(relation.about) }
        add(.related(relation, in: conversation, author: isDeletion ? original.author : nil))
    }

    /// Finds the use of an id in this batch or before.
    private func find(_ key: RecentKey) -> FoundKey? { stagedKeys[key] ?? findKey(key) }

    /// Adds the sender of a personal message to the recipient's contacts.
    private func addContact(_ sender: AccountID, to account: AccountID, _ state: StoreState) {
        guard sender != account, state.accounts[account]?.contacts.contains(sender) == false,
            newContacts[account]?.contains(sender) != true
        else { return }
        add(.contactSet(account, peer: sender, isContact: true))
        newContacts[account, default: []].insert(sender)
    }

    /// Gives a record its number, its time and its place in the chain, and adds it to the batch.
    private func stage(
        in conversation: ConversationState, sender: [UInt8], text: [UInt8], kind: MessageKind, about: Seq? = nil,
        via: [UInt8]? = nil, written: Timestamp? = nil, key: Batch.Key? = nil
    ) -> (record: Record, hash: Digest) {
        let tail: StagedTail
        if let known = tails[conversation.identity.number] {
            tail = known
        } else {
            tail = StagedTail(conversation)
            tails[conversation.identity.number] = tail
        }
        let time = max(now, tail.lastServerTime)
        let salt = tail.nextSalt ?? .newRun()
        tail.nextSalt = salt.next
        let record = Record(
            seq: tail.head.next, time: time, sender: sender, text: text[...], kind: kind, about: about, via: via,
            written: written.flatMap { isMuchEarlier($0, than: time) ? $0 : nil }, commit: commit,
            salt: salt)
        messages.append(
            conversation: conversation.identity.number, record, after: tail.newestSalt, key: key)
        tail.newestSalt = salt
        tail.hash = HashChain.advance(tail.hash, over: record)
        tail.head = record.seq
        tail.lastServerTime = time
        tail.records.append((record, tail.hash))
        return (record, tail.hash)
    }

    private func isMuchEarlier(_ written: Timestamp, than time: Timestamp) -> Bool {
        let (delay, overflow) = time.milliseconds.subtractingReportingOverflow(written.milliseconds)
        return !overflow && delay > Limits.writtenEarlierMilliseconds && Timestamp.range.contains(written)
    }

    /// Creates the conversation of two users who have not written to each other.
    private func begin(_ own: AccountState, _ peer: AccountState) -> ConversationState {
        let pair = AccountPair(own.id, peer.id)
        if let number = newPersonal[pair], let begun = newConversations[number] { return begun }
        let new = Change.NewConversation.personal(own, peer, in: store.id, number: newConversationNumber())
        let state = new.makeState()
        changes.append(.conversationAdded(new))
        newConversations[new.number] = state
        newPersonal[pair] = new.number
        return state
    }

    // MARK: Afterwards

    func entry(behind place: LogPlace, by author: LogEntry.Author) -> LogEntry {
        LogEntry(
            before: place, author: author, commit: commit, changes: changes, messages: SealedBatch(messages),
            movedTails: movedTails)
    }

    /// Makes the batch visible. Call with the state lock held, after its entry is durable.
    func publish(_ entry: LogEntry, to state: inout StoreState) -> StoreState.Published {
        state.publish(
            changes, at: commit, journalBytes: entry.journalBytes,
            tails.map { (conversation: $0.key, records: $0.value.records) })
    }

    /// Sends the answers. Call without the lock. Another thread looks up the messages of repeated ids, so that the
    /// writer's thread does not wait.
    func answer() {
        for posted in postings {
            if posted.repeated.isEmpty {
                posted.posting.completion(posted.outcomes)
            } else {
                store.earlierMessages.submit { [store] in BatchBuilder.answer(posted, store) }
            }
        }
        for (completion, refusal) in operations { completion(refusal) }
    }

    private static func answer(_ posted: Posted, _ store: Store) {
        var earlier = EarlierMessageReader(store)
        var outcomes = posted.outcomes
        for repeated in posted.repeated {
            outcomes[repeated.place] = earlier.message(
                repeated.seq, of: repeated.conversation, named: repeated.name, again: repeated.given)
        }
        posted.posting.completion(outcomes)
    }
}
