internal import NatterConversation
internal import NatterLog
public import NatterModel
internal import NatterSystem

/// The kinds of rows in the table `change`.
enum ChangeKind: Int {
    case read = 1
    case gone = 2
    /// The account was added to a conversation, or became an admin of it or none.
    case conversation = 3
    /// The account's contacts or the users whom it blocks. The row's conversation is 0.
    case contacts = 4
}

extension Store {
    /// Marks a conversation as read up to a seq, at most up to its head. The mark never goes back.
    ///
    /// - Parameter id: decides which conversation is meant, if there is one.
    public func markRead(
        _ seq: Seq, in conversation: String, id: ConversationID? = nil, for principal: Principal,
        _ completion: @escaping Completion<Seq>
    ) {
        let snapshot: Snapshot
        let risen: ReadMark?
        do throws(StoreError) {
            snapshot = try self.snapshot(conversation, id: id, for: principal)
            risen = try risenMark(seq, snapshot, principal)
        } catch {
            return completion(.failure(error))
        }
        guard let mark = risen else { return completion(.success(snapshot.mark.seq)) }
        let account = principal.account
        let number = snapshot.identity.number
        record { [self] builder in
            guard state.withLock({ $0.isGood(principal, at: builder.now) }) else { throw StoreError.unauthorized }
            return Decision(
                .readMarked(account, in: number, mark), .noted(account, conversation: number, .read, data: nil))
        } _: { [self] error in
            if let error { return completion(.failure(error)) }
            // Two devices may set a mark at once, and the higher one wins.
            let reached = state.withLock { $0.accounts[account]?.reads[number]?.seq }
            completion(.success(reached ?? mark.seq))
        }
    }

    /// - Returns: nil if the mark would not rise.
    private func risenMark(
        _ seq: Seq, _ snapshot: Snapshot, _ principal: Principal
    ) throws(StoreError) -> ReadMark? {
        // All of one moment: messages that come meanwhile are behind this head.
        let (old, total, head) = (snapshot.mark, snapshot.uncounted, snapshot.tail.head)
        let target = min(seq, head)
        guard target > old.seq else { return nil }
        // Counts from whichever is nearer, the old mark or the head.
        let ownBefore: UInt64
        if target.distance(after: old.seq) <= head.distance(after: target) {
            ownBefore = old.ownBefore + (try own(old.seq.next...target, snapshot, principal))
        } else {
            let behind = target == head ? 0 : try own(target.next...head, snapshot, principal)
            ownBefore = total >= behind ? total - behind : 0
        }
        return ReadMark(seq: target, ownBefore: ownBefore)
    }

    /// How many messages in a range do not count for a user. Unreadable ones count.
    private func own(
        _ range: ClosedRange<Seq>, _ snapshot: Snapshot, _ principal: Principal
    ) throws(StoreError) -> UInt64 {
        let sender = Array(principal.name.text.utf8)
        var count = 0
        let filter = MessageFilter(after: range.lowerBound.previous, before: range.upperBound.next)
        _ = try read(snapshot) { reader in
            try reader.forward(filter) { piece in
                if case .messages(let run) = piece { count += run.records.uncounted(for: sender, range) }
                return true
            }
            let erased = try ErasedTexts.counts(range, in: snapshot.identity.number, reader.archive.connection)
            count += erased[principal.name.text] ?? 0
        }
        return UInt64(count)
    }
}
