internal import NatterArchive
internal import NatterLanguage
internal import NatterLog
internal import NatterModel
internal import NatterSystem

extension Store {
    /// Erases an account: sessions, tokens, contacts, memberships, invitations, password, and text and sender of each of its
    /// messages. Its name stays taken, and events have its number in place of the name.
    ///
    /// The account is closed first, so that it can't write any more, and then each conversation is gone through. After a crash,
    /// the same call finishes the work.
    ///
    /// - Parameter completion: gets how many messages were erased that were not before.
    public func eraseAccount(_ name: String, by actor: String, _ completion: @escaping Completion<Int>) {
        let found = Box<ErasedAccount>()
        change { state, builder throws(StoreError) in
            guard let account = state.account(named: name) else { throw .noSuchUser(name) }
            found.value = ErasedAccount(name: account.name.text, number: account.id.rawValue)
            return account.isErased ? .nothing : state.closing(account, by: actor, builder)
        } _: { [self] error in
            if let error { return completion(.failure(error)) }
            guard let account = found.value else { return completion(.failure(.noSuchUser(name))) }
            let isTaken = sealer.submit { [self] writer in completion(eraseMessages(of: account, writer)) }
            if !isTaken { completion(.failure(.busy)) }
        }
    }

    /// Erases what an account wrote, in all conversations. One with damage does not keep the others from being erased.
    private func eraseMessages(of account: ErasedAccount, _ writer: ArchiveWriter) -> Result<Int, StoreError> {
        let identities = state.withLock { $0.conversations.values.map(\.identity) }
        var (count, erased, failure): (Int, [ConversationID], StoreError?) = (0, [], nil)
        for identity in identities.sorted(by: { $0.number < $1.number }) {
            do {
                guard !isFailed else { throw StoreError.outcomeUnknown }
                let seqs = try seqs(of: account, in: identity)
                if seqs.isEmpty { continue }
                erased.append(identity.id)
                count += try Eraser(store: self, writer: writer, identity: identity, account: account).erase(seqs)
            } catch {
                failure = failure ?? StoreError(error)
                stopIfDiskFailed(error)
            }
        }
        finishErasing(erased)
        return failure.map { .failure($0) } ?? .success(count)
    }

    private func seqs(of account: ErasedAccount, in identity: ConversationIdentity) throws -> Set<Seq> {
        var seqs: Set<Seq> = []
        func look(through records: Records) {
            for index in 0..<records.count where account.isIn(records[index]) {
                seqs.insert(records.firstSeq.advanced(by: index))
            }
        }
        // The tail first: it can be sealed meanwhile.
        for block in state.withLock({ $0.conversations[identity.number]?.tail.blocks ?? [] }) {
            look(through: block.records)
        }
        try withReader { reader in
            for row in try ArchiveRows.allBlocks(of: identity.number, on: reader.connection) {
                look(through: try reader.open(row, of: identity).records)
            }
        }
        return seqs
    }
}

extension StoreState {
    /// Takes everything from an account but its name and number. The audit trail names nobody.
    fileprivate func closing(_ account: AccountState, by actor: String, _ builder: BatchBuilder) -> Decision {
        let id = account.id
        var decision = Decision(
            .accountChanged(id, isDisabled: true, isAdmin: false, password: ""),
            .sessionsEnded(id, keeping: nil, robots: true))
        if let seen = account.lastSeen {
            let visit = Change.Visit(number: id.rawValue, time: seen.advanced(milliseconds: 1), address: nil)
            decision.append(.visitsNoted(accounts: [visit], tokens: []))
        }
        for peer in account.contacts { decision.append(.contactSet(id, peer: peer, isContact: false)) }
        for peer in account.blocked { decision.append(.blockSet(id, peer: peer, isBlocked: false)) }
        for group in conversations.values where group.members[id.rawValue] != nil {
            decision.append(.memberRemoved(id, from: group.identity.number))
        }
        for (digest, invite) in invites where invite.maker == account.name.text {
            decision.append(.inviteUsed(digest))
        }
        decision.append(builder.audited(actor, "user_erased", ""))
        return decision
    }
}
