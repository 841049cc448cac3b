internal import NatterConversation
internal import NatterModel
internal import NatterSQLite

/// The events in blocks that the database has never seen, because it is older than the logs. They change memberships as they
/// did when they were written. Otherwise somebody who was removed since could read again.
final class AdoptedEvents {
    private var found: [(conversation: ConversationState, events: [GroupHistory.Event])] = []

    /// - Parameter events: in the order of their seqs.
    func add(_ events: [GroupHistory.Event], of conversation: ConversationState) {
        if conversation.identity.kind == .group, !events.isEmpty { found.append((conversation, events)) }
    }

    /// Makes the changes. Call inside a transaction.
    func settle(in state: inout StoreState, on connection: Connection, report: (Phrase) -> Void) throws {
        for (conversation, events) in found {
            var count = 0
            for event in events {
                for change in changes(event, of: conversation, state) {
                    try change.write(to: connection, at: event.commit)
                    change.apply(to: &state, at: event.commit)
                    count += 1
                }
            }
            guard count > 0 else { continue }
            report("the index did not know \(events.count) changes of '\(conversation.name)'; they count again")
        }
    }

    /// The changes of an event. An account that the database does not know can't be a member.
    private func changes(
        _ event: GroupHistory.Event, of group: ConversationState, _ state: StoreState
    ) -> [Change] {
        let number = group.identity.number
        let words = event.text.split(separator: " ").map(String.init)
        guard let verb = words.first, !group.isDeleted else { return [] }
        let subject = state.account(named: words.count > 1 ? words[1] : event.actor)
        func put(isAdmin: Bool) -> [Change] {
            guard let subject else { return [] }
            let old = group.members[subject.id.rawValue]
            let adder = verb == "added" ? state.account(named: event.actor)?.id : old?.adder
            return [
                .memberPut(
                    subject.id, in: number,
                    ConversationState.Membership(isAdmin: isAdmin, since: old?.since ?? event.commit, adder: adder))
            ]
        }
        func end(_ reason: String) -> [Change] {
            guard let subject, group.members[subject.id.rawValue] != nil else { return [] }
            return [.memberRemoved(subject.id, from: number), .gone(reason, from: group, for: subject.id)]
        }
        switch verb {
        case "created":
            // Known, unless the rows of members are lost.
            guard let maker = state.account(named: event.actor), group.members[maker.id.rawValue] == nil else {
                return []
            }
            return [.memberPut(maker.id, in: number, ConversationState.Membership(isAdmin: true, since: event.commit))]
        case "added", "joined": return put(isAdmin: false)
        case "promoted", "demoted":
            guard let subject, group.members[subject.id.rawValue] != nil else { return [] }
            return put(isAdmin: verb == "promoted")
        case "removed": return end("removed")
        case "left": return end("left")
        case "opened", "closed": return [.groupChanged(number, name: group.name, isOpen: verb == "opened")]
        case "renamed":
            guard let name = words.last, (try? NameRule.checkForm(name)) != nil,
                state.groups[NameRule.caseKey(name)] ?? number == number
            else { return [] }
            return [.groupChanged(number, name: name, isOpen: group.isOpen)]
        case "deleted":
            let members = group.members.keys.sorted().map { AccountID(rawValue: $0) }
            return members.map { .gone("deleted", from: group, for: $0) } + [.groupDeleted(number)]
        default: return GroupEvent.topic(in: event.text).map { [.topicSet(number, $0)] } ?? []
        }
    }
}
