internal import NatterCLI
internal import NatterClient
internal import NatterWire

/// `admin user add|disable|…`: manages accounts.
enum AdminUserCommand {
    static let spec = CommandSpec(
        "user", "add or change an account",
        subcommands: [add, disable, enable, passwd, promote, demote],
        description: [
            "Add or change an account. With --json: the account after the change. Disabling an account or changing its "
                + "password ends all of its sessions at once. Enabling it does not restore them."
        ])

    private static let userOperand = OperandSpec.required("USER", "the account's name")

    private static let add = CommandSpec(
        "add", "create an account",
        options: [.flag("admin", "make it an admin of the server")] + PasswordInput.options,
        operands: [.required("NAME", "the name of the new account")],
        description: ["Create an account. On a terminal, natter asks for its password twice."],
        run: inContext { context in
            let input = try PasswordInput(context.arguments)
            let api = try context.api()
            let name = context.arguments.required("NAME")
            let password = try input.read(prompt: "Password of \(name)", again: "Repeat it")
            let isAdmin = context.arguments.flag("admin")
            let request = AccountRequest(name: name, password: password, admin: isAdmin ? true : nil)
            try context.writeJSON(try api.perform(API.addAccount, body: request))
            context.confirm("created the account '\(name)'")
            return .success
        })

    private static let passwd = CommandSpec(
        "passwd", "change an account's password", options: PasswordInput.options, operands: [userOperand],
        description: ["Change the password and end the account's sessions. Its tokens for programs stay valid."],
        run: inContext { context in
            let input = try PasswordInput(context.arguments)
            let api = try context.api()
            let name = Context.user(context.arguments.required("USER"))
            let password = try input.read(prompt: "New password of \(name)", again: "Repeat it")
            let change = AccountChangeRequest(password: password)
            try context.writeJSON(try api.perform(API.changeAccount, name, body: change))
            context.confirm("changed the password of '\(name)' and ended all of its sessions")
            return .success
        })

    private static let disable = change(
        "disable", "end an account's sessions and tokens, and allow no new ones", AccountChangeRequest(disabled: true)
    ) { "'\($0)' is disabled and logged out everywhere" }

    private static let enable = change(
        "enable", "allow a disabled account to log in again", AccountChangeRequest(disabled: false)
    ) { "'\($0)' can log in" }

    private static let promote = change(
        "promote", "make an account an admin of the server", AccountChangeRequest(admin: true)
    ) { "'\($0)' is an admin of the server" }

    private static let demote = change(
        "demote", "make an admin a plain user again", AccountChangeRequest(admin: false)
    ) { "'\($0)' is no admin of the server" }

    /// A command that makes one change to one account.
    private static func change(
        _ command: String, _ summary: Phrase, _ change: AccountChangeRequest,
        done: @escaping @Sendable (String) -> Phrase
    ) -> CommandSpec {
        CommandSpec(
            command, summary, operands: [userOperand],
            run: inContext { context in
                let user = Context.user(context.arguments.required("USER"))
                let account = try context.api().perform(API.changeAccount, user, body: change)
                try context.writeJSON(account)
                context.confirm(done(account.name))
                return .success
            })
    }
}
