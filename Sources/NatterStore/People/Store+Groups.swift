internal import NatterConversation
internal import NatterSystem
public import NatterModel

/// A member of a group.
public struct MemberView: Sendable, Equatable {
    public let user: UserView
    public let isAdmin: Bool
}

/// A group as a user sees it who is in it or may join it.
public struct GroupView: Sendable, Equatable {
    public let name: String
    public let id: ConversationID
    public let isOpen: Bool
    public let isMember: Bool
    public let isAdmin: Bool
    /// The user who added this one to it.
    public let addedBy: String?
    public let memberCount: Int
    public let retention: Retention
}

public struct GroupPage: Sendable {
    public let groups: [GroupView]
    public let more: Bool
    public let next: String?
}

extension Store {
    /// Creates a group. Its creator is the first member and admin.
    public func createGroup(
        _ name: String, isOpen: Bool, by principal: Principal, _ completion: @escaping Completion<ConversationView>
    ) {
        do throws(NameError) { try NameRule.check(name) } catch { return completion(.failure(.badName(name, error))) }
        changeGroup(principal, completion) { state, builder throws(StoreError) in
            guard state.groups[NameRule.caseKey(name)] == nil else { throw .nameTaken(name) }
            try self.quotas.checkGroups(state.accounts[principal.account]?.groupsMade ?? 0)
            var random = SecureRandom()
            let group = Change.NewConversation(
                number: builder.newConversationNumber(), id: ConversationID(using: &random), kind: .group, name: name,
                isOpen: isOpen, maker: principal.account)
            var decision = Decision(
                .conversationAdded(group),
                .memberPut(
                    principal.account, in: group.number,
                    ConversationState.Membership(isAdmin: true, since: builder.commit)))
            decision.append(.created, in: group.number, by: principal)
            return (decision, name)
        }
    }

    /// Renames a group, opens or closes it, or sets how long its messages are kept, or what it is about.
    ///
    /// - Parameter topic: nil to leave it as it is.
    public func changeGroup(
        _ name: String, id: ConversationID? = nil, newName: String?, isOpen: Bool?, retention: Retention? = nil,
        topic: String?? = nil,
        by principal: Principal, _ completion: @escaping Completion<ConversationView>
    ) {
        if let newName {
            do throws(NameError) { try NameRule.check(newName) } catch {
                return completion(.failure(.badName(newName, error)))
            }
        }
        let dropping: Completion<ConversationView> = { [self] result in
            if retention != nil, case .success(let group) = result { dropDueMessages(of: group.id) }
            completion(result)
        }
        changeGroup(principal, dropping) { [self] state, builder throws(StoreError) in
            let group = try state.group(name, id: id, .administer, for: principal)
            let number = group.identity.number
            let taken = newName.flatMap { state.groups[NameRule.caseKey($0)] }
            if let newName, let taken, taken != number { throw .nameTaken(newName) }
            let name = newName ?? group.name
            let topic = topic ?? group.topic
            if name == group.name, isOpen ?? group.isOpen == group.isOpen, retention == nil, topic == group.topic {
                return (.nothing, name)
            }
            var decision = Decision(.groupChanged(number, name: name, isOpen: isOpen ?? group.isOpen))
            if name != group.name {
                decision.append(.renamed(from: group.name, to: name), of: group, by: principal, state, builder)
            }
            if let isOpen, isOpen != group.isOpen {
                decision.append(isOpen ? .opened : .closed, of: group, by: principal, state, builder)
            }
            if topic != group.topic {
                decision.append(.topicSet(number, topic))
                decision.append(.topic(topic), of: group, by: principal, state, builder)
            }
            if let retention, let kept = try decide(retention, for: group, state) {
                for change in kept.changes { decision.append(change) }
                decision.append(.retained(retention), of: group, by: principal, state, builder)
            }
            // No member needs a note of its own: the events are in the conversation, and its new name comes before them.
            return (decision, name)
        }
    }

    /// Deletes a group for all its members. Its name is free again.
    public func deleteGroup(
        _ name: String, id: ConversationID? = nil, by principal: Principal, _ completion: @escaping Completion<Void>
    ) {
        change(by: principal, answering: completion) { state, builder throws(StoreError) in
            let group = try state.group(name, id: id, .administer, for: principal)
            var decision = Decision(.groupDeleted(group.identity.number))
            decision.append(.deleted, of: group, by: principal, state, builder)
            for member in group.members.keys {
                decision.append(.gone("deleted", from: group, for: AccountID(rawValue: member)))
            }
            return (decision, ())
        }
    }

