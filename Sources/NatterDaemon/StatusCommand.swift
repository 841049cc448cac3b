internal import NatterCommandLine
internal import NatterModel
internal import NatterSystem
internal import NatterProtocol

extension CommandSpec {
    static let status = CommandSpec(
        "status", "show the state of the server and its data", group: "Administration",
        description: [
            "Show whether a server runs on the data directory, since when and where, its users, how much it stores, and "
                + "how much space that takes. Without a server it opens the store to find out.",
            "The status is 0, with or without a server. It is 74 if a write has failed, so that the server accepts "
                + "nothing more, or if the store can't be opened; and 75 if another process uses the store and does not "
                + "answer.",
        ],
        examples: [Example("natterd status --json", "for a monitoring program")],
        run: StatusCommand.run)
}

enum StatusCommand {
    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            guard case .status(let status) = reply else { return }
            if arguments.flag("json") {
                try console.output.writeJSON(WireJSON.encode(status))
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
            if let retain = server.retain { add("keeps messages", "\(retain)") }
            let waiting = server.waiting
            let requests = Phrase.plural(
                waiting, "\(waiting) request waiting for news", "\(waiting) requests waiting for news")
            add("connections", "\(server.connections), \(requests)")
            add("registration", "\(server.registration)")
            if let expires = server.certificateExpires { add("certificate", "until \(expires)") }
        } else {
            add("server", "not running")
        }
        if let failure = status.failure { add("failed", "nothing more is written: \(failure)") }
        // The first of them is the failure.
        for problem in (status.problems ?? []).dropFirst(status.failure == nil ? 0 : 1) {
            add("problem", problem.phrase.phrase)
        }
        add("version", "\(status.version)")
        add("directory", "\(status.directory)")
        let commits = Phrase.plural(status.commits, "\(status.commits) commit", "\(status.commits) commits")
        add("store", "\(status.store), epoch \(status.epoch), \(commits)")
        for node in status.nodes ?? [] {
            let place: Phrase =
                node.behind == 0
                ? "has read everything"
                : .plural(node.behind, "\(node.behind) commit behind", "\(node.behind) commits behind")
            add("node", node.this ? "\(node.name), this one" : "\(node.name), seen \(node.seen), \(place)")
        }
        let users = status.users
        for limit in status.server?.limits ?? [] where limit.limit != nil || limit.refused > 0 {
            let refused = limit.refused
            let value: Phrase = limit.limit.map { "\($0), \(refused) refused" } ?? "unlimited, \(refused) refused"
            switch limit.name {
            case "tokens": add("most tokens", value)
            case "sessions": add("most sessions", limit.limit.map { "\($0), \(refused) ended" } ?? value)
            case "groups": add("most groups", value)
            case "groups_by_others": add("most groups by others", value)
            case "groups_by_one": add("most groups by one", value)
            case "members_per_day": add("members a day", value)
            case "messages_per_minute": add("messages a minute", value)
            case "bytes_per_day": add("bytes a day", value)
            case "requests_per_second": add("requests a second", value)
            default: break
            }
        }
        add("users", "\(users.all): \(users.online) online, \(users.disabled) disabled")
        add("admins", "\(users.admins)")
        add("sessions", "\(status.sessions)")
        add("conversations", "\(status.conversations)")
        add("messages", "\(status.messages), \(status.unsealedMessages) of them not in a log file yet")
        if let files = status.files, files.count > 0 {
            add("files", "\(files.count), \(size(files.bytes)); \(files.waiting) of them in no message yet")
        }
        let bytes = status.bytes
        add("logs", "\(size(bytes.logs))")
        add("database", "\(size(bytes.database)), \(size(UInt64(max(0, bytes.journal)))) of it journal")
        add("search index", "\(size(bytes.search))")
        add("free", "\(size(bytes.free))")
        return table
    }

    /// The size as `512 bytes` or `1.5 MiB`, with one decimal digit, rounded down.
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
