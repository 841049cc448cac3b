internal import NatterArchive
internal import NatterSQLite
internal import NatterModel
internal import NatterSystem

/// Someone in a group.
public struct MemberView: Sendable, Equatable {
    public let user: UserView
    public let isAdmin: Bool
}

/// A change to a group as its members are told of it: the text of an event.
enum GroupEvent {
    case created
    case renamed(from: String, to: String)
    case opened
    case closed
    case added(String)
    case removed(String)
    case joined
    case left
    case promoted(String)
    case demoted(String)
    case deleted

    /// `VERB`, `VERB NAME` or `renamed OLD NEW`; names hold no white space, so the words come apart again.
    var text: String {
        switch self {
        case .created: "created"
        case .renamed(let old, let new): "renamed \(old) \(new)"
        case .opened: "opened"
        case .closed: "closed"
        case .added(let name): "added \(name)"
        case .removed(let name): "removed \(name)"
        case .joined: "joined"
        case .left: "left"
        case .promoted(let name): "promoted \(name)"
        case .demoted(let name): "demoted \(name)"
        case .deleted: "deleted"
        }
    }
}

extension Store {
    /// Makes a group; who makes it is its first admin.
    public func createGroup(
        _ name: String, isOpen: Bool, by principal: Principal, _ completion: @escaping Completion<ConversationView>
    ) {
        do throws(NameError) { try NameRule.check(name) } catch { return completion(.failure(.badName(name, error))) }
        changeGroup(principal, completion) { [self] connection, commit, numbering in
            guard state.withLock({ $0.groups[NameRule.caseKey(name)] == nil }) else { throw StoreError.nameTaken(name) }
            let group = try insertConversation(
                kind: .group, name: name, users: [], accounts: nil, isOpen: isOpen, on: connection)
            let membership = ConversationState.Membership(isAdmin: true, since: commit)
            try Store.put(membership, of: principal.account, in: group, connection)
            numbering.appendEvent(GroupEvent.created.text, in: group, by: principal.name)
            numbering.touch(principal.account)
            // Not shared yet with any other thread.
            nonisolated(unsafe) let made = group
            return (
                name,
                { state in
                    made.members[principal.account.rawValue] = membership
                    state.add(made)
                }
            )
        }
    }

    /// Gives a group another name, or opens or closes it.
    public func changeGroup(
        _ name: String, newName: String?, isOpen: Bool?, by principal: Principal,
        _ completion: @escaping Completion<ConversationView>
    ) {
        if let newName {
            do throws(NameError) { try NameRule.check(newName) } catch {
                return completion(.failure(.badName(newName, error)))
            }
        }
        changeGroup(principal, completion) { [self] connection, commit, numbering in
            let (number, oldName, wasOpen, members) = try state.withLock { state in
                let group = try state.group(name, .administer, for: principal)
                let taken = newName.flatMap { state.groups[NameRule.caseKey($0)] }
                if let newName, let taken, taken != group.identity.number { throw StoreError.nameTaken(newName) }
                if let newName, newName != group.name {
                    numbering.appendEvent(
                        GroupEvent.renamed(from: group.name, to: newName).text, in: group, by: principal.name)
                }
                if let isOpen, isOpen != group.isOpen {
                    numbering.appendEvent((isOpen ? GroupEvent.opened : .closed).text, in: group, by: principal.name)
                }
                return (group.identity.number, group.name, group.isOpen, Array(group.members.keys))
            }
            let name = newName ?? oldName
            let update = try connection.statement(
                "UPDATE conversation SET name=?, name_key=?, is_open=? WHERE number=?")
            try update.run(name, NameRule.caseKey(name), isOpen ?? wasOpen, number)
            for member in members {
                try Store.recordChange(
                    .conversation, of: number, for: AccountID(rawValue: member), commit, on: connection)
                numbering.touch(AccountID(rawValue: member))
            }
            return (
                name,
                { state in
                    state.groups[NameRule.caseKey(oldName)] = nil
                    state.groups[NameRule.caseKey(name)] = number
                    state.conversations[number]?.name = name
                    state.conversations[number]?.isOpen = isOpen ?? wasOpen
                    for member in members { state.accounts[AccountID(rawValue: member)]?.lastChange = commit }
                }
            )
        }
    }

