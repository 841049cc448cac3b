internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `token create|ls|revoke`: tokens for programs.
enum TokenCommand {
    static let spec = CommandSpec(
        "token", "create and revoke tokens for programs", group: NatterProgram.Group.account, bare: "ls",
        subcommands: [create, list, revoke],
        description: [
            "A token lets a program act in your name without logging in, within its scope, until it expires or you "
                + "revoke it. A send: or read: token outlives your sessions and your password; one with the scope all "
                + "ends when you change your password or run 'natter logout --all'. Put it into a file that only the "
                + "program can read, and pass that with --token-file, or pass the token itself in NATTER_TOKEN."
        ],
        examples: [
            Example(
                "(umask 077; natter token create --scope send:ops > backup.token)",
                "create a token for a program that reports to 'ops'"),
            Example("natter send --token-file backup.token -c ops 'The backup is done'", "use the token in a program"),
        ])

    private static let create = CommandSpec(
        "create", "create a token",
        options: [
            .option(
                "label", value: "L", "what it is for, so that you recognize it",
                long: "It has 1 to 200 bytes; the default is 'unnamed'."),
            .option(
                "scope", value: "SCOPE", "what it may do: send:CONV, read:CONV or all (the default)",
                long:
                    "Separate several by commas, as in 'send:ops,read:ops'. A read: token has a replica of its own. Whatever its scope, a token can show its owner and revoke "
                    + "itself, with natter-whoami(1) and natter-logout(1)."),
            .option("expires", value: "WHEN", "how long it is valid, such as 90d, or until when (default: forever)"),
        ],
        description: [
            "Create a token and print it as the last word of the output. You cannot see it again. With --json: the "
                + "token's object.",
            "send:CONV can only send to that conversation, read:CONV can only read it, all can do everything that you "
                + "can. Renaming the conversation does not matter.",
        ],
        run: inContext(create))

    private static let list = CommandSpec(
        "ls", "list the tokens",
        options: [.flag("sessions", "list sessions, which logins create, instead of tokens")],
        description: [
            "Print each token's number, label and scope, when it was created, when it expires, when it was last used, "
                + "and from which address; never the token itself. With --json: the objects.",
            "With --sessions: the number of each session, 'current' for your own, and the same times.",
        ],
        run: inContext(list))

    private static let revoke = CommandSpec(
        "revoke", aliases: ["rm"], "revoke tokens",
        options: [.flag("session", "end the sessions with these numbers instead of tokens")],
        operands: [.required("ID", isRepeating: true, "its number, as 'natter token ls' shows it")],
        description: ["Revoke tokens. They stop working at once."],
        run: inContext(revoke))

    private static func create(_ context: Context) throws -> ExitCode {
        let arguments = context.arguments
        let scope = arguments.value("scope") ?? "all"
        let isScope = scope.split(separator: ",", omittingEmptySubsequences: false).allSatisfy { part in
            ["send:", "read:"].contains { part.hasPrefix($0) && part.utf8.count > $0.utf8.count }
        }
        guard isScope || scope == "all" else {
            throw arguments.error(
                "--scope takes all, or send:CONV and read:CONV, separated by commas, not '\(scope)'")
        }
        let expires = try expiry(context)
        let request = TokenRequest(
            label: arguments.value("label") ?? "unnamed", scope: scope, expires: expires?.rfc3339)
        let api = try context.api()
        let made = try api.perform(API.createToken, body: request)
        guard let token = made.token else { throw api.foreign("its answer has no token") }
        context.confirm("token \(made.id) is valid for '\(made.scope)'; you cannot see it again")
        if scope == "all", !arguments.has("scope"), !context.wantsJSON {
            context.note("the token can do everything that you can; limit it with --scope")
        }
        try context.printOnce(
            made, token,
            orSay: "token \(made.id) was made, but could not be printed; 'natter token revoke \(made.id)' ends it")
        return .success
    }

    /// A duration from now, or a moment in the future.
    static func expiry(_ context: Context) throws -> Timestamp? {
        guard let text = context.arguments.value("expires") else { return nil }
        let now = context.now
        guard let time = TimeExpression.parse(text, now: now, isAhead: true), time >= now,
            Timestamp.range.contains(time)
        else {
            throw context.arguments.error(
                "--expires takes a length of time such as 90d, or a moment to come such as 2027-01-31, not '\(text)'")
        }
        return time
    }

    private static func list(_ context: Context) throws -> ExitCode {
        let api = try context.api()
        if context.arguments.flag("sessions") {
            try context.list(sessions: api.perform(API.sessions).items)
        } else {
            try context.list(tokens: api.perform(API.tokens).items)
        }
        return .success
    }

    private static func revoke(_ context: Context) throws -> ExitCode {
        let isSession = context.arguments.flag("session")
        let api = try context.api()
        for (index, id) in context.arguments.operands("ID").enumerated() {
            do throws(RequestError) {
                try api.perform(isSession ? API.endSession : API.revokeToken, id)
            } catch {
                var failure = CommandFailure(error)
                if case .refused(let refusal) = error, refusal.has(.notFound) {
                    failure = CommandFailure(
                        .notFound, code: refusal.code,
                        isSession
                            ? "you have no session '\(id)'; 'natter token ls --sessions' lists them"
                            : "you have no token '\(id)'; 'natter token ls' lists them")
                }
                guard index > 0 else { throw failure }
                throw failure.saying("\(failure.message); those before '\(id)' have ended")
            }
            context.confirm(isSession ? "session \(id) has ended" : "token \(id) is revoked")
        }
        return .success
    }
}

extension Context {
    /// Prints the tokens of programs, with their labels and scopes.
    func list(tokens: [TokenObject]) throws {
        // Blanks separate the columns in a pipe, and a label may contain blanks.
        let isTerminal = console.output.isTerminal
        func word(_ label: String) -> String { isTerminal ? label : String(label.map { $0.isWhitespace ? "_" : $0 }) }
        let columns: [Column<TokenObject>] = [
            Column("ID", .right) { $0.id }, Column("LABEL") { word($0.label ?? "") }, Column("SCOPE") { $0.scope },
        ]
        try list(tokens, columns + tokenTimes)
    }

    /// Prints sessions. They have no label and no scope, but one may be the current session.
    func list(sessions: [TokenObject], withUsers: Bool = false) throws {
        var columns: [Column<TokenObject>] = [Column("ID", .right) { $0.id }]
        if withUsers { columns.append(Column("USER") { $0.user ?? "" }) }
        columns.append(Column("STATE") { $0.current == true ? console.output.word("current") : "" })
        columns += tokenTimes + [Column("HOST") { $0.host ?? "" }, Column("PROGRAM") { $0.program ?? "" }]
        try list(sessions, columns)
    }

    private var tokenTimes: [Column<TokenObject>] {
        [
            Column("CREATED") { age($0.created) }, Column("EXPIRES") { localTime($0.expires) },
            Column("LAST USED") { age($0.lastUsed) }, Column("ADDRESS") { $0.address ?? "" },
        ]
    }
}
