internal import NatterConversation
internal import NatterModel
internal import NatterLog
internal import NatterSQLite
public import NatterSystem

extension Store {
    /// Erases an account: sessions, tokens, contacts, memberships, invitations, password, and text and sender of each of its
    /// messages. Its name stays taken, and events have its number in place of the name.
    ///
    /// `DIR/erased` remembers it first. Then the account is closed, so that it can't write any more, each conversation is gone
    /// through, and at last the account counts as erased. After a crash, the next start finishes the work, or the same call.
    ///
    /// - Parameters:
    ///   - owner: who erases the own account, with the hash that the password matched; nil for the operator.
    ///   - completion: gets how many messages were erased that were not before.
    public func eraseAccount(
        _ name: String, by actor: String, asking owner: (principal: Principal, password: PasswordHash)? = nil,
        _ completion: @escaping Completion<Int>
    ) {
        let isTaken = sealer.submit { [self] writer in
            let result = Result {
                try catchUp()
                let account = try state.withLock { [now = clock.now()] state throws(StoreError) in
                    guard let found = state.account(named: name) else { throw .noSuchUser(name) }
                    if let owner { try state.check(owner.principal, owner.password, mayErase: found, at: now) }
                    return found.remembered
                }
                // A remembered account is erased whatever happens, so a full disk must have been noticed before.
                let general = state.withLock { $0.general }
                if let failure = recordAlone(room: .kept, { _ in Decision(.runEnded(general)) }) { throw failure }
                try remember([.account(account)])
                do {
                    try close(account, isDone: false, by: actor)
                    let count = try eraseMessages(of: account, writer).get()
                    try close(account, by: actor)
                    try wipeAccountRows()
                    return count
                } catch StoreError.diskFull {
                    throw StoreError.notErased
                }
            }
            completion(result.mapError { StoreError($0) })
        }
        if !isTaken { completion(.failure(.busy)) }
    }

    /// Closes an account.
    ///
    /// - Parameter isDone: false if the next start is to look for its messages again.
    private func close(
        _ account: RememberedErasures.Account, isDone: Bool = true, by actor: String
    ) throws(StoreError) {
        // Only an account without one counts as erased.
        let password = isDone ? "" : AccountState.closing
        let failure = recordAlone(room: .kept) { [self] builder in
            state.withLock { state in
                guard let found = state.account(named: account.name.text) else { return .nothing }
                if found.isErased { return .nothing }
                if found.isDisabled, found.passwordHash == AccountState.closing {
                    return isDone ? Decision(found.closed(password: "")) : .nothing
                }
                return state.closing(found, password: password, by: actor, builder)
            }
        }
        if let failure { throw failure }
    }

    /// Removes what the rows of closed accounts and ended sessions have left in the database.
    private func wipeAccountRows() throws {
        try upkeep { core in
            try core.engine.changeFiles { connection in
                for table in ["account", "token"] { try connection.rewrite(table) }
            }
        }
        // Files that no message names yet.
        try wipeRetired()
        try emptyWriteAheadLog()
    }

    /// Erases again an account that an older database has as it was, and takes the name of one that it does not have.
    /// Messages first, because a closed account says that all of this is done.
    func repeatErasure(of account: RememberedErasures.Account, _ writer: ArchiveWriter) throws {
        let found = state.withLock { $0.account(named: account.name.text).map { ($0.remembered, $0.isErased) } }
        guard let (known, isErased) = found else { return try takeName(of: account) }
        guard known == account, !isErased else { return }
        let result = eraseMessages(of: account, writer)
        // Nobody can use it, even if some of its messages can't be read.
        try close(account, isDone: (try? result.get()) != nil, by: "natterd")
        try wipeAccountRows()
        _ = try result.get()
        report("erased an account again that this database, which is older, still had")
    }

    private func takeName(of account: RememberedErasures.Account) throws(StoreError) {
        let failure = recordAlone { [self] builder in
            let (isThere, isFree) = state.withLock {
                (
                    $0.account(named: account.name.text) != nil,
                    $0.accounts[account.id] == nil && account.id.rawValue > $0.counters.account
                )
            }
            if isThere { return .nothing }
            let new = Change.NewAccount(
                id: isFree ? account.id : builder.newAccountNumber(), name: account.name, password: "",
                created: account.created)
            return Decision(
                .accountAdded(new), .accountChanged(new.id, isDisabled: true, isAdmin: nil, password: nil))
        }
        if let failure { throw failure }
    }

