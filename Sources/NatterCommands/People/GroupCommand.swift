internal import NatterCLI
internal import NatterClient
internal import NatterWire

/// `group create|delete|…`: groups, and who is in them.
enum GroupCommand {
    static let spec = CommandSpec(
        "group", "make groups, and say who is in them", group: NatterProgram.Group.people,
        subcommands: [create, delete, rename, add, remove, promote, demote, members, join, leave],
        description: [
            "A group is a conversation with a name and members. Who makes it is its first admin; only admins change it, "
                + "and there is always one: the last admin can neither leave nor be demoted.",
            "A group is private, so that nobody else learns of it, unless it was made with --open: then whoever wants to "
                + "can join. Members read all of its history, also what was written before they came. Every change "
                + "stands in the conversation, so that 'natter log' shows who came and went.",
        ],
        examples: [
            Example("natter group create ops", "a private group"),
            Example("natter group add ops bob carol", "let two others in"),
            Example("natter send -c ops 'The disk is full'", "write to it"),
            Example("natter group promote ops bob", "so that bob can let others in, too"),
        ])

    private static let groupOperand = OperandSpec.required("GROUP", "the group")
    private static let usersOperand = OperandSpec.required("USER", isRepeating: true, "whom")

    private static let create = CommandSpec(
        "create", "make a group",
        options: [.flag("open", "let anyone join it")],
        operands: [.required("NAME", "of the new group")],
        description: ["Makes a group, whose only member and admin you are. With --json: the conversation."],
        examples: [Example("natter group create lunch --open", "a group that anyone can join")],
        run: { arguments, console in
            let context = Context(arguments, console)
            let isOpen = arguments.flag("open")
            let group = try context.api().createGroup(arguments.operand("NAME") ?? "", isOpen: isOpen)
            try print(group, context)
            context.confirm("the group '\(group.name)' is there; 'natter group add' lets others in")
            return .success
        })

    private static let delete = CommandSpec(
        "delete", "delete a group for all who are in it",
        operands: [groupOperand],
        description: [
            "Deletes a group. Nobody gets anything new of it, what they have synced stays with them, and its name is free "
                + "again."
        ],
        run: { arguments, console in
            let context = Context(arguments, console)
            let group = arguments.operand("GROUP") ?? ""
            try context.api().deleteGroup(group)
            context.confirm("the group '\(group)' is deleted")
            return .success
        })

    private static let rename = CommandSpec(
        "rename", "give a group another name",
        operands: [groupOperand, .required("NAME", "its new name")],
        description: ["Gives a group another name; its history and its members stay. With --json: the conversation."],
        run: { arguments, console in
            let context = Context(arguments, console)
            let old = arguments.operand("GROUP") ?? ""
            let group = try context.api().renameGroup(old, to: arguments.operand("NAME") ?? "")
            try print(group, context)
            context.confirm("the group '\(old)' is now '\(group.name)'")
            return .success
        })

    private static let add = CommandSpec(
        "add", "let users into a group",
        operands: [groupOperand, usersOperand],
        description: ["Lets users into a group. They read all of its history."],
        run: { arguments, console in
            try change(Context(arguments, console)) { try $0.addMember($1, toGroup: $2) }
        })

    private static let remove = CommandSpec(
        "remove", "take users out of a group",
        operands: [groupOperand, usersOperand],
        description: [
            "Takes users out of a group. From then on they read nothing of it; what they have synced they keep."
        ],
        run: { arguments, console in
            try change(Context(arguments, console)) { try $0.removeMember($1, fromGroup: $2) }
        })

    private static let promote = CommandSpec(
        "promote", "make members admins of a group",
        operands: [groupOperand, usersOperand],
        run: { arguments, console in
            try change(Context(arguments, console)) { try $0.setAdmin(true, $1, ofGroup: $2) }
        })

    private static let demote = CommandSpec(
        "demote", "make admins of a group plain members",
        operands: [groupOperand, usersOperand],
        run: { arguments, console in
            try change(Context(arguments, console)) { try $0.setAdmin(false, $1, ofGroup: $2) }
        })

    private static let members = CommandSpec(
        "members", "list who is in a group",
        operands: [groupOperand],
        description: [
            "Prints each member's name, 'admin' or 'member', whether online, and when last seen. With --json: the user, "
                + "with 'admin'."
        ],
        run: { arguments, console in
            let context = Context(arguments, console)
            let members = try context.api().members(ofGroup: arguments.operand("GROUP") ?? "")
            if context.wantsJSON {
                for member in members { try console.output.writeJSON(WireJSON.encode(member)) }
                return .success
            }
            var table = UserTable(context, more: ["ROLE"])
            for member in members {
                table.add(
                    member.name, [console.output.word(member.admin ? "admin" : "member")], isOnline: member.online,
                    lastSeen: member.lastSeen)
            }
            try table.write()
            return .success
        })

    private static let join = CommandSpec(
        "join", "join an open group",
        operands: [groupOperand],
        run: { arguments, console in
            let context = Context(arguments, console)
            let group = arguments.operand("GROUP") ?? ""
            let api = try context.api()
            try api.addMember(try context.ownName(api), toGroup: group)
            context.confirm("you are in '\(group)'")
            return .success
        })

    private static let leave = CommandSpec(
        "leave", "leave a group",
        operands: [groupOperand],
        description: ["Leaves a group. What was synced stays; the last admin has to promote another one first."],
        run: { arguments, console in
            let context = Context(arguments, console)
            let group = arguments.operand("GROUP") ?? ""
            let api = try context.api()
            try api.removeMember(try context.ownName(api), fromGroup: group)
            context.confirm("you have left '\(group)'")
            return .success
        })

    private static func print(_ group: ConversationObject, _ context: Context) throws {
        if context.wantsJSON { try context.console.output.writeJSON(WireJSON.encode(group)) }
    }

    /// - Parameter body: gets a user and the group.
    private static func change(
        _ context: Context, _ body: (ServerAPI, String, String) throws -> Void
    ) throws -> ExitCode {
        let group = context.arguments.operand("GROUP") ?? ""
        let api = try context.api()
        try context.forEachUser { user in
            do {
                try body(api, user, group)
            } catch APIError.refused(let refusal) where refusal.code == ErrorCode.noSuchUser.rawValue {
                throw CommandFailure(
                    .notFound, code: refusal.code,
                    "\(refusal.phrase); see 'natter users' and 'natter group members \(group)'")
            }
        }
        context.confirm("'\(group)' is changed")
        return .success
    }
}
