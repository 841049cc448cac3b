internal import NatterHTTP
internal import Glibc
internal import NatterCommandLine
internal import NatterClient
internal import NatterSystem
internal import NatterModel
internal import NatterProtocol

/// `register NAME`: creates an account and logs in.
enum RegisterCommand {
    static let spec = CommandSpec(
        "register", "create an account and log in", group: NatterProgram.Group.account,
        options: [
            .option("invite", value: "CODE", "the invitation code, if the server requires one"), fingerprintOption,
        ]
            + PasswordInput.options,
        operands: [.required("NAME", "the name of the new account")],
        description: [
            "Create the account NAME on the server and log in. natter remembers the server and the session for later "
                + "commands.",
            "On a terminal, natter asks for the password twice; it has 8 to 1,024 bytes. Elsewhere, give one of the "
                + "two options. The password is never an argument, which other users of this machine could see.",
        ],
        examples: [
            Example("natter register alice", "create an account; natter asks for the password"),
            Example("natter register robot --password-file pw", "use it in a script"),
        ],
        run: run)

    private static let run: CommandBody = inContext { context in
        try startSession(context, again: "Repeat it") { api, password in
            let arguments = context.arguments
            return try api.register(
                name: arguments.required("NAME"), password: password, invite: arguments.value("invite"))
        } done: {
            "registered and logged in as '\($0)' at \($1)"
        }
    }
}

/// `login NAME`: logs in.
enum LoginCommand {
    static let spec = CommandSpec(
        "login", "log in", group: NatterProgram.Group.account, options: [fingerprintOption] + PasswordInput.options,
        operands: [.required("NAME", "the name of the account")],
        description: [
            "Log in. natter remembers the server and the session for later commands, instead of the former session of "
                + "this profile. Messages that another account has synced stay on the disk and are not shown."
        ],
        examples: [
            Example("natter login alice --server https://chat.example.org", "log in to another server"),
            Example("natter login bob --profile bob", "use a second account beside the first"),
        ],
        run: run)

    private static let run: CommandBody = inContext { context in
        try startSession(context) { api, password in
            try api.login(name: context.arguments.required("NAME"), password: password)
        } done: {
            "logged in as '\($0)' at \($1)"
        }
    }
}

private let fingerprintOption = OptionSpec.option(
    "fingerprint", value: "sha256:HEX", "trust the certificate with this fingerprint, and no other",
    long:
        "It is the SHA-256 of the certificate, as 'natterd tls-self-signed' and 'openssl x509 -noout -fingerprint -sha256' "
        + "print it; colons are allowed. The profile keeps it, instead of any --ca-file. A server with another certificate "
        + "gets neither password nor token, and the exit status is 69.")

/// The part that `register` and `login` share: from the password to the stored session.
///
/// - Parameter again: the prompt for repeating the password; nil to ask once.
private func startSession(
    _ context: Context, again: Phrase? = nil, begin: (ServerAPI, String) throws -> (String, Token),
    done: (_ name: String, _ address: ServerAddress) -> Phrase
) throws -> ExitCode {
    let input = try PasswordInput(context.arguments)
    let caFile = context.arguments.value("ca-file").map { Path.absolute($0) }
    if let caFile { try Setting.caFile.checkNew(caFile) }
    let fingerprint = try context.fingerprint(context.arguments.value("fingerprint"))
    let profile = try context.profile()
    // A profile that cannot be read must not prevent a new login.
    let former = try? profile.credentials()
    let address = try context.address(remembered: (try? profile.account())?.server)
    let api = try context.api(at: address, token: nil, fingerprint: fingerprint)
    api.program = "natter/\(NatterProgram.version)"
    // Fail before the server creates an account whose token cannot be stored, because nobody could use it.
    try profile.prepare()
    var isBegun = false
    defer { if !isBegun { profile.removeIfEmpty() } }
    let password = try input.read(prompt: "Password", again: again)
    let (name, token) = try begin(api, password)
    isBegun = true
    var settings = (try? profile.account())?.settings ?? [:]
    if let caFile { settings["ca-file"] = caFile }
    if let fingerprint { settings["fingerprint"] = "\(fingerprint)" }
    try profile.store(Account(server: address.description, name: name, store: api.store, settings: settings), token)
    if let former {
        context.endFormerSession(
            former.token, of: former.account, isOther: former.account.server != address.description)
    }
    try context.writeJSON(SessionAnswer(name: name, token: nil))
    context.confirm(done(name, address))
    return .success
}

