internal import NatterSystem
internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
internal import NatterLog
internal import NatterModel

/// One batch while it is being put together: who may write, which number each message gets, what was there already.
/// Nothing of it shows before `publish`.
final class Numbering {
    private(set) var batch = Batch()
    /// Why the whole batch can't be; the transaction is undone then.
    private(set) var failure: (any Error)?
    private(set) var newKeys: [(key: NewKey, commit: Commit)] = []

    struct NewKey {
        let key: Batch.Key
        let conversation: Int64
        let seq: Seq
    }

    private let commit: Commit
    private let now: Timestamp
    private let core: WriterCore
    private var staged: [Int64: Staged] = [:]
    private var newConversations: [AccountPair: ConversationState] = [:]
    private var stagedKeys: [WriterCore.RecentKey: KeyTables.Found] = [:]
    private var newContacts: [AccountID: Set<AccountID>] = [:]
    private var touched: Set<AccountID> = []
    private var results: [(posting: StoreWriter.Posting, outcomes: [Outcome])] = []

    private struct Staged {
        let conversation: ConversationState
        var head: Seq
        var hash: Digest
        var lastServerTime: Timestamp
        var records: [(record: Record, hash: Digest)] = []
    }

    private enum Outcome: Sendable {
        case posted(Message)
        case repeated(conversation: ConversationIdentity, name: String, seq: Seq)
        case refused(StoreError)
    }

    init(commit: Commit, now: Timestamp, core: WriterCore) {
        (self.commit, self.now, self.core) = (commit, now, core)
    }

    func number(_ posting: StoreWriter.Posting) {
        var outcomes: [Outcome] = []
        outcomes.reserveCapacity(posting.messages.count)
        var isStopped = false
        core.store.state.withLock { state in
            // Asked here again: between the request's beginning and this a token may have been revoked or an account disabled.
            guard state.isGood(posting.principal, at: now) else {
                outcomes = posting.messages.map { _ in .refused(.unauthorized) }
                return
            }
            for message in posting.messages {
                guard !isStopped else {
                    outcomes.append(.refused(.notTried))
                    continue
                }
                do {
                    outcomes.append(try number(message, by: posting.principal, &state))
                } catch let error as StoreError {
                    outcomes.append(.refused(error))
                    isStopped = posting.stopAtRefusal
                } catch {
                    failure = error
                    return
                }
            }
        }
        results.append((posting, outcomes))
    }

    private func number(_ message: NewMessage, by principal: Principal, _ state: inout StoreState) throws -> Outcome {
        do throws(TextError) { try TextError.check(message.text) } catch { throw StoreError.badText(error) }
        let conversation: ConversationState
        switch try state.resolve(message.conversation, for: principal.account) {
        case .existing(let existing): conversation = existing
        case .unwritten(let own, let peer):
            // What would be refused must not begin a conversation. An id that is known was used in another one.
            if peer.blocked.contains(own.id) { throw StoreError.blocked(message.conversation) }
            if newConversations[AccountPair(own.id, peer.id)] == nil, let key = message.key,
                try find(key.shortHash(core.store.keySecret), of: own.id) != nil
            {
                throw StoreError.idReused(key.text)
            }
            conversation = try begin(own, peer)
        }
        let name = state.displayName(of: conversation, for: principal.account)
        try Authority.check(.write, of: principal.account, in: conversation, named: message.conversation, state)

        var text = message.text
        let bytes = text.withUTF8 { Array($0) }
        let number = conversation.identity.number
        var key: Batch.Key?
        if let given = message.key {
            let made = Batch.Key(
                account: principal.account.rawValue, hash: given.shortHash(core.store.keySecret),
                content: (conversation.identity.id.bytes + bytes).withUnsafeBytes { core.store.keySecret.hash($0) })
            if let found = try find(made.hash, of: principal.account) {
                guard found.content == made.content, found.conversation == number else {
                    throw StoreError.idReused(given.text)
                }
                return .repeated(conversation: conversation.identity, name: name, seq: found.seq)
            }
            key = made
        }

        if let peer = Authority.peer(of: principal.account, in: conversation) {
            try addContact(principal.account, to: peer, state)
        }
        let sender = Array(principal.name.text.utf8)
        let (record, hash) = stage(in: conversation, sender: sender, text: bytes, kind: .text)
        let seq = record.seq
        batch.append(conversation: number, record, key: key)
        if let key {
            let found = KeyTables.Found(conversation: number, seq: seq, content: key.content)
            stagedKeys[WriterCore.RecentKey(account: key.account, hash: key.hash)] = found
            newKeys.append((NewKey(key: key, conversation: number, seq: seq), commit))
        }
        return .posted(
            Message(
                conversation: name, conversationID: conversation.identity.id, seq: seq,
                cursor: MessageCursor(conversation: conversation.identity.id, seq: seq, hashPrefix: hash.prefix),
                time: record.time, sender: principal.name.text, text: text))
    }

