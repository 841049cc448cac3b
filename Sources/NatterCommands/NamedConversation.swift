internal import NatterCommandLine
internal import NatterClient
internal import NatterSystem
internal import NatterModel

/// A conversation that the user named, for commands that run for long. The name is looked up once. Later a group may be
/// renamed, and its name may be given to another group.
struct NamedConversation {
    /// The name at the last look-up, or as the user wrote it.
    private(set) var name: String
    /// nil for a personal conversation that did not exist yet.
    private(set) var id: ConversationID?

    init(name: String, id: ConversationID? = nil) { (self.name, self.id) = (name, id) }

    init(_ conversation: ReplicaConversation) { self.init(name: conversation.name, id: conversation.id) }

    /// The conversation as it is now, or nil if the replica does not have it yet. Prints a note if it was renamed since
    /// the last look-up.
    mutating func find(in replica: Replica, _ context: Context) throws -> ReplicaConversation? {
        guard let id else {
            guard let found = try replica.conversation(named: name) else { return nil }
            self = NamedConversation(found)
            return found
        }
        guard let found = try replica.conversation(id) else { return nil }
        // The names of users never change, but '@me' is written in several ways.
        if found.kind == .group, NameRule.caseKey(found.name) != NameRule.caseKey(name) {
            context.note("'\(name)' is now called '\(found.name)'")
        }
        name = found.name
        return found
    }
}
