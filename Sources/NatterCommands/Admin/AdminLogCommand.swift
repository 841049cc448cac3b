internal import Glibc
internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterWire

/// `admin log [-f]`: what the server does.
enum AdminLogCommand {
    static let spec = CommandSpec(
        "log", "print the service's log, or what admins did",
        options: [
            .flag("f", "go on with what happens, until interrupted"),
            .option("n", value: "N", "the N newest events, 1 to 1000; 100 unless given"),
            .option("level", oneOf: ["debug", "info", "warning", "error"], "no events below this level"),
            .flag("audit", "what admins did, in place of the service's events"),
        ],
        description: [
            "Prints the newest events of the service, oldest first: who came and went, each request with who, what, how long "
                + "and how many bytes, messages accepted and sent by conversation and number, and errors; never a password, a "
                + "token or a text. The server keeps some thousand of them, until it ends. With --json: the objects.",
            "With --audit, what admins did, which is kept for good: the time, who, what, and to whom.",
        ],
        run: { arguments, console in
            let context = Context(arguments, console)
            let limit = Int(try arguments.integer("n", in: 1...Int64(Limits.pageLimit)) ?? Int64(Limits.defaultPage))
            if arguments.flag("audit") {
                if arguments.flag("f") { throw arguments.error("-f and --audit do not go together") }
                try audit(context, limit: limit)
                return .success
            }
            try Run(context: context, level: arguments.value("level")).run(limit: limit)
            return .success
        })

    private static func audit(_ context: Context, limit: Int) throws {
        let entries = try context.api().audit(limit: limit).reversed()
        let output = context.console.output
        for entry in entries {
            if context.wantsJSON {
                try output.writeJSON(WireJSON.encode(entry))
            } else {
                try output.writeLine(
                    TerminalText.escaped("\(entry.time) \(entry.actor) \(entry.action) \(entry.subject)", .name))
            }
        }
    }

    private struct Run {
        private static let waitSeconds = 25
        private static let shortestPauseMilliseconds = 250
        private static let longestPauseMilliseconds = 30_000

        let context: Context
        let level: String?

        func run(limit: Int) throws {
            let api = try context.api()
            let first = try api.serviceLog(after: nil, limit: limit, level: level)
            try write(first)
            guard context.arguments.flag("f") else { return }
            var last = first.last?.number ?? 0
            var pause = Run.shortestPauseMilliseconds
            var isLost = false
            while true {
                do {
                    let entries = try api.serviceLog(
                        after: last, limit: Limits.pageLimit, level: level, waitSeconds: Run.waitSeconds)
                    (pause, isLost) = (Run.shortestPauseMilliseconds, false)
                    try write(entries)
                    last = entries.last?.number ?? last
                } catch  where Mirror.isTransient(error) {
                    if !isLost { context.note("\(Mirror.reason(of: error)); trying again until it works") }
                    isLost = true
                    usleep(UInt32(Int.random(in: pause / 2...pause)) * 1_000)
                    pause = min(pause * 2, Run.longestPauseMilliseconds)
                }
                if isOutputClosed { throw OutputError.closedPipe }
            }
        }

        private func write(_ entries: [LogObject]) throws {
            let output = context.console.output
            for entry in entries {
                if context.wantsJSON {
                    try output.writeJSON(WireJSON.encode(entry))
                } else {
                    try output.write(
                        ServiceLine.bytes(entry.time, entry.level, entry.event, AdminLogCommand.ordered(entry.fields)))
                }
            }
            try output.flush()
        }

        private var isOutputClosed: Bool {
            var request = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
            return poll(&request, 1, 0) == 1 && request.revents & Int16(POLLERR) != 0
        }
    }

    /// Who and what before how, as the server's own log has it; JSON keeps no order.
    private static func ordered(_ fields: [String: String]) -> [(key: String, value: String)] {
        let first = ["admin", "user", "method", "target", "status", "accepted", "sent"]
        func place(_ key: String) -> Int { first.firstIndex(of: key) ?? first.count }
        return fields.sorted { (place($0.key), $0.key) < (place($1.key), $1.key) }.map { ($0.key, $0.value) }
    }
}
