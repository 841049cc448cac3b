internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `users [PATTERN]`: lists users.
enum UsersCommand {
    static let spec = CommandSpec(
        "users", "list the users", group: NatterProgram.Group.reading,
        options: [
            .flag("online", "print only users who are online"),
            .flag("recent", "sort by last visit, most recent first"),
        ],
        operands: [.optional("PATTERN", "a part of the name or display name, or a glob such as 'a*'")],
        description: [
            "Print each user's name, whether online, and when last seen; on a terminal also the display name. PATTERN ignores case; if no name matches, the "
                + "exit status is 1.",
            "If the server cannot be reached, and with --offline, natter prints the users as last fetched and notes "
                + "their age on standard error.",
        ],
        examples: [
            Example("natter users --recent", "see who was online last"), Example("natter users 'a*'", "use a glob"),
        ],
        run: run)

    private static let run: CommandBody = inContext { context in
        let synced = try SyncedReplica(context)
        let (all, isFresh) = try fetch(synced)
        var users = all
        let text = context.arguments.operand("PATTERN")
        if let pattern = text.map({ NamePattern($0) }) {
            users.removeAll { user in !([user.name, user.display ?? ""].contains { pattern.matches($0) }) }
        }
        if context.arguments.flag("online") { users.removeAll { !$0.online } }
        if context.arguments.flag("recent") { users = recentFirst(users) }
        try context.list(users)
        try context.console.output.flush()
        // The command succeeds even if the list cannot be stored.
        if isFresh { try? Replica.keep(all, at: synced.location, clock: context.console.clock) }
        return users.isEmpty && text != nil ? .nothingFound : .success
    }

    /// - Returns: the users, and true if they come from the server.
    private static func fetch(_ synced: SyncedReplica) throws -> ([UserObject], Bool) {
        let context = synced.context
        var reason: Phrase?
        if !context.isOffline {
            do {
                return (try synced.api().everything(API.users, \.name), true)
            } catch  where SyncedReplica.isAway(error) {
                guard try synced.unsyncedReplica(needsSync: false)?.usersFetched() != nil else { throw error }
                reason = SyncedReplica.reason(of: error)
            }
        }
        guard let kept = try synced.unsyncedReplica(needsSync: false)?.users() else {
            throw CommandFailure(
                .unavailable, code: "nothing_synced", "the users have never been fetched; leave out --offline")
        }
        let age = Age.text(of: kept.fetched, now: context.now)
        context.note(
            reason.map { "\($0); these are the users as of \(age)" } ?? "these are the users as of \(age)")
        let users = kept.users.map {
            UserObject(name: $0.name, online: $0.isOnline, lastSeen: $0.lastSeen, display: $0.display)
        }
        return (users, false)
    }

    private static func recentFirst(_ users: [UserObject]) -> [UserObject] {
        users.sorted { one, other in
            if one.online != other.online { return one.online }
            // Times in RFC 3339, in UTC with milliseconds, sort like text.
            return (one.lastSeen ?? "", other.name) > (other.lastSeen ?? "", one.name)
        }
    }
}
