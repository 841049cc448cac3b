internal import NatterCLI
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem
internal import NatterTLS

extension CommandSpec {
    static let serve = CommandSpec(
        "serve", "keep conversations and serve them over HTTP", group: "Service",
        options: [
            .option(
                "listen", value: "ADDR:PORT", "where to listen, 127.0.0.1:7117 by default; port 0 takes a free one"),
            .option(
                "registration", oneOf: ChatServer.Registration.allCases.map(\.rawValue),
                "who may create an account, open by default; 'invite' needs a code from an admin"),
            .option(
                "tls-cert", value: "F", "serve TLS with this certificate and its chain, as PEM"),
            .option("tls-key", value: "F", "the certificate's private key as PEM; only its owner may read it"),
            .option(
                "behind-proxy", value: "ADDR[,ADDR]",
                "trust X-Forwarded-For from these proxies, which serve TLS to the network"),
            .flag("no-web", "no page for browsers at /"),
            .option("id-retention", value: "DAYS", "how many days message ids are remembered, 30 by default"),
            .option("log-level", oneOf: Event.Level.allCases.map(\.name), "what to log, info by default"),
            .option("log-format", oneOf: EventLog.Format.allCases.map(\.rawValue), "how to log, text by default"),
        ],
        description: [
            "Prints 'natterd: listening on http://127.0.0.1:7117' when it is ready, and logs to standard error, one line "
                + "per event. On SIGTERM or SIGINT it finishes requests in flight and ends. On SIGHUP it reads "
                + "DIR/natterd.conf again, which may set the same options, such as 'log-level = debug'.",
            "An address that other machines can reach needs a certificate or --behind-proxy. Otherwise passwords would "
                + "cross the network unencrypted.",
        ],
        examples: [
            Example("natterd serve", "serve this machine"),
            Example("natterd serve --listen 127.0.0.1:0 --data /srv/chat", "on a free port, from a directory"),
            Example("natterd serve --behind-proxy 127.0.0.1 --registration invite", "behind a proxy of this machine"),
        ],
        run: ServeCommand.run)
}

enum ServeCommand {
    /// How often the last visits of users are saved.
    private static let presenceMilliseconds: Int64 = 60_000

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        var signals = ServiceSignals()
        let directory = try DataDirectory.path(arguments, console)
        let settings = try ServeSettings(arguments, directory: directory)
        let log = EventLog(console.errors, settings: settings.log, clock: console.clock)
        let identity = try settings.tls.map { files in try load(files, log, console.clock.now()) }
        let store = try open(directory, settings, log, console)
        // The store must be closed in order even if the server can't start.
        defer { store.close() }
        let server = try makeServer(store, directory, settings, identity, log)
        let address = settings.listen.with(port: server.port)
        let url = "\(identity == nil ? "http" : "https")://\(address)"
        let operators = try OperatorService(directory, store, server, at: url, clock: console.clock) { log.write($0) }
        defer { operators.stop() }
        try console.output.writeLine("natterd: listening on \(url)")
        try console.output.flush()
        log.write(Event(.info, "listening", [("address", "\(address)"), ("data", directory)]))

        let isOver = Monitor(false)
        let serving = try SystemThread(name: "natter-http") {
            server.run()
            isOver.signal { $0 = true }
            ServiceSignals.wake()
        }
        wait(&signals, store, isOver: { isOver.withLock { $0 } }) {
            reload(arguments, directory, startedWith: settings, server, log, console.clock)
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
        _ store: Store, _ directory: String, _ settings: ServeSettings, _ identity: TLSIdentity?, _ log: EventLog
    ) throws -> ChatServer {
        var options = ChatServer.Options()
        // Texts must not leave the data directory, because it is private.
        options.spoolDirectory = directory
        options.recent = log.recent
        options.registration = settings.registration
        options.proxies = settings.proxies
        options.servesPage = settings.servesPage
        options.identity = identity
        return try ChatServer(
            store: store, address: settings.listen.host, port: settings.listen.port, options: options,
            events: { log.write($0) })
    }

    /// How long before its expiry a certificate is reported.
    private static let renewalMilliseconds: Int64 = 14 * 86_400_000

    private static func load(
        _ files: ServeSettings.CertificateFiles, _ log: EventLog, _ now: Timestamp
    ) throws(TLSError) -> TLSIdentity {
        let identity = try TLSIdentity(certificate: files.certificate, key: files.key)
        let isOld = identity.expires < now.advanced(milliseconds: renewalMilliseconds)
        log.write(
            Event(
                isOld ? .warning : .info, isOld ? "certificate_expires" : "certificate",
                [
                    ("file", files.certificate), ("expires", identity.expires.rfc3339),
                    ("sha256", identity.fingerprint),
                ]))
        return identity
    }

    /// Returns when the service must end.
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

    /// Reads the settings again. A file with an error changes nothing.
    private static func reload(
        _ arguments: Arguments, _ directory: String, startedWith old: ServeSettings, _ server: ChatServer,
        _ log: EventLog, _ clock: any WallClock
    ) {
        do {
            let settings = try ServeSettings(arguments, directory: directory)
            // Do the step that can fail first.
            if old.tls != nil, let files = settings.tls { server.use(try load(files, log, clock.now())) }
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
