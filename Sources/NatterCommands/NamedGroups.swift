internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

extension Context {
    /// The id of the user's group that the replica knows by this name. A message that waits carries it, because the group may
    /// get another name, and another group its name.
    ///
    /// - Returns: nil also if there is no replica or it cannot be read. Then the message goes by the name.
    func groupID(named name: String) -> ConversationID? {
        knownGroup(name).flatMap { $0.isGone ? nil : $0.groupID }
    }

    /// The id of the group for a message that is about a number, which the user has from the replica.
    ///
    /// - Throws: 67 if the user is not in that group any more.
    func groupID(ofNumbersIn name: String) throws(CommandFailure) -> ConversationID? {
        try knownGroup(name)?.groupOfNumbers()
    }

    /// Asks the server whether the user can send to a conversation. Without an answer, the message itself will find out.
    ///
    /// - Returns: the id of the group that has this name now.
    /// - Throws: 67 if there is no such conversation, 77 if the user may not write there.
    func checkWritable(_ conversation: String, _ api: ServerAPI?) throws -> ConversationID? {
        guard let api else { return groupID(named: conversation) }
        var id: ConversationID?
        do throws(RequestError) {
            let found = try api.perform(API.conversation, conversation)
            if NameRule.isGroup(conversation) { id = ConversationID(hex: found.id) }
        } catch {
            guard case .refused(let refusal) = error, [400, 401, 403, 404, 422].contains(refusal.status) else {
                return groupID(named: conversation)
            }
            // A token that may only send cannot look, but its scope names the conversation.
            if refusal.has(.forbidden), try api.whoami().maySend(to: conversation) { return nil }
            throw error
        }
        // A user who may look need not be allowed to write.
        if let who = try? api.whoami(), !who.maySend(to: conversation) {
            throw CommandFailure(
                .refused, code: ErrorCode.forbidden.rawValue,
                "the token's scope, '\(who.scope)', does not allow sending; nothing was done")
        }
        return id
    }

    private func knownGroup(_ name: String) -> ReplicaConversation? {
        guard NameRule.isGroup(name), let account = try? login().account,
            let location = try? home().replica(of: account)
        else { return nil }
        return try? Replica.open(at: location)?.conversation(named: name)
    }
}

extension WhoamiAnswer {
    /// Whether the scope of the token lets it send to a conversation.
    fileprivate func maySend(to conversation: String) -> Bool {
        if scope == "all" { return true }
        let isOwn = conversation.hasPrefix("@") && NameRule.isMe(String(conversation.dropFirst()))
        let key = NameRule.caseKey("send:" + (isOwn ? "@" + name : conversation))
        return scope.split(separator: ",").contains { NameRule.caseKey(String($0)) == key }
    }
}

extension ReplicaConversation {
    /// The id of the group of which the replica shows numbers under this name; nil if it is no group.
    ///
    /// - Throws: 67 if the user is not in it any more. The server may know another group by its name.
    func groupOfNumbers() throws(CommandFailure) -> ConversationID? {
        guard isGone, kind == .group else { return groupID }
        throw CommandFailure(
            .notFound, code: "no_such_conversation",
            "the messages of '\(name)' that are here are of a group that you are not in any more; 'natter sync' looks for a new one"
        )
    }
}

/// The groups that the lines of one command name. A name means the same group until the command ends.
final class NamedGroups {
    private let context: Context
    /// The known id of each name; nil if no id is needed, or none was found.
    private var ids: [String: ConversationID?] = [:]

    init(_ context: Context) { self.context = context }

    func id(named name: String) -> ConversationID? { ids[name] ?? nil }

    /// Learns from the server's answer to the first message with this name.
    func learn(_ name: String, from answer: ArraySlice<UInt8>) {
        guard ids[name] == nil else { return }
        guard NameRule.isGroup(name), let message: MessageObject = try? WireJSON.decode(answer: answer) else {
            return ids[name] = .some(nil)
        }
        ids[name] = .some(message.conversationID)
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