    /// What an id was used for, in this batch or before.
    private func find(_ hash: UInt64, of account: AccountID) throws(SQLiteError) -> KeyTables.Found? {
        let key = WriterCore.RecentKey(account: account.rawValue, hash: hash)
        if let staged = stagedKeys[key] { return staged }
        return try core.find(key)
    }

    /// Whoever writes somebody a personal message becomes a contact of theirs.
    private func addContact(_ sender: AccountID, to account: AccountID, _ state: StoreState) throws(SQLiteError) {
        guard sender != account, state.accounts[account]?.contacts.contains(sender) == false,
            newContacts[account]?.contains(sender) != true
        else { return }
        let statement = try core.connection.statement("INSERT OR IGNORE INTO contact VALUES (?,?)")
        try statement.run(account.rawValue, sender.rawValue)
        newContacts[account, default: []].insert(sender)
    }

    /// Gives a record its number, its time and its place in the chain.
    private func stage(
        in conversation: ConversationState, sender: [UInt8], text: [UInt8], kind: MessageKind
    ) -> (record: Record, hash: Digest) {
        let number = conversation.identity.number
        var place =
            staged[number]
            ?? Staged(
                conversation: conversation, head: conversation.head, hash: conversation.headHash,
                lastServerTime: conversation.lastServerTime)
        let time = max(now, place.lastServerTime)
        let record = Record(
            seq: place.head.next, time: time, sender: sender, text: text[...], kind: kind, commit: commit)
        place.hash = HashChain.advance(place.hash, over: record)
        place.head = record.seq
        place.lastServerTime = time
        place.records.append((record, place.hash))
        staged[number] = place
        return (record, place.hash)
    }

    /// Puts something that happened to a conversation into its history.
    ///
    /// - Parameter text: `VERB` or `VERB NAME`.
    func appendEvent(_ text: String, in conversation: ConversationState, by actor: UserName) {
        let (record, _) = stage(
            in: conversation, sender: Array(actor.text.utf8), text: Array(text.utf8), kind: .event)
        batch.append(conversation: conversation.identity.number, record, key: nil)
    }

    /// Says that there is something for an account besides messages.
    func touch(_ account: AccountID) { touched.insert(account) }

    /// Makes the conversation between two who have not written to each other.
    private func begin(_ own: AccountState, _ peer: AccountState) throws -> ConversationState {
        let pair = AccountPair(own.id, peer.id)
        if let begun = newConversations[pair] { return begun }
        let conversation = try core.store.insertConversation(
            kind: .personal, name: "", users: [own.name.text, peer.name.text], accounts: pair, on: core.connection)
        newConversations[pair] = conversation
        return conversation
    }

    /// Makes the batch visible, once it is durable. Under the lock.
    ///
    /// - Returns: what to tell those who wait, and the conversations with enough of a tail to be sealed.
    func publish(to state: inout StoreState) -> (news: News?, ripe: [Int64]) {
        // Their rows are there, whatever became of the message that made them.
        for conversation in newConversations.values { state.add(conversation) }
        for (account, contacts) in newContacts { state.accounts[account]?.contacts.formUnion(contacts) }
        guard !staged.isEmpty || !touched.isEmpty else { return (nil, []) }
        state.commit = commit
        state.journalBytes += batch.size
        var isForAll = false
        var accounts = touched
        var ripe: [Int64] = []
        for place in staged.values {
            let conversation = place.conversation
            for (record, hash) in place.records { conversation.append(record, hash: hash) }
            if conversation.tail.estimatedBytes >= Sealer.ripeBytes, !conversation.isBeingSealed {
                ripe.append(conversation.identity.number)
            }
            if let (first, second) = conversation.accounts {
                accounts.insert(AccountID(rawValue: first))
                accounts.insert(AccountID(rawValue: second))
            } else if conversation.identity.kind == .general {
                isForAll = true
            } else {
                for member in conversation.members.keys { accounts.insert(AccountID(rawValue: member)) }
            }
        }
        return (News(commit: commit, isForAll: isForAll, accounts: accounts), ripe)
    }

    /// The answers, to be given outside the lock. What a repeated id stands for is looked up on another thread: the writer's
    /// has others waiting.
    func answers(_ store: Store) -> [() -> Void] {
        results.map { posting, outcomes in
            {
                let isRepeating = outcomes.contains { if case .repeated = $0 { true } else { false } }
                guard isRepeating else { return Numbering.answer(posting, outcomes, store) }
                store.earlierMessages.submit { Numbering.answer(posting, outcomes, store) }
            }
        }
    }

    private static func answer(_ posting: StoreWriter.Posting, _ outcomes: [Outcome], _ store: Store) {
        var earlier = EarlierMessageReader(store)
        posting.completion(
            outcomes.map { outcome in
                switch outcome {
                case .posted(let message): .posted(message)
                case .refused(let error): .refused(error)
                case .repeated(let conversation, let name, let seq):
                    earlier.message(seq, of: conversation, named: name)
                }
            })
    }
}
