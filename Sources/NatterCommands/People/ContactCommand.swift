internal import NatterCLI
internal import NatterClient
internal import NatterWire

/// `contact add|remove|ls`: whom one knows.
enum ContactCommand {
    static let spec = CommandSpec(
        "contact", "keep a list of whom you know", group: NatterProgram.Group.people,
        subcommands: [add, remove, list],
        description: [
            "Contacts are kept on the server, for all of your machines. Whoever writes you a personal message becomes one by "
                + "that."
        ],
        examples: [
            Example("natter contact add bob", "keep bob in the list"),
            Example("natter contact ls", "who of them is there"),
        ])

    private static let add = CommandSpec(
        "add", "add contacts",
        operands: [.required("USER", isRepeating: true, "whom")],
        run: { arguments, console in
            let context = Context(arguments, console)
            let api = try context.api()
            try context.forEachUser { try api.addContact($0) }
            context.confirm("your contacts are changed")
            return .success
        })

    private static let remove = CommandSpec(
        "remove", "take contacts away",
        operands: [.required("USER", isRepeating: true, "whom")],
        description: ["Takes users from the list; what was written stays. One who is not in it is no error."],
        run: { arguments, console in
            let context = Context(arguments, console)
            let api = try context.api()
            try context.forEachUser { try api.removeContact($0) }
            context.confirm("your contacts are changed")
            return .success
        })

    private static let list = CommandSpec(
        "ls", "list the contacts",
        description: ["Prints each contact's name, whether online, and when last seen. With --json: the users."],
        run: { arguments, console in
            let context = Context(arguments, console)
            try UserTable.write(try context.api().contacts(), context)
            return .success
        })
}
