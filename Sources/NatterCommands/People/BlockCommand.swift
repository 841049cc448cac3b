internal import NatterCommandLine
internal import NatterClient
internal import NatterProtocol

/// `block` and `unblock`: refuse and accept personal messages of users.
enum BlockCommand {
    static let spec = CommandSpec(
        "block", "refuse personal messages from a user", group: NatterProgram.Group.people,
        operands: [.optional("USER", isRepeating: true, "the users to block (default: list those whom you block)")],
        description: [
            "From now on the server refuses USER's personal messages to you and tells them that you do not accept any. "
                + "Earlier messages stay, you can still write to them, and in groups and in 'general' you still "
                + "see each other. 'natter unblock' undoes this.",
            "Without USER, print the users whom you block: name, whether online, and when last seen. With --json: the "
                + "users.",
        ],
        examples: [
            Example("natter block mallory", "refuse mallory's personal messages"),
            Example("natter block", "list the users whom you block"),
        ],
        run: inContext { context in
            let api = try context.api()
            guard !context.arguments.operands("USER").isEmpty else {
                try context.list(try api.perform(API.blocked).items)
                return .success
            }
            try context.forEachUser { user in
                try api.perform(API.block, user)
                context.confirm("blocked '\(user)'; 'natter unblock \(user)' undoes this")
            }
            return .success
        })

    static let undoing = CommandSpec(
        "unblock", "accept a user's personal messages again", group: NatterProgram.Group.people,
        operands: [.required("USER", isRepeating: true, "the users")],
        description: [
            "Accept USER's personal messages again. Messages that they tried to send in the meantime do not arrive."
        ],
        examples: [Example("natter unblock mallory", "accept mallory's personal messages again")],
        run: inContext { context in
            let api = try context.api()
            try context.forEachUser { user in
                try api.perform(API.unblock, user)
                context.confirm("you accept personal messages from '\(user)' again")
            }
            return .success
        })
}
