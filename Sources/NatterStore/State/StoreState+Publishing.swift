internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterLog

extension StoreState {
    /// The consequences of an entry that became visible.
    struct Published {
        var news: News?
        /// Conversations whose tail is long enough to be sealed.
        var ripe: [Int64] = []
    }

    /// Makes an entry visible. Changes are applied first, because the messages may be in conversations that the
    /// changes add. Call with the state lock held, after the entry is durable.
    mutating func publish(
        _ changes: [Change], at commit: Commit, journalBytes bytes: Int,
        _ tails: [(conversation: Int64, records: [(record: Record, hash: Digest)])]
    ) -> Published {
        var published = Published()
        var isForAll = false
        var accounts: Set<AccountID> = []
        var groups: [[Int64: ConversationState.Membership]] = []
        for change in changes {
            accounts.formUnion(change.affected(self))
            if change.changedForReaders == general { isForAll = true }
            change.apply(to: &self, at: commit)
        }
        journalBytes += max(bytes, leastEntryBytes)
        if !tails.isEmpty { self.commit = max(self.commit, commit) }
        for tail in tails {
            guard let conversation = conversations[tail.conversation] else { continue }
            for (record, hash) in tail.records { conversation.append(record, hash: hash) }
            noteCommit(conversation.lastCommit, in: tail.conversation)
            if conversation.tail.estimatedBytes >= Sealer.ripeBytes, !conversation.isBeingSealed {
                published.ripe.append(tail.conversation)
            }
            if let pair = conversation.accounts {
                accounts.insert(pair.first)
                accounts.insert(pair.second)
            } else if conversation.identity.kind == .general {
                isForAll = true
            } else {
                groups.append(conversation.members)
            }
        }
        if isForAll || !accounts.isEmpty || !groups.isEmpty {
            published.news = News(commit: self.commit, isForAll: isForAll, accounts: accounts, groups: groups)
        }
        return published
    }

    /// Makes an entry visible that another store has appended to the log.
    /// - Returns: also the keys that its messages used.
    mutating func follow(_ entry: LogEntry) throws -> (published: Published, keys: [MovedKey]) {
        var tails: [Int64: (hash: Digest, records: [(record: Record, hash: Digest)])] = [:]
        var keys: [MovedKey] = []
        var added: [Int64: Digest] = [:]
        for case .conversationAdded(let new) in entry.changes { added[new.number] = HashChain.start(of: new.id) }
        if !entry.messages.isEmpty {
            try entry.messages.entries { message in
                let number = message.conversation
                guard let hash = tails[number]?.hash ?? conversations[number]?.headHash ?? added[number] else {
                    throw FormatViolation("an entry of the log has a message of an unknown conversation")
                }
                let next = HashChain.advance(hash, over: message.record)
                tails[number, default: (hash, [])].records.append((message.record, next))
                tails[number]?.hash = next
                if let key = message.key {
                    keys.append(
                        MovedKey(
                            key: key.recent,
                            found: FoundKey(conversation: number, seq: message.record.seq, content: key.content),
                            commit: entry.commit))
                }
            }
        }
        let published = publish(
            entry.changes, at: entry.commit, journalBytes: entry.journalBytes,
            tails.map { (conversation: $0.key, records: $0.value.records) })
        return (published, keys)
    }
}
