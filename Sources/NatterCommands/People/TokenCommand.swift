internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterWire

/// `token create|ls|revoke`: tokens for programs.
enum TokenCommand {
    static let spec = CommandSpec(
        "token", "make tokens for programs, and take them back", group: NatterProgram.Group.account,
        subcommands: [create, list, revoke],
        description: [
            "A token lets a program act in your name without a login, as far as its scope goes, until it expires or you "
                + "revoke it. It goes on when you log out or change your password. Put it into a file that only the program "
                + "can read, and use it with --token-file."
        ],
        examples: [
            Example(
                "(umask 077; natter token create --scope send:ops > backup.token)",
                "for a program that reports to 'ops'"),
            Example("natter send --token-file backup.token -c ops 'The backup is done'", "what the program does"),
        ])

    private static let create = CommandSpec(
        "create", "make a token",
        options: [
            .option("label", value: "L", "what it is for, to tell it from others"),
            .option("scope", value: "SCOPE", "what it is good for: send:CONV, read:CONV, or all as by default"),
            .option("expires", value: "WHEN", "how long it is good, such as 90d, or until when; for ever unless given"),
        ],
        description: [
            "Makes a token and prints it; it is the last word of the output, and nobody can see it again. With --json: the "
                + "token's object.",
            "send:CONV can send to that conversation and do nothing else, read:CONV can read it and do nothing else, all can "
                + "do what you can. The conversation stays the same when it is renamed.",
        ],
        run: { arguments, console in try create(Context(arguments, console)) })

    private static let list = CommandSpec(
        "ls", "list the tokens",
        options: [.flag("sessions", "list the sessions, which logins have begun, in their place")],
        description: [
            "Prints each token's number, label and scope, when it was made, until when it is good, when it was last used, and "
                + "from which address; never the token itself. With --json: the objects.",
            "With --sessions: the number of each session, 'current' for the one that asks, and the same times.",
        ],
        run: { arguments, console in try list(Context(arguments, console)) })

    private static let revoke = CommandSpec(
        "revoke", "take tokens back",
        options: [.flag("session", "end sessions of these numbers, in place of tokens")],
        operands: [.required("ID", isRepeating: true, "its number, as 'natter token ls' shows it")],
        description: ["Takes tokens back: from this moment on they are good for nothing."],
        run: { arguments, console in try revoke(Context(arguments, console)) })

    private static func create(_ context: Context) throws -> ExitCode {
        let arguments = context.arguments
        let scope = arguments.value("scope") ?? "all"
        let isScope = ["send:", "read:"].contains { scope.hasPrefix($0) && scope.utf8.count > $0.utf8.count }
        guard isScope || scope == "all" else {
            throw arguments.error("--scope takes send:CONV, read:CONV or all, not '\(scope)'")
        }
        let expires = try expiry(context)
        let request = TokenRequest(
            label: arguments.value("label") ?? "unnamed", scope: scope, expires: expires?.rfc3339)
        let made = try context.api().createToken(request)
        if context.wantsJSON {
            try context.console.output.writeJSON(WireJSON.encode(made))
            return .success
        }
        context.confirm("token \(made.id) is good for '\(made.scope)'; nobody can see it again")
        if scope == "all", !arguments.has("scope") {
            context.note("the token can do all that you can; --scope narrows it")
        }
        try context.console.output.writeLine(TerminalText.escaped(made.token ?? ""))
        return .success
    }

    /// A length of time from now on, or a moment that is still to come.
    static func expiry(_ context: Context, option: String = "expires") throws -> Timestamp? {
        guard let text = context.arguments.value(option) else { return nil }
        let now = context.now
        let time =
            TimeSpan.parse(text).map { now.advanced(milliseconds: $0) } ?? TimeExpression.parse(text, now: now)
        guard let time, time >= now, Timestamp.range.contains(time) else {
            throw context.arguments.error(
                "--\(option) takes a length of time such as 90d, or a moment to come such as 2027-01-31, not '\(text)'")
        }
        return time
    }

    private static func list(_ context: Context) throws -> ExitCode {
        let isSessions = context.arguments.flag("sessions")
        let tokens = try context.api().tokens(sessions: isSessions)
        try TokenTable(context, .init(hasLabels: !isSessions, hasUsers: false)).write(tokens)
        return .success
    }

    private static func revoke(_ context: Context) throws -> ExitCode {
        let isSession = context.arguments.flag("session")
        let api = try context.api()
        for id in context.arguments.operands("ID") {
            do throws(APIError) {
                try api.revokeToken(id, session: isSession)
            } catch {
                guard case .refused(let refusal) = error, refusal.code == ErrorCode.notFound.rawValue else {
                    throw error
                }
                throw CommandFailure(
                    .notFound, code: refusal.code,
                    isSession
                        ? "you have no session '\(id)'; 'natter token ls --sessions' lists them"
                        : "you have no token '\(id)'; 'natter token ls' lists them")
            }
            context.confirm(isSession ? "session \(id) has ended" : "token \(id) is revoked")
        }
        return .success
    }
}
