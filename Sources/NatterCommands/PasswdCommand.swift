internal import Glibc
internal import NatterCLI
internal import NatterClient

/// `passwd`: another password.
enum PasswdCommand {
    static let spec = CommandSpec(
        "passwd", "change the password", group: NatterProgram.Group.account,
        options: [
            .flag("password-stdin", "read the old and the new password from two lines of standard input")
        ],
        description: [
            "Asks for the old password and twice for the new one, changes it, and ends all other sessions of the account. "
                + "Tokens of robots stay good."
        ],
        examples: [Example("printf 'old-secret\\nnew-secret\\n' | natter passwd --password-stdin", "from a script")],
        run: run)

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let input: PasswordInput = arguments.flag("password-stdin") ? .standardInput : .terminal
        let api = try context.api(deliveringOutbox: false)
        if input == .terminal, !Terminal.isTerminal(STDIN_FILENO) {
            throw arguments.error("no terminal to ask for the passwords; give --password-stdin")
        }
        let old = try input.read(prompt: "Old password")
        let new = try input.read(prompt: "New password", again: "The same again")
        try api.changePassword(old: old, new: new)
        context.confirm("the password is changed; all other sessions have ended")
        return .success
    }
}
