internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `group create|delete|…`: manages groups and their members.
enum GroupCommand {
    static let spec = CommandSpec(
        "group", "create groups and manage their members", group: NatterProgram.Group.people, bare: "ls",
        subcommands: [list, create, delete, rename, topic, add, remove, promote, demote, members, join, leave, retain],
        description: [
            "A group is a conversation with a name and members. You become the first admin of a group that you create. "
                + "Only admins change a group, and it always has one: the last admin can neither leave nor be "
                + "demoted.",
            "A group is private: nobody else learns of it. Anyone can join a group that was created with --open. "
                + "Members read its whole history, including messages from before they joined. Every change is "
                + "recorded in the conversation, so that 'natter log' shows who joined and left.",
        ],
        examples: [
            Example("natter group create ops", "create a private group"),
            Example("natter group add ops bob carol", "add two members"),
            Example("natter send -c ops 'The disk is full'", "write to it"),
            Example("natter group promote ops bob", "let bob add members, too"),
        ])

    private static let groupOperand = OperandSpec.required("GROUP", "the group")
    private static let usersOperand = OperandSpec.required("USER", isRepeating: true, "the users")

    private static let list = CommandSpec(
        "ls", "list your groups and those that you can join",
        description: [
            "Print each group's name, 'admin', 'member' or '-', 'open' or 'private', and the number of its members. On a "
                + "terminal, also who added you to it, or '-' if you joined or created it. With --json: the objects."
        ],
        run: inContext { context in
            let groups = try context.api().everything(API.groups, \.name)
            let output = context.console.output
            var columns = [
                Column<GroupObject>("NAME") { $0.name },
                Column("ROLE") { $0.admin ? output.word("admin") : $0.member ? output.word("member") : "-" },
                Column("ACCESS") { output.word($0.open ? "open" : "private") },
                Column("MEMBERS", .right) { "\($0.members)" },
            ]
            // Programs that read the table from a pipe know four columns.
            if output.isTerminal { columns.append(Column("ADDED BY") { $0.addedBy ?? "-" }) }
            try context.list(groups, columns)
            return .success
        })

    private static let create = CommandSpec(
        "create", "create a group",
        options: [.flag("open", "let anyone join it")],
        operands: [.required("NAME", "the name of the new group")],
        description: ["Create a group. You are its first member and admin. With --json: the conversation."],
        examples: [Example("natter group create lunch --open", "create a group that anyone can join")],
        run: inContext { context in
            let (name, isOpen) = (context.arguments.required("NAME"), context.arguments.flag("open"))
            let request = NewGroupRequest(name: name, open: isOpen ? true : nil)
            let group = try context.api().perform(API.createGroup, body: request)
            context.forgetGroups()
            try context.writeJSON(group)
            context.confirm("created the group '\(group.name)'; add members with 'natter group add'")
            return .success
        })

    private static let delete = CommandSpec(
        "delete", aliases: ["rm"], "delete a group for all members",
        operands: [groupOperand],
        description: [
            "Delete a group. Members get no new messages but keep what they have synced. The name becomes free."
        ],
        run: inContext { context in
            let group = context.arguments.required("GROUP")
            try Question.confirm("delete the group '\(group)' for all its members?", context.arguments, context.console)
            try context.api().perform(API.deleteGroup, group)
            context.forgetGroups()
            context.confirm("deleted the group '\(group)'")
            return .success
        })

    private static let rename = CommandSpec(
        "rename", "rename a group",
        operands: [groupOperand, .required("NAME", "its new name")],
        description: ["Rename a group; its history and members stay. With --json: the conversation."],
        run: inContext { context in
            let old = context.arguments.required("GROUP")
            let request = GroupRequest(name: context.arguments.required("NAME"))
            let group = try context.api().perform(API.changeGroup, old, body: request)
            context.forgetGroups()
            try context.writeJSON(group)
            context.confirm("renamed the group '\(old)' to '\(group.name)'")
            return .success
        })

    private static let topic = CommandSpec(
        "topic", "print or set what a group is about",
        operands: [groupOperand, .optional("TEXT", isRepeating: true, "up to 256 characters; '' for no topic")],
        description: [
            "Without TEXT, print the topic. Only admins of the group may set it. 'natter ls --json' has it, too. With --json: "
                + "the conversation."
        ],
        examples: [Example("natter group topic ops All about disks", "say what 'ops' is about")],
        run: inContext { context in
            let name = context.arguments.required("GROUP")
            let words = context.arguments.operands("TEXT")
            let api = try context.api()
            guard !words.isEmpty else {
                let group = try api.perform(API.conversation, name)
                try context.writeJSON(group)
                guard !context.wantsJSON else { return .success }
                if let topic = group.topic ?? nil {
                    try context.console.output.writeLine(TerminalText.escaped(topic))
                } else {
                    context.confirm("'\(group.name)' has no topic")
                }
                try context.console.output.flush()
                return .success
            }
            let text = words.joined(separator: " ")
            let request = GroupRequest(topic: .some(text.isEmpty ? nil : text))
            let group = try api.perform(API.changeGroup, name, body: request)
            try context.writeJSON(group)
            context.confirm("changed '\(group.name)'")
            return .success
        })

    private static let add = CommandSpec(
        "add", "add members to a group",
        operands: [groupOperand, usersOperand],
        description: ["Add users to a group. They can read its whole history."],
        run: change { try $0.perform(API.putMember, $2, $1, body: MemberRequest()) })

