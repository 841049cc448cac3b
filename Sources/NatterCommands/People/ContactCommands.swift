internal import NatterCLI
internal import NatterClient
internal import NatterWire

/// `contact add|remove|ls`: manages the list of contacts.
enum ContactCommand {
    static let spec = CommandSpec(
        "contact", "keep a list of contacts", group: NatterProgram.Group.people, bare: "ls",
        subcommands: [add, remove, list],
        description: [
            "The server keeps your contacts, for all your machines. A user who writes you a personal message becomes a "
                + "contact."
        ],
        examples: [
            Example("natter contact add bob", "add bob"),
            Example("natter contact ls", "see which contacts are online"),
        ])

    private static let add = CommandSpec(
        "add", "add contacts",
        operands: [.required("USER", isRepeating: true, "the users")],
        run: inContext { context in
            let api = try context.api()
            try context.forEachUser { try api.addContact($0) }
            context.confirm("changed your contacts")
            return .success
        })

    private static let remove = CommandSpec(
        "remove", aliases: ["rm"], "remove contacts",
        operands: [.required("USER", isRepeating: true, "the users")],
        description: ["Remove users from the list; messages stay. It is no error if a user is not in the list."],
        run: inContext { context in
            let api = try context.api()
            try context.forEachUser { try api.removeContact($0) }
            context.confirm("changed your contacts")
            return .success
        })

    private static let list = CommandSpec(
        "ls", aliases: ["list"], "list the contacts",
        description: ["Print each contact's name, whether online, and when last seen. With --json: the users."],
        run: inContext { context in
            try context.list(try context.api().contacts())
            return .success
        })
}

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
                try context.list(try api.blocked())
                return .success
            }
            try context.forEachUser { user in
                try api.block(user)
                context.confirm("blocked '\(user)'; 'natter unblock \(user)' undoes this")
            }
            return .success
        })

    static let undoing = CommandSpec(
        "unblock", "accept a user's personal messages again", group: NatterProgram.Group.people,
        operands: [.required("USER", isRepeating: true, "the users")],
        description: [
            "Accept USER's personal messages again. What they tried to send in the meantime does not arrive."
        ],
        examples: [Example("natter unblock mallory", "accept mallory's personal messages again")],
        run: inContext { context in
            let api = try context.api()
            try context.forEachUser { user in
                try api.unblock(user)
                context.confirm("you accept personal messages from '\(user)' again")
            }
            return .success
        })
}

extension Context {
    /// The name of the account with the session. With a token file, it may have to ask the server.
    func ownName(_ api: ServerAPI) throws -> String { try login().account.name ?? api.whoami().name }

    /// A user name from the command line, with or without `@`.
    static func user(_ word: String) -> String { word.hasPrefix("@") ? String(word.dropFirst()) : word }

    /// Applies a change to each named user in order, up to the first error.
    ///
    /// - Throws: the error of `change`, after a note about the users before.
    func forEachUser(_ change: (String) throws -> Void) throws {
        let users = arguments.operands("USER").map { Context.user($0) }
        for (index, user) in users.enumerated() {
            do {
                try change(user)
            } catch  where index > 0 {
                let failure = ExitCodes.translate(error)
                throw CommandFailure(
                    failure.exitCode, code: failure.code, "\(failure.message); the users before '\(user)' are done")
            }
        }
    }
}