    /// Erases what an account wrote, in all conversations. One with damage does not keep the others from being erased.
    private func eraseMessages(
        of remembered: RememberedErasures.Account, _ writer: ArchiveWriter
    ) -> Result<Int, StoreError> {
        let account = ErasedAccount(name: remembered.name.text, number: remembered.id.rawValue)
        let identities = state.withLock { $0.conversations.values.map(\.identity) }
        var (count, erased, failure): (Int, [ConversationID], StoreError?) = (0, [], nil)
        var hasErased = false
        for identity in identities.sorted(by: { $0.number < $1.number }) {
            var unread: StoreError?
            attempt(&failure) {
                guard sealer.keepUp(self, writer) else { throw StoreError.stoppedErasing }
                let seqs = try seqs(of: account, in: identity, &unread)
                if seqs.isEmpty { return }
                erased.append(identity.id)
                let eraser = Eraser(store: self, writer: writer, identity: identity, account: account)
                defer { hasErased = hasErased || eraser.hasFoundErased }
                count += try eraser.erase(seqs)
            }
            failure = failure ?? unread
        }
        finishErasing(erased, hasErased: hasErased)
        return failure.map { .failure($0) } ?? .success(count)
    }

    /// - Parameter failure: set if a block can't be read. Messages in the others can be erased all the same.
    private func seqs(
        of account: ErasedAccount, in identity: ConversationIdentity, _ failure: inout StoreError?
    ) throws -> Set<Seq> {
        var seqs: Set<Seq> = []
        func look(through records: Records) {
            for index in 0..<records.count
            where account.mayBeIn(records, at: index) && account.isIn(records[index]) {
                seqs.insert(records.firstSeq.advanced(by: index))
            }
        }
        // The tail first: it can be sealed meanwhile.
        for block in state.withLock({ $0.conversations[identity.number]?.tail.blocks ?? [] }) {
            look(through: block.records)
        }
        try withReader { reader in
            for row in try ArchiveRows.allBlocks(of: identity.number, on: reader.connection) {
                do throws(ArchiveError) { look(through: try reader.open(row, of: identity).records) } catch {
                    failure = failure ?? StoreError(error)
                    stopIfDiskFailed(error)
                }
            }
        }
        return seqs
    }
}

extension AccountState {
    var remembered: RememberedErasures.Account {
        RememberedErasures.Account(id: id, created: created, name: name)
    }

    /// The hash of nobody's password.
    fileprivate static let closing = "-"

    /// Takes password and rights, and with an empty password the last address.
    fileprivate func closed(password: String) -> Change {
        .accountChanged(id, isDisabled: true, isAdmin: false, password: password)
    }
}

extension StoreState {
    /// Throws unless it is still the owner's session and password. Checking the password took time.
    fileprivate func check(
        _ owner: Principal, _ password: PasswordHash, mayErase account: AccountState, at now: Timestamp
    ) throws(StoreError) {
        guard isGood(owner, at: now), owner.account == account.id, account.passwordHash == password.text else {
            throw .unauthorized
        }
        if account.isAdmin { try checkOtherAdmin(than: account) }
    }

    /// Takes everything from an account but its name and number. The audit trail names nobody.
    fileprivate func closing(
        _ account: AccountState, password: String, by actor: String, _ builder: BatchBuilder
    ) -> Decision {
        let id = account.id
        var decision = Decision(account.closed(password: password), .sessionsEnded(id, keeping: nil, robots: true))
        if account.display != nil { decision.append(.displaySet(id, nil)) }
        for peer in account.contacts { decision.append(.contactSet(id, peer: peer, isContact: false)) }
        for peer in account.blocked { decision.append(.blockSet(id, peer: peer, isBlocked: false)) }
        for group in conversations.values where group.members[id.rawValue] != nil {
            decision.append(.memberRemoved(id, from: group.identity.number))
        }
        decision.changes += endingInvites(of: account.name)
        decision.changes += files.waiting(of: id).map { .fileSet($0.gone) }
        decision.append(builder.audited(actor, "user_erased", ""))
        return decision
    }
}
