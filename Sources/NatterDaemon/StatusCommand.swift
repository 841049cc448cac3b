internal import NatterCLI
internal import NatterModel
internal import NatterSystem
internal import NatterWire

extension CommandSpec {
    static let status = CommandSpec(
        "status", "tell how the server and its data are", group: "Administration",
        options: [.flag("json", "print it as one JSON object")],
        description: [
            "Tells whether a server runs on the data directory, since when and where, who is there, how much there is, and "
                + "what takes how much room. Without a server it opens the store and tells what that holds.",
            "The status is 0, with or without a server; 74 where a write has failed, so that the server takes nothing "
                + "more, or the store can't be opened; and 75 where another process has the store and does not answer.",
        ],
        examples: [Example("natterd status --json", "for a monitoring program")],
        run: StatusCommand.run)
}

enum StatusCommand {
    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            guard case .status(let status) = reply else { return }
            if arguments.flag("json") {
                try console.output.append {
                    TerminalText.append(escaping: WireJSON.encode(status) + [0x0A], .json, to: &$0)
                }
            } else {
                try table(status, console).write(to: console.output)
            }
        }
        return try client.perform(.status)
    }

    private static func table(_ status: ServiceStatus, _ console: Console) -> Table {
        var table = Table([.left, .text])
        func add(_ name: Phrase, _ value: Phrase) {
            table.add([console.output.word(name), console.output.word(value)])
        }
        if let server = status.server {
            let age = Timestamp(rfc3339: server.since).map { Age.text(of: $0, now: console.clock.now()) } ?? ""
            add("server", "running, process \(server.pid)")
            add("since", "\(server.since) (\(age))")
            add("address", "\(server.address)")
            add("connections", "\(server.connections), \(server.waiting) requests waiting for news")
        } else {
            add("server", "not running")
        }
        if let failure = status.failure { add("failed", "nothing more is written: \(failure)") }
        add("version", "\(status.version)")
        add("directory", "\(status.directory)")
        add("store", "\(status.store), epoch \(status.epoch), \(status.commits) commits")
        let users = status.users
        add("users", "\(users.all): \(users.online) online, \(users.disabled) disabled")
        add("admins", "\(users.admins)")
        add("sessions", "\(status.sessions)")
        add("conversations", "\(status.conversations)")
        add("messages", "\(status.messages), \(status.unsealedMessages) of them not in a log file yet")
        let bytes = status.bytes
        add("logs", "\(size(bytes.logs))")
        add("database", "\(size(bytes.database)), \(size(UInt64(max(0, bytes.journal)))) of it journal")
        add("search index", "\(size(bytes.search))")
        add("free", "\(size(bytes.free))")
        return table
    }

    /// `512 bytes`, `1.5 MiB`: one digit behind the point, rounded down.
    static func size(_ bytes: UInt64) -> String {
        var tenths = bytes
        var unit = ""
        for next in ["KiB", "MiB", "GiB", "TiB"] {
            let value = unit.isEmpty ? tenths : tenths / 10
            if value < 1_024 { break }
            tenths = unit.isEmpty ? tenths.multipliedReportingOverflow(by: 10).partialValue / 1_024 : tenths / 1_024
            unit = next
        }
        return unit.isEmpty ? "\(bytes) bytes" : "\(tenths / 10).\(tenths % 10) \(unit)"
    }
}
