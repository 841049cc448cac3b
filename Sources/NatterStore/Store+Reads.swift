internal import NatterArchive
internal import NatterSQLite
internal import NatterLog
public import NatterModel
internal import NatterSystem

/// What kinds of rows there are in the table of changes.
enum ChangeKind: Int {
    case read = 1
    case gone = 2
    /// The conversation itself: its name, or who is in it.
    case conversation = 3
}

extension Store {
    /// Marks a conversation as read up to a seq. The mark only rises, and stops at the head.
    public func markRead(
        _ seq: Seq, in conversation: String, for principal: Principal, _ completion: @escaping Completion<Seq>
    ) {
        let place: ReadPlace
        do throws(StoreError) { place = try readPlace(seq, conversation, principal) } catch {
            return completion(.failure(error))
        }
        guard let mark = place.new else { return completion(.success(place.old.seq)) }
        let account = principal.account
        let number = place.snapshot.identity.number
        perform { connection, commit in
            // Two devices may mark at once: what is in the table by now counts.
            let statement = try connection.statement(
                """
                INSERT INTO read_mark VALUES (?,?,?,?) ON CONFLICT (account,conversation)
                DO UPDATE SET seq=excluded.seq, own_before=excluded.own_before WHERE excluded.seq > seq
                """)
            try statement.run(account.rawValue, number, mark.seq.rawValue, mark.ownBefore)
            try Store.recordChange(.read, of: number, for: account, commit, on: connection)
            return { state in
                state.commit = commit
                state.accounts[account]?.lastChange = commit
                if (state.accounts[account]?.reads[number]?.seq ?? .zero) < mark.seq {
                    state.accounts[account]?.reads[number] = mark
                }
            }
        } _: { [self] error in
            if let error { return completion(.failure(error)) }
            let (commit, reached) = state.withLock { ($0.commit, $0.accounts[account]?.reads[number]?.seq) }
            announce(News(commit: commit, isForAll: false, accounts: [account]))
            completion(.success(reached ?? mark.seq))
        }
    }

    /// Writes down that something changed for an account, inside a transaction; takes the place of an older row of the same
    /// kind.
    static func recordChange(
        _ kind: ChangeKind, of conversation: Int64, for account: AccountID, _ commit: Commit, data: String? = nil,
        on connection: Connection
    ) throws(SQLiteError) {
        let statement = try connection.statement("INSERT OR REPLACE INTO change VALUES (?,?,?,?,?)")
        try statement.run(account.rawValue, conversation, kind.rawValue, commit.rawValue, data)
    }

    private struct ReadPlace {
        let snapshot: Snapshot
        let old: ReadMark
        /// nil where nothing rises.
        let new: ReadMark?
    }

    private func readPlace(
        _ seq: Seq, _ name: String, _ principal: Principal
    ) throws(StoreError) -> ReadPlace {
        let snapshot = try snapshot(name, for: principal)
        let (old, total) = state.withLock { state in
            (
                state.accounts[principal.account]?.reads[snapshot.identity.number]
                    ?? ReadMark(seq: .zero, ownBefore: 0),
                state.conversations[snapshot.identity.number]?.sentCount(by: principal.name) ?? 0
            )
        }
        let head = snapshot.tail.head
        let target = min(seq, head)
        guard target > old.seq else { return ReadPlace(snapshot: snapshot, old: old, new: nil) }
        do {
            // From whichever side is nearer: what was read before, or the head.
            let ownBefore: UInt64
            if target.distance(after: old.seq) <= head.distance(after: target) {
                ownBefore = old.ownBefore + (try own(old.seq.next...target, snapshot, principal.name))
            } else {
                let behind = target == head ? 0 : try own(target.next...head, snapshot, principal.name)
                ownBefore = total >= behind ? total - behind : 0
            }
            return ReadPlace(snapshot: snapshot, old: old, new: ReadMark(seq: target, ownBefore: ownBefore))
        } catch {
            throw StoreError(error)
        }
    }

    /// How many messages of a range somebody has sent. What can't be read counts as others'.
    private func own(_ range: ClosedRange<Seq>, _ snapshot: Snapshot, _ name: UserName) throws -> UInt64 {
        try withReader { reader in
            let messages = MessageReader(
                reader: reader, conversation: snapshot.identity, name: snapshot.name, tail: snapshot.tail)
            let sender = Array(name.text.utf8)
            var count = 0
            var seq = range.lowerBound
            while seq <= range.upperBound {
                do throws(ArchiveError) {
                    let run = try messages.run(containing: seq)
                    count += run.records.count(by: sender, seq...range.upperBound)
                    seq = run.records.lastSeq.next
                } catch {
                    guard case .damaged(_, let to, _) = error else { throw error }
                    seq = max(to, seq).next
                }
            }
            return UInt64(count)
        }
    }
}

extension StoreState {
    /// How many messages after the mark are others'.
    func unread(_ conversation: ConversationState, for account: AccountState) -> (read: Seq, unread: UInt64) {
        let mark = account.reads[conversation.identity.number] ?? ReadMark(seq: .zero, ownBefore: 0)
        let behind = UInt64(conversation.head.distance(after: mark.seq))
        let total = conversation.sentCount(by: account.name)
        let own = total >= mark.ownBefore ? total - mark.ownBefore : 0
        return (mark.seq, behind >= own ? behind - own : 0)
    }
}
