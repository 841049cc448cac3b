internal import NatterCommandLine
internal import NatterSystem
internal import NatterHTTP
internal import NatterModel
internal import NatterStore
internal import NatterProtocol

extension CommandSpec {
    static let hook = CommandSpec(
        "hook", "send new messages to a web address", group: "Administration", bare: "ls", subcommands: HookCommand.all,
        description: [
            "A running server posts each new message of a conversation to the address: in order, and at least once. A "
                + "message that is refused is tried again, after growing pauses. After a day the hook is parked.",
            "Each request has a signature, which proves that this server sent it: 'Natter-Signature: sha256=' and the "
                + "HMAC-SHA256 of the body, in hexadecimal digits, with the key that 'hook add' prints.",
        ],
        examples: [
            Example("natterd hook add ops https://example.org/inbox", "post what is new in 'ops'"),
            Example("natterd hook add ops https://ntfy.sh/our-ops --format ntfy", "notify phones by ntfy"),
        ])
}

/// A hook without its key and its log, as `--json` prints it.
struct HookObject: Codable, Sendable {
    var id: String
    var conversation: String
    var url: String
    var format: String
    var events: Bool
    var allowPrivate: Bool
    var seq: UInt64
    var failures: Int
    var parked: String?
    /// Only for a new hook.
    var secret: String?

    enum CodingKeys: String, CodingKey {
        case id, conversation, url, format, events, seq, failures, parked, secret
        case allowPrivate = "allow_private"
    }

    init(_ hook: Hook, in store: Store, secret: String? = nil) {
        (id, conversation, url, format) = (hook.id, hook.name(in: store), hook.url, hook.format.rawValue)
        (events, allowPrivate, seq) = (hook.events, hook.allowPrivate, hook.seq)
        (failures, parked, self.secret) = (hook.failures, hook.parked, secret)
    }
}

enum HookCommand {
    private static let id = OperandSpec.required("ID", "a hook, by its id in 'hook ls'")

    static var all: [CommandSpec] {
        [
            CommandSpec(
                "add", "post each new message to an address, and print the key of the signature",
                options: [
                    .option(
                        "format", oneOf: Hook.Format.allCases.map(\.rawValue),
                        "the message as a JSON object (the default), or its text as ntfy takes it"),
                    .flag("events", "send every kind of message, also edits, deletions, joins and departures"),
                    .flag("allow-private", "allow addresses that only this machine or its network can reach"),
                ],
                operands: [
                    .conversation,
                    .required("URL", "an address that begins with http:// or https://"),
                ], run: add),
            CommandSpec("ls", "list the hooks, with what is wrong", run: list),
            CommandSpec("rm", "remove a hook", operands: [id]) { arguments, console in
                try perform(.removeHook(id: arguments.required("ID")), arguments, console)
            },
            CommandSpec("retry", "try again at once, also if the hook is parked", operands: [id]) {
                arguments, console in try perform(.retryHook(id: arguments.required("ID")), arguments, console)
            },
            CommandSpec("log", "print the last attempts of a hook, oldest first", operands: [id]) {
                arguments, console in try perform(.hookLog(id: arguments.required("ID")), arguments, console)
            },
        ]
    }

    private static let add: CommandBody = { arguments, console in
        let url = arguments.required("URL")
        _ = try HookAddress(url)
        let operation = Operation.addHook(
            conversation: arguments.conversation, url: url,
            format: arguments.value("format").flatMap(Hook.Format.init) ?? .json, events: arguments.flag("events"),
            allowPrivate: arguments.flag("allow-private"))
        return try perform(operation, arguments, console)
    }

    private static let list: CommandBody = { arguments, console in try perform(.listHooks, arguments, console) }

