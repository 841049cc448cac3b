internal import NatterCLI
internal import NatterClient
internal import NatterWire

/// `admin user add|disable|…`: one account.
enum AdminUserCommand {
    static let spec = CommandSpec(
        "user", "add or change an account",
        subcommands: [add, disable, enable, passwd, promote, demote],
        description: [
            "Adds an account, or changes one. With --json: the account as it is then. Whoever is disabled, or given another "
                + "password, is logged out everywhere at once; enabling brings no session back."
        ])

    private static let userOperand = OperandSpec.required("USER", "whose account")

    private static let add = CommandSpec(
        "add", "make an account for somebody",
        options: [.flag("admin", "make it an admin of the server")] + PasswordInput.options,
        operands: [.required("NAME", "of the new account")],
        description: ["Makes an account. Its password is asked for twice on a terminal."],
        run: { arguments, console in
            let context = Context(arguments, console)
            let input = try PasswordInput(arguments)
            let api = try context.api()
            let name = arguments.operand("NAME") ?? ""
            let password = try input.read(prompt: "Password of \(name)", again: "The same again")
            let request = AccountRequest(name: name, password: password, admin: arguments.flag("admin") ? true : nil)
            try print(try api.addAccount(request), context)
            context.confirm("'\(name)' has an account")
            return .success
        })

    private static let passwd = CommandSpec(
        "passwd", "give an account another password", options: PasswordInput.options, operands: [userOperand],
        description: ["Sets another password, and ends the account's sessions. Its tokens for programs stay good."],
        run: { arguments, console in
            let context = Context(arguments, console)
            let input = try PasswordInput(arguments)
            let api = try context.api()
            let name = Context.user(arguments.operand("USER") ?? "")
            let password = try input.read(prompt: "New password of \(name)", again: "The same again")
            try print(try api.changeAccount(name, AccountChangeRequest(password: password)), context)
            context.confirm("'\(name)' has another password and is logged out everywhere")
            return .success
        })

    private static let disable = CommandSpec(
        "disable", "end an account's sessions and tokens, and let none begin", operands: [userOperand],
        run: { arguments, console in
            try change(Context(arguments, console), AccountChangeRequest(disabled: true)) {
                "'\($0)' is disabled and logged out everywhere"
            }
        })

    private static let enable = CommandSpec(
        "enable", "let a disabled account log in again", operands: [userOperand],
        run: { arguments, console in
            try change(Context(arguments, console), AccountChangeRequest(disabled: false)) { "'\($0)' can log in" }
        })

    private static let promote = CommandSpec(
        "promote", "make an account an admin of the server", operands: [userOperand],
        run: { arguments, console in
            try change(Context(arguments, console), AccountChangeRequest(admin: true)) {
                "'\($0)' is an admin of the server"
            }
        })

    private static let demote = CommandSpec(
        "demote", "make an account no admin any more", operands: [userOperand],
        run: { arguments, console in
            try change(Context(arguments, console), AccountChangeRequest(admin: false)) {
                "'\($0)' is no admin of the server"
            }
        })

    private static func change(
        _ context: Context, _ change: AccountChangeRequest, _ done: (String) -> Phrase
    ) throws -> ExitCode {
        let account = try context.api().changeAccount(Context.user(context.arguments.operand("USER") ?? ""), change)
        try print(account, context)
        context.confirm(done(account.name))
        return .success
    }

    private static func print(_ account: AdminUserObject, _ context: Context) throws {
        if context.wantsJSON { try context.console.output.writeJSON(WireJSON.encode(account)) }
    }
}
