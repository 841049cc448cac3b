internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterWire

/// `users [PATTERN]`: who is there.
enum UsersCommand {
    static let spec = CommandSpec(
        "users", "list the users", group: NatterProgram.Group.reading,
        options: [
            .flag("online", "only those who are online"),
            .flag("recent", "in the order of their last visit, newest first"),
        ],
        operands: [.optional("PATTERN", "a part of the name, or a glob such as 'a*'")],
        description: [
            "Prints each user's name, whether online, and when last seen. The case of PATTERN does not count; if nobody's "
                + "name matches it, the status is 1.",
            "Where the server cannot be reached, and with --offline, the users are printed as last fetched, with a note "
                + "of the age on standard error.",
        ],
        examples: [Example("natter users --recent", "who was here last"), Example("natter users 'a*'", "by a glob")],
        run: run)

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let mirror = try Mirror(context)
        let (all, isFresh) = try fetch(mirror)
        var users = all
        let text = arguments.operand("PATTERN")
        if let pattern = text.map({ NamePattern($0) }) { users.removeAll { !pattern.matches($0.name) } }
        if arguments.flag("online") { users.removeAll { !$0.online } }
        if arguments.flag("recent") { users = recentFirst(users) }
        try UserTable.write(users, context)
        try console.output.flush()
        // That the list can't be kept is no failure of this command.
        if isFresh { try? Replica.keep(all, at: mirror.location, clock: console.clock) }
        return users.isEmpty && text != nil ? .nothingFound : .success
    }

    /// - Returns: also whether they come from the server.
    private static func fetch(_ mirror: Mirror) throws -> ([UserObject], Bool) {
        let context = mirror.context
        var reason: Phrase?
        if !context.isOffline {
            do {
                return (try mirror.api().users(), true)
            } catch  where Mirror.isNotReached(error) {
                guard try mirror.replica()?.usersFetched() != nil else { throw error }
                reason = Mirror.reason(of: error)
            }
        }
        guard let kept = try mirror.replica()?.users() else {
            throw CommandFailure(
                .unavailable, code: "nothing_synced", "the users were never fetched; leave out --offline")
        }
        let age = Age.text(of: kept.fetched, now: context.now)
        context.note(
            reason.map { "\($0); these are the users as of \(age)" } ?? "these are the users as of \(age)")
        let users = kept.users.map { UserObject(name: $0.name, online: $0.isOnline, lastSeen: $0.lastSeen) }
        return (users, false)
    }

    private static func recentFirst(_ users: [UserObject]) -> [UserObject] {
        users.sorted { one, other in
            if one.online != other.online { return one.online }
            // RFC 3339 in UTC with milliseconds sorts as text does.
            return (one.lastSeen ?? "", other.name) > (other.lastSeen ?? "", one.name)
        }
    }
}
