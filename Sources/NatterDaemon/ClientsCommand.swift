internal import NatterCLI
internal import NatterWire

extension CommandSpec {
    static let clients = CommandSpec(
        "clients", "list who was here when and from where", group: "Administration",
        options: [.flag("json", "print each account as a JSON object")],
        description: [
            "Prints login, last visit and last address of each user who was ever here, newest first. With a running server "
                + "this is what it knows at this moment; what was written down is at most a minute older."
        ],
        examples: [Example("natterd clients", "see who was here last")],
        run: ClientsCommand.run)
}

enum ClientsCommand {
    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let users = try UserList(arguments, console).perform(.listClients)
        guard !arguments.flag("json") else { return .success }
        var table = Table(
            [.left, .left, .left], header: console.output.isTerminal ? ["LOGIN", "LAST VISIT", "ADDRESS"] : nil)
        for user in users { table.add([user.name, UserList.time(user.lastSeen, console), user.address ?? ""]) }
        try table.write(to: console.output, paint: console.paint(arguments))
        return .success
    }
}
