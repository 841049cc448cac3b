internal import NatterConversation
internal import NatterSystem
internal import NatterLog
internal import NatterModel
internal import NatterSQLite

/// The unsealed end of a conversation at one moment. The server keeps it in memory, and the journal makes it durable.
struct Tail: LogTail {
    /// The lowest seq that is kept.
    let first: Seq
    let sealedSeq: Seq
    /// The commit of the last sealed message.
    let sealedCommit: Commit
    let parts: TailParts
    /// The newest message if it is at hand without reading.
    let newest: (record: Record, hash: Digest)?

    init(_ conversation: ConversationState) {
        first = conversation.first
        (sealedSeq, sealedCommit) = (conversation.sealedSeq, conversation.sealedCommit)
        parts = conversation.tail
        newest = parts.newest ?? conversation.newest.map { ($0.record, $0.hash) }
    }

    var head: Seq { parts.lastSeq }
    /// The hash chain at the head.
    var hash: Digest { parts.hash }

    /// - Parameter name: the reader's name for the conversation.
    func log(of conversation: ConversationIdentity, named name: String) -> ConversationLog {
        ConversationLog(
            identity: conversation, name: name, first: first, head: head, sealedSeq: sealedSeq, hash: hash,
            serverFirst: first, tail: self)
    }

    func part(containing seq: Seq, on connection: Connection) -> TailPart? {
        parts.block(containing: seq).map(TailPart.init)
    }

    func neighbours(of seq: Seq, on connection: Connection) -> (below: Seq?, above: Seq?) {
        guard !parts.isEmpty else { return (nil, nil) }
        return seq < parts.firstSeq ? (nil, parts.firstSeq) : (parts.lastSeq, nil)
    }

    func extents(on connection: Connection) -> [RunExtent] {
        parts.blocks.map { RunExtent($0.records) }
    }
}

extension RunExtent {
    /// - Parameter records: at least one.
    init(_ records: Records) {
        self.init(
            seqs: records.firstSeq...records.lastSeq, lowTime: records.lowestTime, highTime: records.highestTime)
    }
}

extension Store {
    /// A consistent view of a conversation for one request.
    struct Snapshot {
        let identity: ConversationIdentity
        /// The reader's name for the conversation.
        let name: String
        var topic: String?
        let tail: Tail
        let commit: Commit
        /// The commit of the newest erasure.
        var erasedCommit = Commit.zero
        /// How far the reader has read, and how many of the messages up to the head do not count for the reader.
        var mark = ReadMark(seq: .zero, ownBefore: 0)
        var uncounted: UInt64 = 0
        var unread: UInt64 = 0
        /// The commit that set the first message last.
        var firstCommit = Commit.zero

        func reader(_ archive: ArchiveReader) -> LogReader { LogReader(tail.log(of: identity, named: name), archive) }
    }

    /// - Parameters:
    ///   - id: decides which conversation is meant, if there is one.
    ///   - right: what the scope of the token must cover. A token that only sends may have the store look at what it
    ///     answers or changes, but gets none of it.
    func snapshot(
        _ name: String, id: ConversationID? = nil, for principal: Principal, scope right: Right = .read
    ) throws(StoreError) -> Snapshot {
        try state.withLock { state throws(StoreError) in
            switch try state.resolve(name, id: id, for: principal.account) {
            case .existing(let conversation):
                // First whether the account may know it: the scope of a token would tell what it is not.
                try Authority.check(.read, of: principal.account, in: conversation, named: name, state)
                try Authority.checkScope(right, of: principal, on: conversation.identity.id)
                return state.snapshot(of: conversation, for: principal.account)
            case .unwritten(let own, let peer):
                let empty = unwritten(own, peer)
                try Authority.checkScope(right, of: principal, on: empty.identity.id)
                return Snapshot(
                    identity: empty.identity, name: "@" + peer.name.text, tail: Tail(empty), commit: state.commit)
            }
        }
    }

    /// A personal conversation before its first message. It looks like an empty one.
    private func unwritten(_ own: AccountState, _ peer: AccountState) -> ConversationState {
        let identity = ConversationIdentity.unwritten(own, peer, in: id)
        return ConversationState(
            identity: identity, isOpen: false, accounts: nil, sealedSeq: .zero,
            sealedHash: HashChain.start(of: identity.id), sealedCommit: .zero, lastServerTime: .zero)
    }

    /// Calls `body` with a reader of the conversation's messages.
    func read<Result>(
        _ snapshot: Snapshot, _ body: (LogReader) throws -> Result
    ) throws(StoreError) -> Result {
        try reading { try body(snapshot.reader($0)) }
    }
}

extension StoreState {
    /// A view of a conversation for one request of this account.
    func snapshot(of conversation: ConversationState, for account: AccountID) -> Store.Snapshot {
        var snapshot = Store.Snapshot(
            identity: conversation.identity, name: displayName(of: conversation, for: account),
            topic: conversation.topic,
            tail: Tail(conversation), commit: commit, erasedCommit: conversation.erasedCommit,
            firstCommit: conversation.firstCommit)
        if let reader = accounts[account] {
            snapshot.mark = conversation.mark(of: reader)
            snapshot.uncounted = conversation.uncounted(for: reader.name)
            snapshot.unread = conversation.unread(after: snapshot.mark, uncounted: snapshot.uncounted, for: reader)
        }
        return snapshot
    }
}

extension ConversationState {
    /// How many texts that are kept, after the mark, count for the reader: those of other users, and what a program sent for
    /// the reader. Deleted ones do not.
    ///
    /// - Parameter total: how many messages up to the head do not count for the reader.
    func unread(after mark: ReadMark, uncounted total: UInt64, for account: AccountState) -> UInt64 {
        let behind = UInt64(head.distance(after: mark.seq))
        let uncounted =
            (total >= mark.ownBefore ? total - mark.ownBefore : 0)
            + deletions.count(after: mark.seq, for: account.name.text)
        return behind >= uncounted ? behind - uncounted : 0
    }

    /// What marks all that is there as read for a user who comes to the conversation.
    func arrival(of account: AccountID, _ name: UserName) -> [Change] {
        guard head > .zero else { return [] }
        let mark = ReadMark(seq: head, ownBefore: uncounted(for: name), isStart: true)
        return [.readMarked(account, in: identity.number, mark)]
    }

    /// Where a user's unread messages begin: at the read mark, or at the first message that is kept.
    func mark(of account: AccountState) -> ReadMark {
        let mark = account.reads[identity.number] ?? ReadMark(seq: .zero, ownBefore: 0)
        guard mark.seq.next < first else { return mark }
        return ReadMark(seq: first.previous, ownBefore: droppedUncounted(for: account.name))
    }
}
