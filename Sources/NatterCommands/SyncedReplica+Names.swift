internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

extension SyncedReplica {
    /// A conversation in the replica.
    ///
    /// - Returns: nil for one that is empty. A personal conversation without messages exists.
    /// - Throws: 67 if there is no such conversation.
    func conversation(named name: String, in replica: Replica, _ state: State) throws -> ReplicaConversation? {
        if let conversation = try replica.conversation(named: name) { return conversation }
        try checkExistence(of: name, replica, state)
        return nil
    }

    /// Checks a conversation that is not in the replica.
    private func checkExistence(of name: String, _ replica: Replica, _ state: State) throws {
        let key = NameRule.caseKey(name)
        // 'general' and the user's own notes always exist, but a token may not permit them.
        let isAlwaysThere = key == "general" || key == "@me" || key == NameRule.caseKey("@" + location.user)
        if isAlwaysThere, context.tokenFile == nil || !state.isReached { return }
        // No name has a slash, and not even a server could be asked.
        if name.contains("/") {
            throw CommandFailure(
                .notFound, code: "no_such_conversation",
                "there is no conversation '\(name)'\(try hint(for: name, replica))")
        }
        switch state {
        case .current, .partial:
            let api = try api()
            do throws(RequestError) { _ = try api.perform(API.messages, name, query: [("limit", "1")]) } catch {
                guard case .refused(let refusal) = error, refusal.has(.noSuchConversation) else { throw error }
                throw CommandFailure(
                    .notFound, code: refusal.code, "\(refusal.phrase)\(try hint(for: name, replica))")
            }
        case .stale, .offline:
            let users = try replica.users()?.users ?? []
            guard !users.contains(where: { NameRule.caseKey("@" + $0.name) == key }) else { return }
            throw CommandFailure(
                .notFound, code: "no_such_conversation",
                "there is no conversation '\(name)' in the replica\(try hint(for: name, replica))")
        }
    }

    /// Suggests what the user probably meant by a name that is no conversation's.
    private func hint(for name: String, _ replica: Replica) throws -> Phrase {
        let key = NameRule.caseKey(name)
        if let slash = name.lastIndex(where: { $0 == "/" || $0 == "#" || $0 == ":" }), slash > name.startIndex,
            let seq = Int64(name[name.index(after: slash)...]), seq > 0
        {
            return "; for one message write 'natter log \(name[..<slash]) --around \(seq) -n 1'"
        }
        if try replica.users()?.users.contains(where: { NameRule.caseKey($0.name) == key }) == true {
            return "; did you mean '@\(name)'?"
        }
        if !context.isOffline, (try? NameRule.checkForm(name)) != nil,
            (try? api().perform(API.conversation, "@" + name)) != nil
        {
            return "; did you mean '@\(name)'?"
        }
        let names = try [NameRule.general] + replica.conversations().map(\.name).filter { !NameRule.isGeneral($0) }
        let hint = NearestWords.hint(for: name, among: names)
        return hint == "" ? "; 'natter ls' lists yours, and '@NAME' is the one with a user" : hint
    }

    /// Prints a note if nothing can have been found: nobody has the name of the sender, or no message the time.
    ///
    /// - Parameter senders: as the user has written them.
    func explainNothing(
        from senders: [String], since: Timestamp?, until: Timestamp?, _ state: State
    ) throws {
        if let since, let until, since >= until {
            context.note("no message is both from \(LocalTime.text(since)) on and before \(LocalTime.text(until))")
        } else if let since, since > context.now {
            context.note("no message is from \(LocalTime.text(since)) on: that is in the future")
        }
        var users = try replica()?.users()?.users.map(\.name) ?? []
        var isFresh = !state.isReached
        for name in senders.map(Context.user) where !NameRule.isMe(name) {
            let key = NameRule.caseKey(name)
            func isKnown() -> Bool { users.contains { NameRule.caseKey($0) == key } }
            // The list may be older than the user.
            if !isKnown(), !isFresh, let all = try? api().everything(API.users, \.name) {
                (users, isFresh) = (all.map(\.name), true)
                try? Replica.keep(all, at: location, clock: context.console.clock)
            }
            if !users.isEmpty, !isKnown() {
                context.note("no user is named '\(name)'\(NearestWords.hint(for: name, among: users))")
            }
        }
    }

    /// The senders that `--from` names, with or without `@`: `me` is the user.
    func senders(_ words: [String]) -> [String] {
        words.map(Context.user).map { NameRule.isMe($0) ? location.user : $0 }
    }
}

extension CommandFailure {
    /// There is no message with this number in the replica.
    ///
    /// - Parameter conversation: nil if it has no messages.
    static func noMessage(_ seq: Seq, in name: String, _ conversation: ReplicaConversation?) -> CommandFailure {
        if let conversation, seq >= conversation.first, seq <= conversation.head {
            return CommandFailure(
                .inputOutput, code: "damaged",
                "message \(seq) of '\(name)' is missing here; 'natter sync' fetches it if the server can read it")
        }
        let reason: Phrase =
            if let conversation, seq < conversation.serverFirst {
                "message \(seq) of '\(name)' is not kept any more"
            } else if let conversation, seq < conversation.first {
                "message \(seq) of '\(name)' is not in this replica, which begins with \(conversation.first); the server has it"
            } else if let conversation, conversation.head > .zero {
                "there is no message \(seq) in '\(name)'; the newest has number \(conversation.head)"
            } else {
                "there is no message \(seq) in '\(name)'"
            }
        return CommandFailure(.notFound, code: "no_such_message", reason)
    }
}
