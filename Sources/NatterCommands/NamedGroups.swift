internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterWire

extension Context {
    /// The id of the user's group that the replica knows by this name. A message that waits, or that is about a number from
    /// the replica, carries it, because the group may get another name, and another group its name.
    ///
    /// - Returns: nil also if there is no replica or it cannot be read. Then the message goes by the name.
    func groupID(named name: String) -> ConversationID? {
        guard NameRule.isGroup(name), let account = try? login().account,
            let location = try? home().replica(of: account),
            let found = try? Replica.open(at: location)?.conversation(named: name), !found.isGone
        else { return nil }
        return found.groupID
    }
}

/// The groups that the lines of one command name. A name means the same group until the command ends.
final class NamedGroups {
    private let context: Context
    /// What is known about a name; nil if no id is needed, or none was found.
    private var ids: [String: ConversationID?] = [:]

    init(_ context: Context) { self.context = context }

    func id(named name: String) -> ConversationID? { ids[name] ?? nil }

    /// Learns from the server's answer to the first message with this name.
    func learn(_ name: String, from answer: ArraySlice<UInt8>) {
        guard ids[name] == nil else { return }
        guard NameRule.isGroup(name), let message: MessageObject = try? WireJSON.decode(answer: answer) else {
            return ids[name] = .some(nil)
        }
        ids[name] = .some(ConversationID(hex: message.conversationID))
    }

    /// The message as the outbox keeps it, with the id that the server told or that the replica knows.
    func identified(_ request: SendRequest) -> SendRequest {
        let name = request.conversation
        if ids[name] == nil { ids[name] = .some(context.groupID(named: name)) }
        var request = request
        request.conversationID = request.conversationID ?? id(named: name)
        return request
    }
}
