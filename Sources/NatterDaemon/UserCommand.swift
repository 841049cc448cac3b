internal import NatterCLI
internal import NatterCrypto
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem
internal import NatterWire

extension CommandSpec {
    static let user = CommandSpec(
        "user", "add, list and change accounts", group: "Administration",
        subcommands: UserCommand.all,
        description: [
            "Works with and without a running server, where it takes effect at once: whoever is disabled, or given another "
                + "password, is logged out everywhere, requests that wait included. Enabling brings no session back.",
            "Nobody is an admin by himself: 'promote' makes one, who can then use 'natter admin' from afar. What is done "
                + "here goes into the audit trail, as 'operator'.",
        ],
        examples: [
            Example("natterd user list", "see who has an account"),
            Example("natterd user promote alice", "make an admin of alice"),
        ])
}

/// `user …`: accounts, by whoever has the data directory.
enum UserCommand {
    private static let json = OptionSpec.flag("json", "print the account as a JSON object")
    private static let name = OperandSpec.required("NAME", "a user")

    static var all: [CommandSpec] {
        [
            CommandSpec(
                "add", "make an account",
                options: [json, .flag("admin", "make it an admin of the server")] + PasswordInput.options,
                operands: [.required("NAME", "the new user's name")], run: add),
            CommandSpec(
                "list", "list the accounts", options: [.flag("json", "print each account as a JSON object")],
                run: list),
            CommandSpec(
                "passwd", "give an account another password", options: [json] + PasswordInput.options,
                operands: [name], run: passwd),
            CommandSpec(
                "disable", "end an account's sessions and tokens, and let nobody log in with it", options: [json],
                operands: [name], run: disable),
            CommandSpec(
                "enable", "let a disabled account log in again", options: [json], operands: [name], run: enable),
            CommandSpec(
                "promote", "make an account an admin of the server", options: [json], operands: [name], run: promote),
            CommandSpec(
                "demote", "make an account no admin any more", options: [json], operands: [name], run: demote),
        ]
    }

    private static let add: CommandBody = { arguments, console in
        let name = name(arguments)
        // Before a password is asked for and hashed.
        do throws(NameError) { _ = try UserName(name) } catch { throw StoreError.badName(name, error) }
        let password = try password(arguments, of: name)
        let operation = Operation.addUser(name: name, password: password, isAdmin: arguments.flag("admin"))
        return try perform(operation, arguments, console) { console.note("added '\($0.name)'") }
    }

    private static let passwd: CommandBody = { arguments, console in
        let name = name(arguments)
        let operation = Operation.setPassword(name: name, password: try password(arguments, of: name))
        return try perform(operation, arguments, console) {
            console.note("'\($0.name)' has another password and is logged out everywhere")
        }
    }

    private static let disable: CommandBody = { arguments, console in
        try perform(.setDisabled(name: name(arguments), true), arguments, console) {
            console.note("'\($0.name)' is disabled and logged out everywhere")
        }
    }

    private static let enable: CommandBody = { arguments, console in
        try perform(.setDisabled(name: name(arguments), false), arguments, console) {
            console.note("'\($0.name)' is enabled and can log in")
        }
    }

    private static let promote: CommandBody = { arguments, console in
        try perform(.setAdmin(name: name(arguments), true), arguments, console) {
            console.note("'\($0.name)' is an admin of the server")
        }
    }

    private static let demote: CommandBody = { arguments, console in
        try perform(.setAdmin(name: name(arguments), false), arguments, console) {
            console.note("'\($0.name)' is no admin of the server")
        }
    }

    /// As the server keeps names.
    private static func name(_ arguments: Arguments) -> String {
        Normalization.formC(arguments.operand("NAME") ?? "")
    }

    /// Its hash: the password itself never leaves this process.
    private static func password(_ arguments: Arguments, of name: String) throws -> String {
        let password = try PasswordInput(arguments).read(prompt: "Password of \(name)", again: "Once more")
        guard Limits.passwordBytes.contains(password.utf8.count) else {
            throw CommandFailure(
                .invalidData, code: "weak_password",
                "a password has \(Limits.passwordBytes.lowerBound) to \(Limits.passwordBytes.upperBound) bytes")
        }
        guard let hash = PasswordHash(of: password) else {
            throw CommandFailure(.temporary, code: "busy", "no memory for hashing a password; try again in a moment")
        }
        return hash.text
    }

    private static func perform(
        _ operation: Operation, _ arguments: Arguments, _ console: Console, _ tell: @escaping (AdminUserObject) -> Void
    ) throws -> ExitCode {
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            guard case .user(let user) = reply else { return }
            guard arguments.flag("json") else { return tell(user) }
            try console.output.write(WireJSON.encode(user) + [0x0A])
        }
        return try client.perform(operation)
    }

    private static let list: CommandBody = { arguments, console in
        let isTerminal = console.output.isTerminal
        let users = try UserList(arguments, console).perform(.listUsers)
        guard !arguments.flag("json") else { return .success }
        var table = Table(
            [.left, .left, .left, .left, .left],
            header: isTerminal ? ["NAME", "ROLE", "STATE", "CREATED", "LAST SEEN"] : nil)
        for user in users {
            table.add([
                user.name, console.output.word(user.admin ? "admin" : "user"),
                console.output.word(user.disabled ? "disabled" : user.online ? "online" : "offline"),
                UserList.time(user.created, console), UserList.time(user.lastSeen, console),
            ])
        }
        try table.write(to: console.output, paint: console.paint(arguments))
        return .success
    }
}

/// Accounts as they come, printed at once where programs want them, collected for a table otherwise.
struct UserList {
    private let arguments: Arguments
    private let console: Console

    init(_ arguments: Arguments, _ console: Console) { (self.arguments, self.console) = (arguments, console) }

    func perform(_ operation: Operation) throws -> [AdminUserObject] {
        var users: [AdminUserObject] = []
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            guard case .user(let user) = reply else { return }
            guard arguments.flag("json") else { return users.append(user) }
            try console.output.append { TerminalText.append(escaping: WireJSON.encode(user) + [0x0A], .json, to: &$0) }
        }
        _ = try client.perform(operation)
        return users
    }

    /// How long ago on a terminal, the moment itself in a pipe.
    static func time(_ text: String?, _ console: Console) -> String {
        guard let text, console.output.isTerminal, let time = Timestamp(rfc3339: text) else { return text ?? "" }
        return Age.text(of: time, now: console.clock.now()).text
    }
}
