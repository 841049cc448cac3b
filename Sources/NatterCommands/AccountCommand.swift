internal import NatterCommandLine
internal import NatterHTTP
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `account show|set|export|delete`: what the owner of an account may do with all of it.
enum AccountCommand {
    static let spec = CommandSpec(
        "account", "change, export or delete your account", group: NatterProgram.Group.account, bare: "show",
        subcommands: [show, set, export, delete],
        description: [
            "Your account as others see it. Its name never changes, but you can choose a display name, which 'natter users' "
                + "shows beside it. 'natter passwd' changes the password."
        ],
        examples: [
            Example("natter account set 'display=Alice Liddell'", "choose a display name"),
            Example("natter account export mine", "take all of your data"),
            Example("natter account delete", "delete your account; natter asks for its name and password"),
        ])

    private static let show = CommandSpec(
        "show", "print your name, display name and server",
        description: ["With --json: the user."],
        run: inContext { context in
            let api = try context.api()
            // A change of nothing has the account as its answer.
            let answer = try api.perform(API.changeOwn, body: DisplayRequest())
            try context.list(
                [answer],
                [
                    Column("NAME") { $0.name }, Column("DISPLAY NAME") { $0.display ?? "" },
                    Column("SERVER") { _ in api.address.description },
                ])
            return .success
        })

    private static let set = CommandSpec(
        "set", "choose a display name",
        operands: [.required("KEY=VALUE", "'display=' and 1 to 64 characters, or none to have none")],
        description: [
            "Other users see the display name beside your name, by which they go on to call you. With --json: the user."
        ],
        run: inContext { context in
            let word = context.arguments.required("KEY=VALUE")
            guard word.hasPrefix("display=") else {
                throw context.arguments.error("'\(word)' is not 'display=NAME'")
            }
            let display = String(word.dropFirst("display=".count))
            let user = try context.api().perform(
                API.changeOwn, body: DisplayRequest(display: .some(display.isEmpty ? nil : display)))
            try context.writeJSON(user)
            context.confirm(
                user.display.map { "your display name is '\($0)'" } ?? "you have no display name")
            return .success
        })

    private static let export = CommandSpec(
        "export", "write all of your data into a directory", options: [HistoryFormat.option],
        operands: [.required("DIR", "the directory; natter makes it if it is not there")],
        description: [
            "Write a file for each conversation that you can read, as 'natter export --all --to DIR' does."
        ],
        run: inContext { context in
            try ExportCommand.all(context, HistoryFormat(context.arguments), to: context.arguments.required("DIR"))
        })

    /// The server goes through all messages.
    private static let deletionMilliseconds = 600_000

    private static let delete = CommandSpec(
        "delete", "delete your account and all your messages for good",
        options: [.flag("forget", "delete the replica too")] + PasswordInput.options,
        description: [
            "Remove your sessions, tokens, contacts, memberships and password from the server, and text and sender of each "
                + "of your messages. Nothing brings them back. Nobody gets your name again. What others have copied, and "
                + "backups of the server, can't be reached.",
            "natter asks you to type your name again, and for your password. Without a terminal, give --yes and one of the "
                + "two options. A token for a program cannot do it, and neither can the server's last admin (status 77). What "
                + "you have synced stays on this machine unless you give --forget. With --json: how many messages were erased.",
        ],
        run: inContext { context in
            let arguments = context.arguments
            let input = try PasswordInput(arguments)
            let login = try context.login()
            let api = try context.api(of: login)
            let name = try context.ownName(api)
            try Question.confirm(
                typing: name, "this deletes the account '\(name)' at '\(api.address)' and all its messages for good",
                arguments, context.console)
            let password = try input.read(prompt: "Password of \(name)")
            let done = try api.perform(
                API.deleteAccount, body: AccountDeletion(password: password), timeoutMilliseconds: deletionMilliseconds)
            if context.tokenFile == nil { try context.profile().forget(login.token) }
            if arguments.flag("forget") { try context.home().replica(of: login.account)?.remove() }
            try context.writeJSON(done)
            context.confirm(
                .plural(
                    UInt64(max(0, done.erased)), "deleted the account '\(name)' and \(done.erased) message",
                    "deleted the account '\(name)' and \(done.erased) messages"))
            return .success
        })
}
