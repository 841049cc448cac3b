internal import NatterCLI
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem

extension CommandSpec {
    static let serve = CommandSpec(
        "serve", "keep conversations and serve them over HTTP", group: "Service",
        options: [
            .option(
                "listen", value: "ADDR:PORT", "where to listen, 127.0.0.1:7117 by default; port 0 takes a free one"),
            .option(
                "registration", oneOf: ChatServer.Registration.allCases.map(\.rawValue),
                "who may make an account, open by default; with invite, whoever has a code of an admin's"),
            .option(
                "behind-proxy", value: "ADDR[,ADDR]",
                "believe the X-Forwarded-For of these proxies, which speak TLS to the network"),
            .flag("no-web", "no page for browsers at /"),
            .option("id-retention", value: "DAYS", "days that the ids of messages are remembered, 30 by default"),
            .option("log-level", oneOf: Event.Level.allCases.map(\.name), "what to log, info by default"),
            .option("log-format", oneOf: EventLog.Format.allCases.map(\.rawValue), "how to log, text by default"),
        ],
        description: [
            "Prints 'natterd: listening on http://127.0.0.1:7117' when it is ready, and logs to standard error, a line "
                + "an event. SIGTERM and SIGINT let it finish what is in flight; SIGHUP has it read DIR/natterd.conf "
                + "again, where the same options may stand, such as 'log-level = debug'.",
            "An address that is not of this machine alone is refused without --behind-proxy: passwords would cross the "
                + "network unencrypted.",
        ],
        examples: [
            Example("natterd serve", "serve this machine"),
            Example("natterd serve --listen 127.0.0.1:0 --data /srv/chat", "on a free port, from a directory"),
            Example("natterd serve --behind-proxy 127.0.0.1 --registration invite", "behind a proxy of this machine"),
        ],
        run: ServeCommand.run)
}

enum ServeCommand {
    /// How often what is known of visits is written down.
    private static let presenceMilliseconds: Int64 = 60_000

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        var signals = ServiceSignals()
        let directory = try DataDirectory.path(arguments, console)
        let settings = try ServeSettings(arguments, directory: directory)
        let log = EventLog(console.errors, settings: settings.log, clock: console.clock)
        let store = try open(directory, settings, log, console)
        // Also where the server can't start: what was opened is closed in order.
        defer { store.close() }
        let server = try makeServer(store, directory, settings, log)
        let address = settings.listen.with(port: server.port)
        let operators = try OperatorService(directory, store, server, at: "http://\(address)", clock: console.clock) {
            log.write($0)
        }
        defer { operators.stop() }
        try console.output.writeLine("natterd: listening on http://\(address)")
        try console.output.flush()
        log.write(Event(.info, "listening", [("address", "\(address)"), ("data", directory)]))

        let isOver = Monitor(false)
        let serving = try SystemThread(name: "natter-http") {
            server.run()
            isOver.signal { $0 = true }
            ServiceSignals.wake()
        }
        wait(&signals, store, isOver: { isOver.withLock { $0 } }) {
            reload(arguments, directory, startedWith: settings, server, log)
        }
        log.write(Event(.info, "stopping"))
        server.stop()
        serving.join()
        let isFailed = store.isFailed
        log.write(Event(.info, "stopped"))
        return isFailed ? .inputOutput : .success
    }

    private static func open(
        _ directory: String, _ settings: ServeSettings, _ log: EventLog, _ console: Console
    ) throws -> Store {
        var options = Store.Options()
        options.idRetentionDays = settings.retentionDays
        options.keepsSearchIndex = true
        options.report = { line in log.write(Event(.warning, "store", [("message", line.english)])) }
        options.failed = { reason in
            log.write(Event(.error, "write_failed", [("reason", reason)]))
            ServiceSignals.wake()
        }
        return try OperatorClient.waitingForOthers(directory) {
            try Store.open(directory, clock: console.clock, options: options)
        }
    }

    private static func makeServer(
        _ store: Store, _ directory: String, _ settings: ServeSettings, _ log: EventLog
    ) throws -> ChatServer {
        var options = ChatServer.Options()
        // Texts stay where all others are, and nobody else can look.
        options.spoolDirectory = directory
        options.registration = settings.registration
        options.proxies = settings.proxies
        options.servesPage = settings.servesPage
        return try ChatServer(
            store: store, address: settings.listen.host, port: settings.listen.port, options: options,
            events: { log.write($0) })
    }

    /// Returns once the service is to end.
    private static func wait(
        _ signals: inout ServiceSignals, _ store: Store, isOver: () -> Bool, reload: () -> Void
    ) {
        var nextSave = MonotonicClock.now() + presenceMilliseconds
        while !store.isFailed, !isOver() {
            switch signals.next(timeoutMilliseconds: max(0, nextSave - MonotonicClock.now())) {
            case .stop: return
            case .reload: reload()
            case .wake: continue
            case nil:
                store.savePresence()
                nextSave = MonotonicClock.now() + presenceMilliseconds
            }
        }
    }

    /// A file with an error in it changes nothing.
    private static func reload(
        _ arguments: Arguments, _ directory: String, startedWith old: ServeSettings, _ server: ChatServer,
        _ log: EventLog
    ) {
        do {
            let settings = try ServeSettings(arguments, directory: directory)
            log.use(settings.log)
            server.use(settings.registration)
            log.write(Event(.info, "reloaded", [("registration", settings.registration.rawValue)]))
            let fixed = settings.namesOfFixed(differingFrom: old)
            if !fixed.isEmpty {
                log.write(Event(.warning, "restart_needed", [("options", fixed.joined(separator: ","))]))
            }
        } catch {
            log.write(Event(.error, "not_reloaded", [("reason", "\(error)")]))
        }
    }
}
