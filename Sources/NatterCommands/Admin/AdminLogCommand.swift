internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `admin log [-f]`: prints the server's log.
enum AdminLogCommand {
    static let spec = CommandSpec(
        "log", "print the server's log, or what admins did",
        options: [
            .flag("f", "keep printing new events until interrupted"),
            .option("n", value: "N", "print the N newest events, 1 to 1000 (default 100)"),
            .option("level", oneOf: ["debug", "info", "warning", "error"], "leave out events below this level"),
            .flag("audit", "print what admins did instead of the server's events"),
        ],
        description: [
            "Print the newest events of the server, oldest first: starts, sessions, what admins did, and errors. If the "
                + "server runs with '--log-level debug', also connections, each request with its user, duration and "
                + "size, and messages accepted and sent by conversation and number. The log never has a password, a "
                + "token or a text. The server keeps a few thousand events until it stops. With --json: the objects.",
            "With --audit, print what admins did: the time, the admin, the action and its target. The server keeps "
                + "this forever.",
        ],
        run: inContext { context in
            let arguments = context.arguments
            let limit = Int(try arguments.integer("n", in: 1...Int64(Limits.pageLimit)) ?? Int64(Limits.defaultPage))
            if arguments.flag("audit") {
                if arguments.flag("f") { throw arguments.error("-f and --audit cannot be combined") }
                try audit(context, limit: limit)
                return .success
            }
            try Run(context: context, level: arguments.value("level")).run(limit: limit)
            return .success
        })

    private static func audit(_ context: Context, limit: Int) throws {
        let entries = try context.api().lines(of: API.audit, query: [("limit", "\(limit)")]).reversed()
        for entry in entries {
            if try context.writeJSON(entry) { continue }
            try context.console.output.writeLine(
                TerminalText.escaped(
                    "\(entry.time) \(entry.actor) \(entry.action) \(entry.subject.isEmpty ? "-" : entry.subject)", .name
                ))
        }
    }

    private struct Run {
        let context: Context
        let level: String?

        func run(limit: Int) throws {
            let api = try context.api()
            let first = try api.serviceLog(after: nil, limit: limit, level: level)
            try write(first)
            guard context.arguments.flag("f") else { return }
            var last = first.last?.number ?? 0
            let reader = try ReaderWatch(context.console.output)
            var retries = Retries()
            while true {
                do {
                    let entries = try reader.whileWaiting {
                        try api.serviceLog(
                            after: last, limit: Limits.pageLimit, level: level, waitSeconds: ReplicaFollower.waitSeconds
                        )
                    }
                    retries = Retries()
                    try write(entries)
                    last = entries.last?.number ?? last
                } catch  where SyncedReplica.isTransient(error, hasSpoken: true) {
                    let pause = retries.pause(after: error, context)
                    reader.whileWaiting { Backoff.sleep(milliseconds: pause) }
                }
            }
        }

        private func write(_ entries: [LogObject]) throws {
            let output = context.console.output
            for entry in entries {
                if try context.writeJSON(entry) { continue }
                try output.write(
                    ServiceLine.bytes(entry.time, entry.level, entry.event, AdminLogCommand.ordered(entry.fields)))
            }
            try output.flush()
        }
    }

    /// Sorts the fields as in the server's own log, because JSON keeps no order.
    private static func ordered(_ fields: [String: String]) -> [(key: String, value: String)] {
        let first = ["admin", "user", "method", "target", "status", "accepted", "sent"]
        func place(_ key: String) -> Int { first.firstIndex(of: key) ?? first.count }
        return fields.sorted { (place($0.key), $0.key) < (place($1.key), $1.key) }.map { ($0.key, $0.value) }
    }
}
