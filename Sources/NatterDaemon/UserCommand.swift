internal import NatterCommandLine
internal import NatterHTTP
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

extension CommandSpec {
    static let user = CommandSpec(
        "user", "add, list and change accounts", group: "Administration", bare: "list",
        subcommands: UserCommand.all,
        description: [
            "It works with and without a running server, and takes effect at once. A user who is disabled or gets another "
                + "password is logged out everywhere, and requests that wait end, too. Enabling an account brings no "
                + "session back.",
            "A new account is never an admin. Promote one here; after that, admins can use 'natter admin' from anywhere. "
                + "The audit trail records what is done here, as 'operator'.",
        ],
        examples: [
            Example("natterd user list", "see who has an account"),
            Example("natterd user promote alice", "make alice an admin"),
        ])

    static let clients = CommandSpec(
        "clients", "list who visited the server, when and from where", group: "Administration",
        description: [
            "Print login, last visit and last address of each user who ever visited, newest first. A running server "
                + "reports what it knows at this moment; without one, the data is at most a minute older."
        ],
        examples: [Example("natterd clients", "see who was here last")],
        run: UserCommand.clients)
}

/// `user …` and `clients`, with which the operator of the data directory manages accounts.
enum UserCommand {
    private static let name = OperandSpec.required("NAME", "a user")

    static var all: [CommandSpec] {
        [
            CommandSpec(
                AccountAction.add.rawValue, AccountAction.add.summary,
                options: [.flag("admin", "make it an admin of the server")] + PasswordInput.options,
                operands: [.required("NAME", "the new user's name")], run: add),
            CommandSpec("list", "list the accounts", run: list),
            CommandSpec(
                AccountAction.passwd.rawValue, AccountAction.passwd.summary, options: PasswordInput.options,
                operands: [name], description: [AccountAction.passwdEnds], run: passwd),
            change(.disable), change(.enable), change(.promote), change(.demote),
            CommandSpec(
                "erase", "erase an account and all its messages for good",
                operands: [name],
                description: [
                    "Remove sessions, tokens, contacts, memberships and password of the account, and text and sender of each "
                        + "of its messages, as 'natterd erase' does. The name stays taken. Events of groups have the account's "
                        + "number in place of the name, and personal conversations keep their names.",
                    "If it is interrupted, run it again: it finishes what is left.",
                ],
                examples: [Example("natterd user erase alice", "erase all that alice wrote")], run: erase),
        ]
    }

    /// A command that makes one change to one account.
    private static func change(_ action: AccountAction) -> CommandSpec {
        CommandSpec(action.rawValue, action.summary, operands: [name]) { arguments, console in
            try change(action, arguments, console)
        }
    }

    private static func change(
        _ action: AccountAction, password: String? = nil, _ arguments: Arguments, _ console: Console
    ) throws -> ExitCode {
        let name = name(arguments)
        // No account has such a name, and no path either.
        if name.isEmpty || name.contains("/") { throw StoreError.noSuchUser(name) }
        let change = AccountChangeRequest(disabled: action.disables, admin: action.promotes, password: password)
        let path = API.changeAccount.path.replacing("{user}", with: HTTPRequest.encodeSegment(name))
        return try perform(action, API.changeAccount, path, change, arguments, console)
    }

    private static let add: CommandBody = { arguments, console in
        let name = name(arguments)
        // Check the name before the command asks for a password.
        do throws(NameError) { _ = try UserName(name) } catch { throw StoreError.badName(name, error) }
        let isAdmin = arguments.flag("admin")
        let request = AccountRequest(name: name, password: try password(arguments, of: name), admin: isAdmin)
        return try perform(.add, API.addAccount, API.addAccount.path, request, arguments, console)
    }

    /// The result of an account's erasure.
    struct Erasure: Codable, Sendable {
        var name: String
        /// How many messages were erased that were not before.
        var erased: Int
        /// Where a text may still be, and for how long.
        var remains: String?
    }

    private static let erase: CommandBody = { arguments, console in
        let name = name(arguments)
        try Question.confirm("erase '\(name)' and all messages of this user for good?", arguments, console)
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            guard case .userErased(let report) = reply else { return }
            let (count, name) = (report.erased, report.name)
            try console.report(
                report, arguments,
                .plural(
                    UInt64(max(0, count)), "erased '\(name)' and \(count) message",
                    "erased '\(name)' and \(count) messages"))
            console.noteRemains(report.remains, arguments)
        }
        return try client.perform(.eraseUser(name: name))
    }

    private static let passwd: CommandBody = { arguments, console in
        try change(.passwd, password: try password(arguments, of: name(arguments)), arguments, console)
    }

    /// The name in normalization form C.
    private static func name(_ arguments: Arguments) -> String {
        Normalization.formC(arguments.required("NAME"))
    }

    private static func password(_ arguments: Arguments, of name: String) throws -> String {
        try PasswordInput(arguments).read(prompt: "Password of \(name)", again: "Once more")
    }

    private static func perform<Body: Encodable>(
        _ action: AccountAction, _ endpoint: Endpoint<Body, AdminUserObject>, _ path: String, _ body: Body,
        _ arguments: Arguments, _ console: Console
    ) throws -> ExitCode {
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            guard case .user(let user) = reply else { return }
            try console.report(user, arguments, action.done(user.name))
        }
        return try client.perform(
            .request(
                name: "user_\(action.rawValue)", method: endpoint.method.rawValue, target: path,
                body: String(decoding: WireJSON.encode(body), as: UTF8.self)))
    }

    // MARK: Lists

    private static let list: CommandBody = { arguments, console in
        try printAccounts(
            .listUsers, ["NAME", "ROLE", "STATE", "CREATED", "LAST SEEN", "FILE BYTES"], arguments, console
        ) { user in
            [
                user.name, console.output.word(user.admin ? "admin" : "user"),
                console.output.word(user.disabled ? "disabled" : user.online ? "online" : "offline"),
                time(user.created, console), time(user.lastSeen, console), "\(user.fileBytes ?? 0)",
            ]
        }
    }

    fileprivate static let clients: CommandBody = { arguments, console in
        try printAccounts(.listClients, ["LOGIN", "LAST VISIT", "ADDRESS"], arguments, console) { user in
            [user.name, time(user.lastSeen, console), user.address ?? ""]
        }
    }

    /// Prints accounts, either as JSON objects when they arrive, or as a table.
    private static func printAccounts(
        _ operation: Operation, _ header: [Phrase], _ arguments: Arguments, _ console: Console,
        _ cells: @escaping (AdminUserObject) -> [String]
    ) throws -> ExitCode {
        let asJSON = arguments.flag("json")
        var table = Table(header.map { _ in Table.Column.left }, header: console.output.isTerminal ? header : nil)
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            guard case .user(let user) = reply else { return }
            guard asJSON else { return table.add(cells(user)) }
            try console.output.writeJSON(WireJSON.encode(user))
        }
        _ = try client.perform(operation)
        if !asJSON { try table.write(to: console.output, paint: console.paint(arguments)) }
        return .success
    }

    /// The age on a terminal, the time itself in a pipe.
    private static func time(_ text: String?, _ console: Console) -> String {
        guard let text, console.output.isTerminal, let time = Timestamp(rfc3339: text) else { return text ?? "" }
        return Age.text(of: time, now: console.clock.now()).text
    }
}