    /// Adds a member to a group, or makes a member an admin or not. Users may join an open group themselves.
    ///
    /// - Parameters:
    ///   - isAdmin: nil leaves it unchanged.
    ///   - mayAdd: whether a user outside the group is added. If not, the error is `.notInGroup`.
    public func putMember(
        _ user: String, in name: String, id: ConversationID? = nil, isAdmin: Bool?, mayAdd: Bool,
        by principal: Principal, _ completion: @escaping Completion<ConversationView>
    ) {
        changeGroup(principal, completion) { [self] state, builder throws(StoreError) in
            let group = try state.groupToJoin(name, id: id, user, isAdmin, principal)
            guard let account = state.account(named: user) else { throw .noSuchUser(user) }
            let number = group.identity.number
            let old = group.members[account.id.rawValue]
            // A member who can't sign in stays one, and can be demoted.
            if account.isDisabled, old == nil || isAdmin == true { throw .noSuchUser(user) }
            if old == nil {
                guard mayAdd else { throw .notInGroup(account.name.text, group: group.name) }
                if account.blocked.contains(principal.account) { throw .blockedByMember(account.name.text) }
            }
            let isAdded = old == nil && account.id != principal.account
            if isAdded {
                try quotas.checkGroups(of: account.name, state.unusedGroups(of: account), addedBy: principal.account)
            }
            let new = ConversationState.Membership(
                isAdmin: isAdmin ?? old?.isAdmin ?? false, since: old?.since ?? builder.commit,
                adder: isAdded ? principal.account : old?.adder)
            if let old, old.isAdmin == new.isAdmin { return (.nothing, group.name) }
            if old?.isAdmin == true, !new.isAdmin { try group.checkOtherAdmin(than: account.id, state) }
            var decision = Decision(
                .memberPut(account.id, in: number, new),
                .noted(account.id, conversation: number, .conversation, data: nil))
            if old == nil {
                decision.changes += group.arrival(of: account.id, account.name)
                let event: GroupEvent = account.id == principal.account ? .joined : .added(account.name.text)
                decision.append(event, of: group, by: principal, state, builder)
            }
            if new.isAdmin != (old?.isAdmin ?? false) {
                let event: GroupEvent = new.isAdmin ? .promoted(account.name.text) : .demoted(account.name.text)
                decision.append(event, of: group, by: principal, state, builder)
            }
            return (decision, group.name)
        }
    }

    /// Removes a member from a group. Admins may remove others, and all members may remove themselves.
    public func removeMember(
        _ user: String, from name: String, id: ConversationID? = nil, by principal: Principal,
        _ completion: @escaping Completion<Void>
    ) {
        change(by: principal, room: .kept, answering: completion) { state, builder throws(StoreError) in
            let isSelf = state.account(named: user)?.id == principal.account
            let group: ConversationState
            do throws(StoreError) { group = try state.groupToSee(name, id: id, principal) } catch {
                // Joining it is no remedy for someone who wants to leave.
                guard isSelf, case .notAMember(let name, _) = error else { throw error }
                throw .notAMember(name, leaving: true)
            }
            guard let account = state.account(named: user) else { throw .noSuchUser(user) }
            guard let membership = group.members[account.id.rawValue] else {
                throw .notInGroup(account.name.text, group: group.name)
            }
            if !isSelf { _ = try state.group(name, id: id, .administer, for: principal) }
            if membership.isAdmin { try group.checkOtherAdmin(than: account.id, state) }
            var decision = Decision(
                .memberRemoved(account.id, from: group.identity.number),
                .gone(isSelf ? "left" : "removed", from: group, for: account.id))
            decision.append(isSelf ? .left : .removed(account.name.text), of: group, by: principal, state, builder)
            return (decision, ())
        }
    }

    /// The groups that the user is in, and open ones, by name.
    public func groups(of principal: Principal, after: String?, limit: Int) -> GroupPage {
        let start = after.map { NameRule.caseKey($0) }
        let own = listing(of: principal.account, \.groupListing) { state in
            (state.accounts[principal.account]?.conversations ?? []).compactMap { number in
                guard let group = state.conversations[number], group.identity.kind == .group else { return nil }
                return group.groupEntry
            }
        }
        let open = state.withLock { $0.openGroups }
        var entries = ConversationListing([own, open].flatMap { $0.behind(start).prefix(limit + 1) }).entries
        // An open group that the user is in is in both.
        var seen: Set<Int64> = []
        entries.removeAll { !seen.insert($0.number).inserted }
        let page = entries.prefix(limit)
        let groups = lookUp(page) { state, entry -> GroupView? in
            guard let group = state.conversations[entry.number], Authority.lists(principal.account, group) else {
                return nil
            }
            let membership = group.members[principal.account.rawValue]
            let adder = membership?.adder.flatMap { state.accounts[$0] }
            return GroupView(
                name: group.name, id: group.identity.id, isOpen: group.isOpen, isMember: membership != nil,
                isAdmin: membership?.isAdmin ?? false, addedBy: adder?.isErased == false ? adder?.name.text : nil,
                memberCount: group.members.count, retention: state.retention(of: group))
        }
        return GroupPage(
            groups: groups, more: entries.count > page.count, next: groups.last?.name ?? page.last?.name ?? after)
    }

