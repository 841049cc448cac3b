internal import NatterCommandLine
internal import NatterClient
internal import NatterProtocol

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
            try context.forEachUser { try api.perform(API.addContact, $0) }
            context.confirm("changed your contacts")
            return .success
        })

    private static let remove = CommandSpec(
        "remove", "remove contacts",
        operands: [.required("USER", isRepeating: true, "the users")],
        description: ["Remove users from the list; messages stay. It is no error if a user is not in the list."],
        run: inContext { context in
            let api = try context.api()
            try context.forEachUser { try api.perform(API.removeContact, $0) }
            context.confirm("changed your contacts")
            return .success
        })

    private static let list = CommandSpec(
        "ls", "list the contacts",
        description: ["Print each contact's name, whether online, and when last seen. With --json: the users."],
        run: inContext { context in
            try context.list(try context.api().perform(API.contacts).items)
            return .success
        })
}