    /// Takes a group away from all its members; its name is free again.
    public func deleteGroup(_ name: String, by principal: Principal, _ completion: @escaping Completion<Void>) {
        performDeciding { [self] connection, commit, numbering in
            let (number, groupName, members) = try state.withLock { state in
                let group = try state.group(name, .administer, for: principal)
                numbering.appendEvent(GroupEvent.deleted.text, in: group, by: principal.name)
                return (group.identity.number, group.name, Array(group.members.keys))
            }
            let update = try connection.statement("UPDATE conversation SET is_deleted=1 WHERE number=?")
            try update.run(number)
            let delete = try connection.statement("DELETE FROM membership WHERE conversation=?")
            try delete.run(number)
            for member in members {
                let account = AccountID(rawValue: member)
                try Store.recordGone("deleted", from: groupName, of: number, for: account, commit, on: connection)
                numbering.touch(account)
            }
            return { state in
                state.groups[NameRule.caseKey(groupName)] = nil
                state.conversations[number]?.isDeleted = true
                state.conversations[number]?.members = [:]
                for member in members {
                    state.accounts[AccountID(rawValue: member)]?.conversations.remove(number)
                    state.accounts[AccountID(rawValue: member)]?.lastChange = commit
                }
            }
        } _: { error in
            completion(error.map { .failure($0) } ?? .success(()))
        }
    }

    /// Puts somebody into a group, or makes them an admin or not. Oneself may join an open group.
    ///
    /// - Parameters:
    ///   - isAdmin: nil leaves it as it is.
    ///   - mayAdd: whether somebody who is not in it yet is added; else that is `.notInGroup`.
    public func putMember(
        _ user: String, in name: String, isAdmin: Bool?, mayAdd: Bool, by principal: Principal,
        _ completion: @escaping Completion<ConversationView>
    ) {
        changeGroup(principal, completion) { [self] connection, commit, numbering in
            let (number, account, membership, groupName) = try state.withLock { state in
                let group = try state.groupToJoin(name, user, isAdmin, principal)
                guard let account = state.account(named: user), !account.isDisabled else {
                    throw StoreError.noSuchUser(user)
                }
                let old = group.members[account.id.rawValue]
                if old == nil, !mayAdd { throw StoreError.notInGroup(account.name.text, group: group.name) }
                let new = ConversationState.Membership(
                    isAdmin: isAdmin ?? old?.isAdmin ?? false, since: old?.since ?? commit)
                if old?.isAdmin == true, !new.isAdmin { try group.checkOtherAdmin(than: account.id) }
                if old == nil {
                    let event: GroupEvent = account.id == principal.account ? .joined : .added(account.name.text)
                    numbering.appendEvent(event.text, in: group, by: principal.name)
                }
                if new.isAdmin != (old?.isAdmin ?? false) {
                    let event: GroupEvent = new.isAdmin ? .promoted(account.name.text) : .demoted(account.name.text)
                    numbering.appendEvent(event.text, in: group, by: principal.name)
                }
                return (group.identity.number, account.id, new, group.name)
            }
            let insert = try connection.statement("INSERT OR REPLACE INTO membership VALUES (?,?,?,?)")
            try insert.run(number, account.rawValue, membership.isAdmin, membership.since.rawValue)
            try Store.recordChange(.conversation, of: number, for: account, commit, on: connection)
            numbering.touch(account)
            return (
                groupName,
                { state in
                    state.conversations[number]?.members[account.rawValue] = membership
                    state.accounts[account]?.conversations.insert(number)
                    state.accounts[account]?.lastChange = commit
                }
            )
        }
    }

    /// Takes somebody out of a group: an admin others, everyone themselves.
    public func removeMember(
        _ user: String, from name: String, by principal: Principal, _ completion: @escaping Completion<Void>
    ) {
        performDeciding { [self] connection, commit, numbering in
            let (number, groupName, account, reason) = try state.withLock { state in
                let group = try state.groupToSee(name, principal)
                guard let account = state.account(named: user) else { throw StoreError.noSuchUser(user) }
                let isSelf = account.id == principal.account
                if !isSelf { _ = try state.group(name, .administer, for: principal) }
                guard let membership = group.members[account.id.rawValue] else {
                    throw StoreError.notInGroup(account.name.text, group: group.name)
                }
                if membership.isAdmin { try group.checkOtherAdmin(than: account.id) }
                numbering.appendEvent(
                    (isSelf ? GroupEvent.left : .removed(account.name.text)).text, in: group, by: principal.name)
                return (group.identity.number, group.name, account.id, isSelf ? "left" : "removed")
            }
            let delete = try connection.statement("DELETE FROM membership WHERE conversation=? AND account=?")
            try delete.run(number, account.rawValue)
            try Store.recordGone(reason, from: groupName, of: number, for: account, commit, on: connection)
            numbering.touch(account)
            return { state in
                state.conversations[number]?.members[account.rawValue] = nil
                state.accounts[account]?.conversations.remove(number)
                state.accounts[account]?.lastChange = commit
            }
        } _: { error in
            completion(error.map { .failure($0) } ?? .success(()))
        }
    }