    private static let remove = CommandSpec(
        "remove", "remove members from a group",
        operands: [groupOperand, usersOperand],
        description: [
            "Remove users from a group. They can read nothing new but keep what they have synced."
        ],
        run: change { try $0.perform(API.removeMember, $2, $1) })

    private static let promote = CommandSpec(
        "promote", "make members admins",
        operands: [groupOperand, usersOperand],
        run: change { try $0.perform(API.putMember, $2, $1, body: MemberRequest(admin: true, existing: true)) })

    private static let demote = CommandSpec(
        "demote", "make admins plain members again",
        operands: [groupOperand, usersOperand],
        run: change { try $0.perform(API.putMember, $2, $1, body: MemberRequest(admin: false, existing: true)) })

    private static let members = CommandSpec(
        "members", "list the members of a group",
        operands: [groupOperand],
        description: [
            "Print each member's name, 'admin' or 'member', whether online, and when last seen. With --json: the user, "
                + "with 'admin'."
        ],
        run: inContext { context in
            let members = try context.api().perform(API.members, context.arguments.required("GROUP")).items
            try context.list(
                members,
                [
                    Column("NAME") { $0.name },
                    Column("ROLE") { context.console.output.word($0.admin ? "admin" : "member") },
                    Column("STATE") { context.presence($0.online) }, Column("LAST SEEN") { context.age($0.lastSeen) },
                ])
            return .success
        })

    private static let join = CommandSpec(
        "join", "join an open group",
        operands: [groupOperand],
        run: inContext { context in
            let group = context.arguments.required("GROUP")
            let api = try context.api()
            try api.perform(API.putMember, group, try context.ownName(api), body: MemberRequest())
            context.forgetGroups()
            context.confirm("joined '\(group)'")
            return .success
        })

    private static let leave = CommandSpec(
        "leave", "leave a group",
        options: [
            .flag(
                "blocked", "leave all groups that users whom you block have added you to",
                long: "Nobody whom you block can add you to another one.")
        ],
        operands: [.optional("GROUP", "the group")],
        description: [
            "Leave a group. Messages that you have synced stay. If you are the last admin, promote another member "
                + "first."
        ],
        examples: [Example("natter group leave --blocked", "leave the groups that blocked users have added you to")],
        run: inContext { context in
            let (group, isOfBlocked) = (context.arguments.operand("GROUP"), context.arguments.flag("blocked"))
            guard (group != nil) != isOfBlocked else {
                throw context.arguments.error("'group leave' takes either a group or --blocked")
            }
            let api = try context.api()
            let own = try context.ownName(api)
            defer { context.forgetGroups() }
            func leave(_ group: String) throws {
                try api.perform(API.removeMember, group, own)
                context.confirm("left '\(group)'")
            }
            if let group {
                try leave(group)
                return .success
            }
            let blocked = Set(try api.perform(API.blocked).items.map(\.name))
            let groups = try api.everything(API.groups, \.name).filter {
                $0.member && $0.addedBy.map(blocked.contains) == true
            }
            var failure: (any Error)?
            // A group of which one is the last admin keeps nobody in the others.
            for group in groups { do { try leave(group.name) } catch { failure = failure ?? error } }
            if let failure { throw failure }
            if groups.isEmpty { context.confirm("no user whom you block has added you to a group") }
            return .success
        })

    private static let retain = CommandSpec(
        "retain", "set how long a group's messages are kept",
        operands: [groupOperand, .required("TIME", "days, such as '90d', or 'forever'")],
        description: [
            "Messages that are older go from the server for good; their numbers do not come back. Only admins of the "
                + "group may set it, and never to longer than the server keeps messages; 'forever' means as long as that. "
                + "Messages that you have synced stay in your replica unless 'natter config set retention follow' is set. "
                + "With --json: the conversation, whose 'first' is the lowest number that is kept."
        ],
        examples: [Example("natter group retain ops 90d", "keep three months")],
        run: inContext { context in
            let name = context.arguments.required("GROUP")
            let retention = try Question.retention(of: name, context.arguments, context.console)
            let group = try context.api().perform(
                API.changeGroup, name, body: GroupRequest(retain: retention.description))
            try context.writeJSON(group)
            context.confirm(
                retention == .forever
                    ? "'\(group.name)' keeps its messages as long as the server does"
                    : "'\(group.name)' keeps its messages for \(retention.description)")
            return .success
        })

    /// Makes a change for each user.
    ///
    /// - Parameter body: receives the server, the user and the group.
    private static func change(
        _ body: @escaping @Sendable (ServerAPI, String, String) throws -> Void
    ) -> CommandBody {
        inContext { context in
            let group = context.arguments.required("GROUP")
            let api = try context.api()
            try context.forEachUser { user in
                do {
                    try body(api, user, group)
                } catch RequestError.refused(let refusal) where refusal.has(.noSuchUser) {
                    throw CommandFailure(
                        .notFound, code: refusal.code,
                        "\(refusal.phrase); see 'natter users' and 'natter group members \(group)'")
                }
            }
            // It may have been oneself.
            context.forgetGroups()
            context.confirm("changed '\(group)'")
            return .success
        }
    }
}

extension Context {
    /// The list of groups that the last sync has left is not right any more.
    fileprivate func forgetGroups() { (try? home().replica(of: login().account))??.forgetGroups() }
}