    private static func perform(
        _ operation: Operation, _ arguments: Arguments, _ console: Console
    ) throws -> ExitCode {
        let hasHeader = operation == .listHooks && console.output.isTerminal && !arguments.flag("json")
        var table = Table(
            [.left, .left, .left, .text], header: hasHeader ? ["ID", "CONVERSATION", "URL", "STATE"] : nil)
        func write(_ object: some Encodable, _ line: () throws -> Void) throws {
            if arguments.flag("json") { return try console.output.writeJSON(WireJSON.encode(object)) }
            try line()
        }
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            switch reply {
            case .hook(let hook) where hook.secret != nil:
                do {
                    try write(hook) {
                        var made = Table([.left, .left, .left, .left])
                        made.add(cells(of: hook))
                        try made.write(to: console.output, isWhole: true)
                    }
                    try console.output.flush()
                } catch let error as OutputError {
                    let (id, problem) = (hook.id, error.phrase)
                    throw CommandFailure(
                        .inputOutput, code: "io_error",
                        "hook \(id) was made, but could not be printed; 'natterd hook rm \(id)' removes it: \(problem)")
                }
            case .hook(let hook): try write(hook) { table.add(cells(of: hook)) }
            case .hookAttempt(let attempt):
                let outcome = attempt.error ?? "delivered, \(attempt.status ?? 0)"
                try write(attempt) {
                    let line = "\(attempt.time) \(attempt.seq): \(TerminalText.escaped(outcome, .line))"
                    try console.output.writeLine(line)
                }
            default: break
            }
        }
        let code = Result { try client.perform(operation) }
        try table.write(to: console.output, paint: console.paint(arguments))
        return try code.get()
    }

    private static func cells(of hook: HookObject) -> [String] {
        let failing = hook.failures == 1 ? "failing, 1 attempt" : "failing, \(hook.failures) attempts"
        let state = hook.parked.map { "parked: \($0)" } ?? (hook.failures > 0 ? failing : "ok")
        return [hook.id, hook.conversation, hook.url, hook.secret ?? state]
    }
}

/// The process that has the store open runs these operations.
extension OperationRunner {
    /// - Parameter changed: tells a running server that a hook was added or changed.
    func run(
        hookOperation operation: Operation, _ registry: HookRegistry, _ channel: some OperationChannel,
        changed: () throws -> Void
    ) throws {
        switch operation {
        case .addHook(let name, let url, let format, let events, let allowPrivate):
            let address = try HookAddress(url)
            let host = address.server.host
            // A name can be resolved to other addresses later, so that is checked for each connection.
            guard allowPrivate || PublicAddress.isPublic(host) != false else {
                throw CommandFailure(
                    .invalidData, code: "bad_address",
                    "'\(host)' has no public address; '--allow-private' allows it")
            }
            let target = try store.hookTarget(name)
            let hook = Hook(
                id: Hex.encode(SecureRandom.bytes(4)), conversation: target.name,
                conversationID: target.id.description, url: url,
                secret: Base64URL.encode(SecureRandom.bytes(32)), format: format, events: events,
                allowPrivate: allowPrivate, seq: target.head.rawValue)
            try registry.add(hook)
            // Whoever knows the path of such an address can often post there.
            store.recordAudit(by: actor, "hook_added", "\(target.name) \(address.server)")
            try changed()
            try channel.reply(.hook(HookObject(hook, in: store, secret: hook.secret)))
        case .listHooks:
            for hook in registry.all { try channel.reply(.hook(HookObject(hook, in: store))) }
            if let failure = registry.failures.first { throw failure }
        case .removeHook(let id):
            let hook = try registry.remove(id)
            let what = try hook.map { "\($0.conversation) \(try HookAddress($0.url).server)" }
            store.recordAudit(by: actor, "hook_removed", what ?? id)
            try changed()
        case .retryHook(let id):
            _ = try registry.hook(id)
            let hook = try registry.update(id) { ($0.parked, $0.failingSince, $0.failures) = (nil, nil, 0) }
            try changed()
            if let hook { try channel.reply(.hook(HookObject(hook, in: store))) }
        case .hookLog(let id):
            for attempt in try registry.hook(id).log { try channel.reply(.hookAttempt(attempt)) }
        default: break
        }
    }
}
