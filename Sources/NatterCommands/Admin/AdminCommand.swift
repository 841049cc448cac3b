internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `admin`: remote administration.
enum AdminCommand {
    static let spec = CommandSpec(
        "admin", "administer the server remotely", group: NatterProgram.Group.program,
        subcommands: [
            AdminUserCommand.spec, accounts("users"), sessions, stats, invite, erase, retain, AdminLogCommand.spec,
        ],
        description: [
            "Only admins of the server may do this. To make the first one, run 'natterd user promote NAME' on the "
                + "server's machine. The server records what admins do; 'natter admin log --audit' shows it."
        ],
        examples: [
            Example("natter admin users", "see who has an account and who was online last"),
            Example("natter admin user disable mallory", "end mallory's sessions and allow no new ones"),
            Example("natter admin log -f", "follow the server's log"),
        ])

    /// 'admin users', which is 'admin user list', too, as in natterd.
    static func accounts(_ name: String) -> CommandSpec {
        CommandSpec(
            name, "list the accounts",
            description: [
                "Print each account's name, 'admin' or 'user', 'online', 'offline' or 'disabled', the last visit, its "
                    + "address and how many bytes the account's files have, most recent first. With --json: the objects."
            ],
            run: inContext { context in
                let accounts = try context.api().perform(API.accounts).items
                let output = context.console.output
                try context.list(
                    accounts,
                    [
                        Column("NAME") { $0.name }, Column("ROLE") { output.word($0.admin ? "admin" : "user") },
                        Column("STATE") { $0.disabled ? output.word("disabled") : context.presence($0.online) },
                        Column("LAST SEEN") { context.age($0.lastSeen) }, Column("ADDRESS") { $0.address ?? "" },
                        Column("FILE BYTES") { "\($0.fileBytes ?? 0)" },
                    ])
                return .success
            })
    }

    private static let sessions = CommandSpec(
        "sessions", "list all sessions",
        description: [
            "Print each session's number, its user, 'current' for your own, when it was created, when it expires, when "
                + "it was last used, and from which address. With --json: the objects."
        ],
        run: inContext { context in
            let sessions = try context.api().perform(API.allSessions).items
            try context.list(sessions: sessions, withUsers: true)
            return .success
        })

    private static let stats = CommandSpec(
        "stats", "print the server's parameters, counts and sizes",
        description: [
            "Print one name and value per line; of the limits of each account, those that are set. With --json: one object."
        ],
        run: inContext { context in
            let found = try context.api().perform(API.statistics)
            if try context.writeJSON(found) { return .success }
            var table = Table([.left, .right])
            for (name, value) in [
                ("version", found.version), ("registration", found.registration),
                ("certificate-expires", found.certificateExpires),
            ] {
                if let value { table.add([name, value]) }
            }
            for (name, number) in [
                ("accounts", "\(found.accounts)"), ("online", "\(found.online)"), ("sessions", "\(found.sessions)"),
                ("conversations", "\(found.conversations)"), ("messages", "\(found.messages)"),
                ("unsealed-messages", "\(found.unsealedMessages)"), ("journal-bytes", "\(found.journalBytes)"),
                ("files", "\(found.files ?? 0)"), ("file-bytes", "\(found.fileBytes ?? 0)"),
                ("waiting-files", "\(found.waitingFiles ?? 0)"), ("commits", "\(found.commits)"),
                ("runs", "\(found.runs)"), ("connections", "\(found.connections)"),
                ("waiting", "\(found.waiting)"),
            ] {
                table.add([name, number])
            }
            for limit in found.limits ?? [] {
                guard let most = limit.limit else { continue }
                table.add(["max-\(limit.name.replacing("_", with: "-"))", "\(most)"])
            }
            try table.write(to: context.console.output, isWhole: true)
            return .success
        })

    private static let erase = CommandSpec(
        "erase", "remove the texts and senders of messages for good",
        operands: [
            .required("CONV", "'general', a group, '@bob', or '@alice,@bob' for what two users wrote to each other"),
            .required("SEQ", isRepeating: true, "the number of a message, or a range of numbers, as in '17-20'"),
        ],
        description: [
            "Remove text and sender of each message, and of its edits, from the server, and with the next sync from each "
                + "replica. With --json: how many were erased.",
            "One request erases up to 500 messages, and more take several. Messages that are already erased stay as "
                + "they are, so you can repeat the command.",
        ],
        run: inContext { context in
            let name = context.arguments.required("CONV")
            var seqs = try erased(by: context.arguments)[...]
            try Question.confirmErasing(of: name, context.arguments, context.console)
            let api = try context.api()
            var done = EraseAnswer(erased: 0)
            do {
                // From the end, because a message that is not there is above all others. Then nothing is erased.
                while !seqs.isEmpty {
                    let request = EraseRequest(conversation: name, seqs: Array(seqs.suffix(erasedAtOnce)))
                    done.erased += try api.perform(API.erase, body: request).erased
                    seqs = seqs.dropLast(erasedAtOnce)
                }
            } catch {
                if done.erased > 0 { context.note(Question.erased(done.erased, of: name)) }
                throw error
            }
            try context.writeJSON(done)
            context.confirm(Question.erased(done.erased, of: name))
            return .success
        })

