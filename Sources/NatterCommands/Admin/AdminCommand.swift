internal import NatterCLI
internal import NatterClient
internal import NatterHTTP
internal import NatterModel
internal import NatterWire

/// `admin`: what an admin of the server can do from afar.
enum AdminCommand {
    static let spec = CommandSpec(
        "admin", "administer the server from afar", group: NatterProgram.Group.program,
        subcommands: [AdminUserCommand.spec, users, sessions, stats, invite, AdminLogCommand.spec],
        description: [
            "Only an admin of the server may do this; 'natterd user promote NAME', where the server's data lies, makes one. "
                + "What admins do is kept, and 'natter admin log --audit' shows it."
        ],
        examples: [
            Example("natter admin users", "who has an account, and who was here last"),
            Example("natter admin user disable mallory", "end mallory's sessions, and let none begin"),
            Example("natter admin log -f", "what happens, as it happens"),
        ])

    private static let users = CommandSpec(
        "users", "list the accounts",
        description: [
            "Prints each account's name, 'admin' or 'user', 'online', 'offline' or 'disabled', the last visit and the address "
                + "that it came from; the one seen last first. With --json: the objects."
        ],
        run: { arguments, console in
            let context = Context(arguments, console)
            let accounts = try context.api().accounts()
            if context.wantsJSON {
                for account in accounts { try console.output.writeJSON(WireJSON.encode(account)) }
                return .success
            }
            let isTerminal = console.output.isTerminal
            var table = Table(
                [.left, .left, .left, .left, .left],
                header: isTerminal ? ["NAME", "ROLE", "STATE", "LAST SEEN", "ADDRESS"] : nil)
            for account in accounts {
                let seen = account.lastSeen ?? ""
                let time = isTerminal ? Timestamp(rfc3339: seen) : nil
                table.add([
                    account.name, console.output.word(account.admin ? "admin" : "user"),
                    console.output.word(account.disabled ? "disabled" : account.online ? "online" : "offline"),
                    time.map { Age.text(of: $0, now: context.now).text } ?? seen, account.address ?? "",
                ])
            }
            try table.write(to: console.output, paint: context.paint)
            return .success
        })

    private static let sessions = CommandSpec(
        "sessions", "list everybody's sessions",
        description: [
            "Prints each session's number, whose it is, 'current' for the one that asks, when it was begun, until when it is "
                + "good, when it was last used, and from which address. With --json: the objects."
        ],
        run: { arguments, console in
            let context = Context(arguments, console)
            let sessions = try context.api().allSessions()
            try TokenTable(context, .init(hasLabels: false, hasUsers: true)).write(sessions)
            return .success
        })

    private static let stats = CommandSpec(
        "stats", "print counts and sizes of the server",
        description: ["Prints a name and a number a line. With --json: one object."],
        run: { arguments, console in
            let context = Context(arguments, console)
            let found = try context.api().statistics()
            if context.wantsJSON {
                try console.output.writeJSON(WireJSON.encode(found))
                return .success
            }
            var table = Table([.left, .right])
            for (name, number) in [
                ("accounts", "\(found.accounts)"), ("online", "\(found.online)"), ("sessions", "\(found.sessions)"),
                ("conversations", "\(found.conversations)"), ("messages", "\(found.messages)"),
                ("unsealed-messages", "\(found.unsealedMessages)"), ("journal-bytes", "\(found.journalBytes)"),
                ("commits", "\(found.commits)"), ("runs", "\(found.runs)"), ("connections", "\(found.connections)"),
                ("waiting", "\(found.waiting)"),
            ] {
                table.add([name, number])
            }
            try table.write(to: console.output)
            return .success
        })

    private static let invite = CommandSpec(
        "invite", "make a code with which one person can register",
        options: [.option("expires", value: "WHEN", "how long it is good, 7d unless given, or until when")],
        description: [
            "Makes a code and prints it; it is the last word of the output, nobody can see it again, and it is used up by the "
                + "first who registers with it: 'natter register NAME --invite CODE'. With --json: the code and its end."
        ],
        run: { arguments, console in
            let context = Context(arguments, console)
            let expires = try TokenCommand.expiry(context)
            let made = try context.api().createInvite(expires: expires?.rfc3339)
            if context.wantsJSON {
                try console.output.writeJSON(WireJSON.encode(made))
                return .success
            }
            context.confirm("whoever has this code can register once, until \(made.expires)")
            try console.output.writeLine(TerminalText.escaped(made.invite))
            return .success
        })
}