extension Context {
    /// How long a login waits for the end of the former session.
    private static let endMilliseconds = 5_000

    /// Ends the session of a profile that has a new one, or goes, at its own server. It only costs a note if this fails.
    ///
    /// - Parameter isOther: whether the command is about another server.
    func endFormerSession(_ token: Token, of account: Account, isOther: Bool = false) {
        do {
            let api = try api(
                at: ServerAddress(url: account.server), token: token, of: account, isOther: isOther,
                timeoutMilliseconds: Context.endMilliseconds)
            _ = try api.perform(API.logout, body: LogoutRequest(all: nil))
        } catch RequestError.refused(let refusal) where refusal.isOfEndedSession {
            // It had ended already.
        } catch {
            note("the former session at '\(account.server)' could not be ended: \(SyncedReplica.reason(of: error))")
        }
    }
}

/// `logout`: ends the session here and on the server.
enum LogoutCommand {
    static let spec = CommandSpec(
        "logout", "log out", group: NatterProgram.Group.account,
        options: [
            .flag("all", "end every session of the account, on all machines, and tokens with the scope 'all'"),
            .flag(
                "forget", "delete the replica too, and those of limited tokens",
                long: "If you have logged out already, log in again first."),
        ],
        description: [
            "End the session here and on the server. If the server cannot be reached, natter still forgets the token "
                + "and exits with status 69. The replica stays for the next login of this account, unless you give "
                + "--forget. That also deletes the positions of 'natter watch', and messages in 'diverged/', which the "
                + "server has lost: copy what you need of those before."
        ],
        run: run)

    private static let run: CommandBody = inContext { context in
        let login: Context.Login
        do { login = try context.login() } catch ProfileError.notLoggedIn where context.arguments.flag("forget") {
            // Which replica was this account's is known only while it is logged in.
            throw CommandFailure(
                .refused, code: "not_logged_in",
                "not logged in; log in again to delete what you have synced with 'natter logout --forget', or remove the "
                    + "directories in '\(try context.home().path)/replicas'")
        }
        if context.arguments.flag("forget") {
            try Question.confirm(
                "delete everything that you have synced as '\(login.account.name ?? "?")'?", context.arguments,
                context.console)
        }
        var remaining: [TokenObject] = []
        let forget = {
            if context.tokenFile == nil { try context.profile().forget(login.token) }
            if context.arguments.flag("forget") { try context.home().replica(of: login.account)?.remove() }
            // The outbox of a token from a file belongs to the token.
            if context.tokenFile == nil { context.noteWaiting(login.account) }
        }
        do {
            let request = LogoutRequest(all: context.arguments.flag("all") ? true : nil)
            remaining = try context.api(of: login).perform(API.logout, body: request).tokens ?? []
        } catch RequestError.refused(let refusal) where refusal.isOfEndedSession {
            context.note("the session had already ended")
        } catch {
            try forget()
            let failure = CommandFailure(error)
            throw failure.saying(
                failure.code == "outcome_unknown"
                    ? "logged out here, but the session may not have ended on the server: \(failure.message)"
                    : "logged out here, but the session was not ended on the server: \(failure.message)")
        }
        do { try forget() } catch {
            let failure = CommandFailure(error)
            throw failure.saying(
                "the session has ended on the server, but could not be forgotten here: \(failure.message)")
        }
        context.confirm("logged out")
        context.noteRemaining(remaining)
        return .success
    }
}

