internal import NatterHTTP
internal import NatterCLI
internal import NatterClient
internal import NatterCrypto
internal import NatterModel
internal import NatterWire

/// `register NAME`: a new account, and a session of it.
enum RegisterCommand {
    static let spec = CommandSpec(
        "register", "create an account and log in", group: NatterProgram.Group.account,
        options: [.option("invite", value: "CODE", "the invitation, where the server asks for one")]
            + PasswordInput.options,
        operands: [.required("NAME", "of the new account")],
        description: [
            "Creates the account NAME on the server and logs in, so that the server and the session are remembered for "
                + "the commands that follow.",
            "The password, 8 to 1,024 bytes, is asked for twice on a terminal; elsewhere one of the two options says "
                + "where it comes from. It is never an argument, which others on this machine could see.",
        ],
        examples: [
            Example("natter register alice", "a new account; the password is asked for"),
            Example("natter register robot --password-file pw", "from a script"),
        ],
        run: run)

    private static let run: CommandBody = { arguments, console in
        try SessionStart(Context(arguments, console), prompt: "Password", again: "The same again") { api, password in
            try api.register(
                name: arguments.operand("NAME") ?? "", password: password, invite: arguments.value("invite"))
        }.run { "registered and logged in as '\($0)' at \($1)" }
    }
}

/// `login NAME`: a session of an account that is there.
enum LoginCommand {
    static let spec = CommandSpec(
        "login", "begin a session", group: NatterProgram.Group.account, options: PasswordInput.options,
        operands: [.required("NAME", "of the account")],
        description: [
            "Logs in. The server and the session are remembered for the commands that follow, in the place of a former "
                + "session of this profile; what another account has synced stays where it is and is not shown."
        ],
        examples: [
            Example("natter login alice --server https://chat.example.org", "an account elsewhere"),
            Example("natter login bob --profile bob", "a second account, beside the first"),
        ],
        run: run)

    private static let run: CommandBody = { arguments, console in
        try SessionStart(Context(arguments, console), prompt: "Password", again: nil) { api, password in
            try api.login(name: arguments.operand("NAME") ?? "", password: password)
        }.run { "logged in as '\($0)' at \($1)" }
    }
}

/// What `register` and `login` share: from a password to a stored session.
private struct SessionStart {
    let context: Context
    let prompt: Phrase
    let again: Phrase?
    let begin: (ServerAPI, String) throws -> (String, Token)

    init(
        _ context: Context, prompt: Phrase, again: Phrase?,
        begin: @escaping (ServerAPI, String) throws -> (String, Token)
    ) {
        (self.context, self.prompt, self.again, self.begin) = (context, prompt, again, begin)
    }

    func run(done: (_ name: String, _ address: ServerAddress) -> Phrase) throws -> ExitCode {
        let input = try PasswordInput(context.arguments)
        let profile = try context.profile()
        // What would refuse to be logged in must not keep one from logging in again.
        let former = try? profile.credentials()
        let address = try context.address(remembered: (try? profile.account())?.server)
        let api = try context.api(at: address, token: nil)
        // An account whose token can't be kept would be no use: this fails before the server is asked.
        try profile.prepare()
        let password = try input.read(prompt: prompt, again: again)
        let (name, token) = try begin(api, password)
        try profile.store(Account(server: address.description, name: name, store: api.store), token)
        try endFormerSession(former, at: address)
        if context.wantsJSON {
            try context.console.output.writeJSON(WireJSON.encode(SessionAnswer(name: name, token: nil)))
        }
        context.confirm(done(name, address))
        return .success
    }

    /// Nobody holds its token any more, so that it cannot be ended is no reason to fail.
    private func endFormerSession(_ former: (account: Account, token: Token)?, at address: ServerAddress) throws {
        guard let former, former.account.server == address.description else { return }
        try? context.api(at: address, token: former.token).logout(all: false)
    }
}

/// `logout`: ends the session here and on the server.
enum LogoutCommand {
    static let spec = CommandSpec(
        "logout", "end the session", group: NatterProgram.Group.account,
        options: [
            .flag("all", "end every session of the account, on all machines"),
            .flag("forget", "delete the replica too"),
        ],
        description: [
            "Ends the session, here and on the server. Where the server cannot be reached the token is forgotten here "
                + "all the same, and the status is 69. The replica stays for the next "
                + "login of this account, unless --forget is given."
        ],
        run: run)

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let login = try context.login()
        let forget = {
            if context.tokenFile == nil { try context.profile().forget(login.token) }
            if arguments.flag("forget"), let name = login.account.name, let store = login.account.store {
                try context.home().replica(store: store, user: name).remove()
            }
        }
        do {
            let address = try context.address(remembered: login.account.server)
            try context.api(at: address, token: login.token).logout(all: arguments.flag("all"))
        } catch APIError.refused(let refusal) where refusal.status == 401 {
            context.note("the session had ended already")
        } catch {
            try forget()
            let failure = Explanation.failure(error)
            throw CommandFailure(
                failure.exitCode, code: failure.code,
                "logged out here, but the session was not ended on the server: \(failure.message)")
        }
        try forget()
        context.confirm("logged out")
        return .success
    }
}

/// `whoami`: account, server, age of the session.
enum WhoamiCommand {
    static let spec = CommandSpec(
        "whoami", "print account, server and age of the session", group: NatterProgram.Group.account,
        description: [
            "Asks the server whose the session is, and prints the account, the server and when the session began. With "
                + "--offline, what is remembered."
        ],
        run: run)

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        if context.isOffline {
            let account = try context.offlineAccount()
            let name = account.name ?? ""
            let address = try context.address(remembered: account.server)
            if context.wantsJSON {
                try console.output.writeJSON(WireJSON.encode(SessionAnswer(name: name, token: nil)))
            } else {
                try print(name: name, address: address, created: nil, context)
            }
            return .success
        }
        let api = try context.api()
        let answer = try api.whoami()
        if context.wantsJSON {
            try console.output.writeJSON(WireJSON.encode(answer))
        } else {
            try print(name: answer.name, address: api.address, created: Timestamp(rfc3339: answer.created), context)
        }
        return .success
    }

    private static func print(name: String, address: ServerAddress, created: Timestamp?, _ context: Context) throws {
        if context.console.output.isTerminal {
            let line: Phrase =
                created.map { "\(name) at \(address), session begun \(Age.text(of: $0, now: context.now))" }
                ?? "\(name) at \(address)"
            try context.console.output.writeLine(TerminalText.escaped(line.text, .name))
        } else {
            var table = Table([.left, .left, .left])
            table.add([name, address.description, created?.rfc3339 ?? ""])
            try table.write(to: context.console.output)
        }
    }
}