    /// The members of a group, by name.
    public func members(of name: String, for principal: Principal) throws(StoreError) -> [MemberView] {
        let now = clock.now()
        let members = try state.withLock { state throws(StoreError) in try state.groupToSee(name, principal).members }
        return lookUp(members) { state, member -> (key: String, view: MemberView)? in
            guard let account = state.accounts[AccountID(rawValue: member.key)] else { return nil }
            return (account.name.caseKey, MemberView(user: account.view(at: now), isAdmin: member.value.isAdmin))
        }.sorted { AccountNames.precedes($0.key, $1.key) }.map(\.view)
    }

    // MARK: Helpers

    /// Makes a change of the conversation that `decide` names, and answers with that conversation after it.
    private func changeGroup(
        _ principal: Principal, _ completion: @escaping Completion<ConversationView>,
        _ decide: @escaping @Sendable (StoreState, BatchBuilder) throws(StoreError) -> (Decision, String)
    ) {
        let viewing: Completion<String> = { [self] changed in
            completion(
                changed.flatMap { name in
                    do throws(StoreError) { return .success(try conversation(name, for: principal)) } catch {
                        return changedUnseen(name, by: principal, error)
                    }
                })
        }
        change(by: principal, answering: viewing, decide)
    }

    /// The answer to an admin of the server who changed a group without being a member: the group without its
    /// messages.
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
}

extension Decision {
    /// Adds what is done to a group. By the right that a server's admin has to a group without an active admin, it is in the
    /// audit log, too: there may be nobody in the group to see it.
    fileprivate mutating func append(
        _ event: GroupEvent, of group: ConversationState, by actor: Principal, _ state: StoreState,
        _ builder: BatchBuilder
    ) {
        append(event, in: group.identity.number, by: actor)
        guard actor.isAdmin, Authority.isOrphan(group, state), let entry = event.audited(in: group, by: actor)
        else { return }
        append(builder.audited(actor.name.text, entry.action, entry.subject))
    }
}

extension Change {
    /// Tells an account that it no longer sees a group. Uses the group's name at that time, because later names are
    /// not theirs to know.
    static func gone(_ reason: String, from group: ConversationState, for account: AccountID) -> Change {
        .noted(account, conversation: group.identity.number, .gone, data: "\(reason) \(group.name)")
    }
}

extension StoreState {
    /// The group with this id, whatever it is called now; without an id, the one that is called `name`. Nobody's right to it is
    /// checked yet.
    private func group(_ name: String, id: ConversationID?) -> ConversationState? {
        guard let id else { return groups[NameRule.caseKey(name)].flatMap { conversations[$0] } }
        return conversation(id).flatMap { $0.identity.kind == .group && !$0.isDeleted ? $0 : nil }
    }

    /// Finds a group by its id or name. Throws unless the principal has this right.
    func group(
        _ name: String, id: ConversationID? = nil, _ right: Right, for principal: Principal
    ) throws(StoreError) -> ConversationState {
        guard let group = group(name, id: id) else { throw .noSuchConversation(name) }
        try Authority.check(right, of: principal.account, in: group, named: name, self)
        return group
    }

    /// Finds a group whose members the principal may know.
    func groupToSee(
        _ name: String, id: ConversationID? = nil, _ principal: Principal
    ) throws(StoreError) -> ConversationState {
        if let group = group(name, id: id), Authority.isOrphan(group, self),
            accounts[principal.account]?.isAdmin == true
        {
            return group
        }
        return try group(name, id: id, .read, for: principal)
    }

    /// Finds a group that the principal may add `user` to, or in which they may change admins. A member who joins
    /// again changes nothing, so that needs no right.
    func groupToJoin(
        _ name: String, id: ConversationID?, _ user: String, _ isAdmin: Bool?, _ principal: Principal
    ) throws(StoreError) -> ConversationState {
        if account(named: user)?.id == principal.account, let group = group(name, id: id) {
            let isMember = group.members[principal.account.rawValue] != nil
            if isMember ? isAdmin == nil : group.isOpen && isAdmin != true { return group }
        }
        // 404 comes before 403. Whoever does not see the group learns nothing of users by it.
        let seen = try groupToSee(name, id: id, principal)
        guard let found = account(named: user), !found.isDisabled || seen.members[found.id.rawValue] != nil else {
            throw .noSuchUser(user)
        }
        return try group(name, id: id, .administer, for: principal)
    }

    /// How many groups each account has added a user to in which the user has neither read nor written.
    ///
    /// It looks at all conversations of the user, and is called for each user who is added to a group. So neither posts nor reads
    /// have to keep a count.
    func unusedGroups(of user: AccountState) -> [AccountID: Int] {
        var counts: [AccountID: Int] = [:]
        for number in user.conversations {
            guard let group = conversations[number], let adder = group.members[user.id.rawValue]?.adder,
                user.reads[number]?.isStart ?? true, group.sent[user.name.text] ?? 0 == 0
            else { continue }
            counts[adder, default: 0] += 1
        }
        return counts
    }
}

extension ConversationState {
    /// Throws if no other account that may log in is an admin.
    func checkOtherAdmin(than account: AccountID, _ state: StoreState) throws(StoreError) {
        if Authority.isOrphan(self, without: account, state) { throw .lastAdmin(name) }
    }
}