extension Context {
    /// Counts the messages that nobody sends before the next login.
    func noteWaiting(_ account: Account) {
        guard let count = try? outbox(of: account).counts().waiting, count > 0 else { return }
        note(
            .plural(
                count, "\(count) message waits in the outbox for the next login of this account",
                "\(count) messages wait in the outbox for the next login of this account"))
    }

    /// Names the tokens for programs that are still good after the owner ended everything else.
    fileprivate func noteRemaining(_ tokens: [TokenObject]) {
        for token in tokens {
            note(
                "the token \(token.id) '\(token.label ?? "")' (\(token.scope)) stays valid; 'natter token revoke \(token.id)' ends it"
            )
        }
    }
}

/// `whoami`: prints the account, the server and the age of the session.
enum WhoamiCommand {
    static let spec = CommandSpec(
        "whoami", "print your account, server and session", group: NatterProgram.Group.account,
        description: [
            "Print your account, the server and when the session began. With --offline, print what natter remembers."
        ],
        run: run)

    private static let run: CommandBody = inContext { context in
        if context.isOffline {
            let account = try context.offlineAccount()
            guard let name = account.name else {
                throw CommandFailure(
                    .unavailable, code: "offline", "it is not known yet whose token this is; leave out --offline")
            }
            let address = try context.address(of: account)
            if try context.writeJSON(SessionAnswer(name: name, token: nil)) { return .success }
            try print(name: name, address: address, created: nil, context)
            return .success
        }
        let login = try context.login()
        let api = try context.api(of: login)
        let answer = try api.whoami()
        // For commands without the server. Where nothing can be stored, this one still answers.
        if login.account.name == nil { _ = try? context.remember(answer, of: login.token, api) }
        if try context.writeJSON(answer) { return .success }
        try print(name: answer.name, address: api.address, created: Timestamp(rfc3339: answer.created), context)
        return .success
    }

    private static func print(name: String, address: ServerAddress, created: Timestamp?, _ context: Context) throws {
        if context.console.output.isTerminal {
            let line: Phrase =
                created.map { "\(name) at \(address), logged in \(Age.text(of: $0, now: context.now))" }
                ?? "\(name) at \(address)"
            try context.console.output.writeLine(TerminalText.escaped(line.text, .name))
        } else {
            var table = Table([.left, .left, .left])
            table.add([name, address.description, created?.rfc3339 ?? ""])
            try table.write(to: context.console.output)
        }
    }
}

/// `passwd`: changes the password.
enum PasswdCommand {
    static let spec = CommandSpec(
        "passwd", "change the password", group: NatterProgram.Group.account,
        options: [
            .option("password-file", value: "F", "read the old and the new password from the first two lines of F"),
            .flag("password-stdin", "read the old and the new password from two lines of standard input"),
        ],
        description: [
            "Change your password and end all your other sessions and all tokens for programs that may do everything. "
                + "natter asks for the old password once and for the new one twice. Tokens for one conversation stay "
                + "valid, and natter lists them."
        ],
        examples: [
            Example("printf 'old-secret\\nnew-secret\\n' | natter passwd --password-stdin", "use it in a script")
        ],
        run: run)

    private static let run: CommandBody = inContext { context in
        let input = try PasswordInput(context.arguments)
        let api = try context.api(deliveringOutbox: false)
        if input == .terminal, !Terminal.isTerminal(STDIN_FILENO) {
            throw context.arguments.error(
                "no terminal to ask for the passwords; give --password-file F or --password-stdin")
        }
        let given = try input.read([("Old password", nil), ("New password", "Repeat it")])
        let request = PasswordRequest(old: given.first ?? "", new: given.last ?? "")
        let remaining = try api.perform(API.changePassword, body: request).tokens ?? []
        context.confirm("changed the password and ended all other sessions")
        context.noteRemaining(remaining)
        return .success
    }
}
