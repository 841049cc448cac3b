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
        var users = try fetch(context)
        let text = arguments.operand("PATTERN")
        if let pattern = text.map({ NamePattern($0) }) { users.removeAll { !pattern.matches($0.name) } }
        if arguments.flag("online") { users.removeAll { !$0.online } }
        if arguments.flag("recent") { users = recentFirst(users) }
        try write(users, context)
        return users.isEmpty && text != nil ? .nothingFound : .success
    }

    private static func fetch(_ context: Context) throws -> [UserObject] {
        let api = try context.api()
        return try api.users()
    }

    private static func recentFirst(_ users: [UserObject]) -> [UserObject] {
        users.sorted { one, other in
            if one.online != other.online { return one.online }
            // RFC 3339 in UTC with milliseconds sorts as text does.
            return (one.lastSeen ?? "", other.name) > (other.lastSeen ?? "", one.name)
        }
    }

    private static func write(_ users: [UserObject], _ context: Context) throws {
        let output = context.console.output
        if context.wantsJSON {
            for user in users { try output.writeJSON(WireJSON.encode(user)) }
            return
        }
        let isTerminal = output.isTerminal
        let now = context.now
        var table = Table([.left, .left, .left], header: isTerminal ? ["NAME", "STATE", "LAST SEEN"] : nil)
        for user in users {
            var seen = user.lastSeen ?? ""
            if isTerminal, let time = Timestamp(rfc3339: seen) { seen = Age.text(of: time, now: now) }
            table.add([user.name, user.online ? "online" : "offline", seen])
        }
        try table.write(to: output, paint: context.console.paint(context.arguments))
    }
}
