internal import NatterCommandLine
internal import NatterClient
internal import NatterProtocol

/// `admin user add|disable|…`: manages accounts.
enum AdminUserCommand {
    static let spec = CommandSpec(
        "user", "add or change an account", bare: "list",
        subcommands: [
            AdminCommand.accounts("list"), add, change(.disable), change(.enable), passwd, change(.promote),
            change(.demote),
        ],
        description: [
            "Add or change an account. With --json: the account after the change. Disabling an account or changing its "
                + "password ends all of its sessions at once. Enabling it does not restore them."
        ])

    private static let userOperand = OperandSpec.required("USER", "the account's name")

    private static let add = CommandSpec(
        AccountAction.add.rawValue, AccountAction.add.summary,
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
            return try finish(.add, try api.perform(API.addAccount, body: request), context)
        })

    private static let passwd = CommandSpec(
        AccountAction.passwd.rawValue, AccountAction.passwd.summary, options: PasswordInput.options,
        operands: [userOperand], description: [AccountAction.passwdEnds],
        run: inContext { context in
            let input = try PasswordInput(context.arguments)
            let api = try context.api()
            let name = Context.user(context.arguments.required("USER"))
            let password = try input.read(prompt: "New password of \(name)", again: "Repeat it")
            return try finish(
                .passwd, try api.perform(API.changeAccount, name, body: AccountChangeRequest(password: password)),
                context)
        })

    /// A command that makes one change to one account.
    private static func change(_ action: AccountAction) -> CommandSpec {
        CommandSpec(
            action.rawValue, action.summary, operands: [userOperand],
            run: inContext { context in
                let name = Context.user(context.arguments.required("USER"))
                let change = AccountChangeRequest(disabled: action.disables, admin: action.promotes)
                return try finish(action, try context.api().perform(API.changeAccount, name, body: change), context)
            })
    }

    private static func finish(
        _ action: AccountAction, _ account: AdminUserObject, _ context: Context
    ) throws -> ExitCode {
        try context.writeJSON(account)
        context.confirm(action.done(account.name))
        return .success
    }
}