    /// Who is in a group, by name.
    public func members(of name: String, for principal: Principal) throws(StoreError) -> [MemberView] {
        let now = clock.now()
        return try state.withLock { state throws(StoreError) in
            let group = try state.groupToSee(name, principal)
            let members = group.members.compactMap { number, membership -> (String, MemberView)? in
                guard let account = state.accounts[AccountID(rawValue: number)] else { return nil }
                let user = UserView(
                    name: account.name.text, isOnline: account.isOnline(at: now), lastSeen: account.lastSeen)
                return (account.name.caseKey, MemberView(user: user, isAdmin: membership.isAdmin))
            }
            return members.sorted { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }.map(\.1)
        }
    }

    // MARK: Helpers

    /// Has a change made and answers with the conversation as it is then.
    private func changeGroup(
        _ principal: Principal, _ completion: @escaping Completion<ConversationView>,
        _ body:
            @escaping @Sendable (Connection, Commit, Numbering) throws -> (
                name: String, change: @Sendable (inout StoreState) -> Void
            )
    ) {
        let name = Box<String>()
        performDeciding { connection, commit, numbering in
            let made = try body(connection, commit, numbering)
            name.value = made.name
            return made.change
        } _: { [self] error in
            if let error { return completion(.failure(error)) }
            do throws(StoreError) {
                completion(.success(try conversation(name.value ?? "", for: principal)))
            } catch {
                completion(changedUnseen(name.value ?? "", by: principal, error))
            }
        }
    }

    /// A group as an admin of the server is told of it who changed it and is not in it: nothing that was said there.
    private func changedUnseen(
        _ name: String, by principal: Principal, _ error: StoreError
    ) -> Result<ConversationView, StoreError> {
        let snapshot = state.withLock { state in
            let group = state.groups[NameRule.caseKey(name)].flatMap { state.conversations[$0] }
            return group.map { state.snapshot(of: $0, for: principal.account) }
        }
        guard principal.isAdmin, let snapshot else { return .failure(error) }
        var view = view(of: snapshot)
        view.last = nil
        return .success(view)
    }

    /// With the name that the group had: what it is called later is no business of theirs.
    private static func recordGone(
        _ reason: String, from name: String, of number: Int64, for account: AccountID, _ commit: Commit,
        on connection: Connection
    ) throws(SQLiteError) {
        try recordChange(.gone, of: number, for: account, commit, data: "\(reason) \(name)", on: connection)
    }

    private static func put(
        _ membership: ConversationState.Membership, of account: AccountID, in group: ConversationState,
        _ connection: Connection
    ) throws(SQLiteError) {
        let statement = try connection.statement("INSERT OR REPLACE INTO membership VALUES (?,?,?,?)")
        try statement.run(
            group.identity.number, account.rawValue, membership.isAdmin, membership.since.rawValue)
    }
}

extension StoreState {
    /// A group by its name, if this right to it is given.
    func group(_ name: String, _ right: Right, for principal: Principal) throws(StoreError) -> ConversationState {
        guard let number = groups[NameRule.caseKey(name)], let group = conversations[number] else {
            throw .noSuchConversation(name)
        }
        try Authority.check(right, of: principal.account, in: group, named: name, self)
        return group
    }

    /// A group whose members `principal` may know.
    func groupToSee(_ name: String, _ principal: Principal) throws(StoreError) -> ConversationState {
        if let number = groups[NameRule.caseKey(name)], let group = conversations[number],
            Authority.isOrphan(group, self), accounts[principal.account]?.isAdmin == true
        {
            return group
        }
        return try group(name, .read, for: principal)
    }

    /// A group that `principal` may put `user` into, or whose admins they may change. To join what one is in already changes
    /// nothing, so it needs no right.
    func groupToJoin(
        _ name: String, _ user: String, _ isAdmin: Bool?, _ principal: Principal
    ) throws(StoreError) -> ConversationState {
        if account(named: user)?.id == principal.account, let number = groups[NameRule.caseKey(name)],
            let group = conversations[number]
        {
            let isMember = group.members[principal.account.rawValue] != nil
            if isMember ? isAdmin == nil : group.isOpen && isAdmin != true { return group }
        }
        return try group(name, .administer, for: principal)
    }
}

extension ConversationState {
    /// Throws if nobody but this one is an admin.
    func checkOtherAdmin(than account: AccountID) throws(StoreError) {
        guard members.contains(where: { $0.key != account.rawValue && $0.value.isAdmin }) else {
            throw .lastAdmin(name)
        }
    }
}
