internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `account delete`: what the owner of an account may do with all of it.
enum AccountCommand {
    static let spec = CommandSpec(
        "account", "delete your account", group: NatterProgram.Group.account,
        subcommands: [delete],
        description: [
            "What concerns your whole account. 'natter whoami' shows it, and 'natter passwd' changes its password."
        ],
        examples: [
            Example("natter account delete", "delete your account; natter asks for its name and password")
        ])

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
