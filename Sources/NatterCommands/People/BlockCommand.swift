internal import NatterCLI
internal import NatterClient
internal import NatterWire

/// `block` and `unblock`: whose personal messages one does not take.
enum BlockCommand {
    static let spec = CommandSpec(
        "block", "take no more personal messages from somebody", group: NatterProgram.Group.people,
        operands: [.optional("USER", isRepeating: true, "whom; those who are blocked are listed unless given")],
        description: [
            "From now on USER's personal messages to you are refused to them, with a word that you do not take any. What was "
                + "written stays, you can still write to them, and in groups and in 'general' you go on reading each other. "
                + "'natter unblock' undoes it.",
            "Without USER, whom you block is printed: name, whether online, and when last seen. With --json: the users.",
        ],
        examples: [
            Example("natter block mallory", "no more personal messages from there"),
            Example("natter block", "who is blocked"),
        ],
        run: { arguments, console in
            let context = Context(arguments, console)
            let api = try context.api()
            guard !arguments.operands("USER").isEmpty else {
                try UserTable.write(try api.blocked(), context)
                return .success
            }
            try context.forEachUser { user in
                try api.block(user)
                context.confirm("you take no more personal messages from '\(user)'; 'natter unblock \(user)' undoes it")
            }
            return .success
        })

    static let undoing = CommandSpec(
        "unblock", "take somebody's personal messages again", group: NatterProgram.Group.people,
        operands: [.required("USER", isRepeating: true, "whom")],
        description: [
            "Takes USER's personal messages again. What they tried to send meanwhile does not come by itself."
        ],
        examples: [Example("natter unblock mallory", "be in touch again")],
        run: { arguments, console in
            let context = Context(arguments, console)
            let api = try context.api()
            try context.forEachUser { user in
                try api.unblock(user)
                context.confirm("you take personal messages from '\(user)' again")
            }
            return .success
        })
}