    /// Numbers of one request. The largest fit into its body.
    private static let erasedAtOnce = 500
    /// As of `natterd erase`.
    private static let erasureLimit: UInt64 = 1_000_000

    /// The numbers in the operands, in rising order.
    private static func erased(by arguments: Arguments) throws -> [UInt64] {
        var seqs: Set<UInt64> = []
        for range in try arguments.operands("SEQ").map({ try arguments.seqs($0) }) {
            guard range.upperBound - range.lowerBound < erasureLimit else { throw tooMany(arguments) }
            seqs.formUnion(range)
            guard seqs.count <= erasureLimit else { throw tooMany(arguments) }
        }
        return seqs.sorted()
    }

    private static func tooMany(_ arguments: Arguments) -> UsageError {
        arguments.error("at most \(erasureLimit) messages can be erased at once")
    }

    private static let invites = CommandSpec(
        "ls", "list the invitations that can still be used",
        description: [
            "Print the id of each, who made it, when, and until when it is valid; never the code. With --json: the objects."
        ],
        run: inContext { context in
            try context.list(
                try context.api().perform(API.invites).items,
                [
                    Column("ID") { $0.id }, Column("MADE BY") { $0.maker },
                    Column("CREATED") { context.age($0.created) },
                    Column("EXPIRES") { context.localTime($0.expires) },
                ])
            return .success
        })

    private static let revokeInvites = CommandSpec(
        "revoke", aliases: ["rm"], "revoke invitations",
        operands: [.required("ID", isRepeating: true, "its id, as 'natter admin invite ls' shows it")],
        run: inContext { context in
            let api = try context.api()
            for id in context.arguments.operands("ID") {
                do throws(RequestError) {
                    try api.perform(API.revokeInvite, id)
                } catch {
                    guard case .refused(let refusal) = error, refusal.has(.notFound) else { throw error }
                    throw CommandFailure(
                        .notFound, code: refusal.code,
                        "there is no invitation '\(id)'; 'natter admin invite ls' lists them")
                }
                context.confirm("invitation \(id) is revoked")
            }
            return .success
        })

    private static let retain = CommandSpec(
        "retain", "set how long a conversation's messages are kept",
        operands: [
            .required("CONV", "'general', a group, '@bob', or '@alice,@bob' for what two users wrote to each other"),
            .required("TIME", "days, such as '90d', or 'forever'"),
        ],
        description: [
            "Messages that are older go from the server for good, as with 'natterd retain'; never later than the server keeps "
                + "any. With --json: 'conversation', 'retain' and 'first', the lowest number that is kept."
        ],
        run: inContext { context in
            let name = context.arguments.required("CONV")
            let retention = try Question.retention(of: name, context.arguments, context.console)
            let done = try context.api().perform(
                API.retain, body: RetainRequest(conversation: name, retain: retention.description))
            try context.writeJSON(done)
            context.confirm("'\(done.conversation)' keeps messages: \(done.retain)")
            return .success
        })

    private static let invite = CommandSpec(
        "invite", "create an invitation code for one person, list and revoke them",
        options: [
            .option("expires", value: "WHEN", "how long the code is valid (default 7d), or until when")
        ],
        subcommands: [invites, revokeInvites],
        description: [
            "Create a code and print it as the last word of the output. You cannot see it again. It is used up when "
                + "somebody registers with it: 'natter register NAME --invite CODE'. With --json: the code and its "
                + "expiry."
        ],
        run: inContext { context in
            let expires = try TokenCommand.expiry(context)
            let made = try context.api().perform(API.createInvite, body: InviteRequest(expires: expires?.rfc3339))
            context.confirm("the code works once, until \(made.expires)")
            try context.printOnce(
                made, made.invite,
                orSay:
                    "invitation \(made.id ?? "?") was made, but could not be printed; 'natter admin invite revoke' ends it"
            )
            return .success
        })
}
