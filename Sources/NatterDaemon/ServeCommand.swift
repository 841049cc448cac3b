internal import NatterCommandLine
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem

extension CommandSpec {
    static let serve = CommandSpec(
        "serve", "keep conversations and serve them over HTTP", group: "Service",
        options: [
            .option(
                "listen", value: "ADDR:PORT", "where to listen, 127.0.0.1:7117 by default; port 0 takes a free one",
                long: "Write an IPv6 address in brackets. ADDR may be 'localhost', as in 'localhost:0'."),
            .option(
                "registration", oneOf: ChatServer.Registration.allCases.map(\.rawValue),
                "who may create an account, open by default; 'invite' needs a code from an admin",
                long:
                    "With 'closed', only 'natterd user add' and admins create accounts. A code of 'natter admin invite' is "
                    + "valid for one account."),
            .option(
                "tls-cert", value: "F", "serve TLS with this certificate and its chain, as PEM",
                long: "The server's certificate comes first. natterd speaks TLS 1.2 and 1.3."),
            .option(
                "tls-key", value: "F", "the certificate's private key as PEM; only its owner may read it",
                long:
                    "It has no passphrase, and the groups root and ssl-cert may read it, too. In DIR/natterd.conf a path "
                    + "that does not begin with '/' is relative to DIR."),
            .option(
                "behind-proxy", value: "ADDR[,ADDR]",
                "trust X-Forwarded-For from these proxies, which serve TLS to the network, and let nobody else connect",
                long:
                    "The client is the rightmost address in that header that is not one of these, or the proxy itself if "
                    + "there is none or it is malformed. Limits, last visits and the log use it. Processes on this machine "
                    + "may connect, too, and their header is ignored."),
            .option(
                "host", value: "NAME,…",
                "names by which clients may call the server, besides those of its certificate and localhost",
                long:
                    "Every IP address is allowed, too. A request for any other name is 421 'misdirected', so that a web "
                    + "page of another site cannot reach a server on this machine through a browser. '*' as the first label "
                    + "of a name with at least two others stands for any label."),
            .flag(
                "no-web", "no page for browsers at /",
                long:
                    "Otherwise a browser gets a page that reads and writes messages and, for admins, administrates the "
                    + "server; see natter-http(7)."),
            .option(
                "session-idle", value: "90d|never", "end sessions that are unused for so long, 90 days by default",
                long: "It takes '1d' to '36500d'. Tokens for programs stay."),
            .option(
                "erase-deleted", value: "30d|0|never",
                "erase messages so long after they are deleted, and texts so long after an edit, 30 days by default",
                long:
                    "The server looks for them every hour; with '0' every minute, without a delay. An edit that was erased "
                    + "itself replaces nothing."),
            .option(
                "max-tokens", value: "N", "tokens for programs that an account may have, 100 by default",
                long:
                    "This limit and the next five are 1 to 1,000,000,000. Beyond one the answer is 429 'slow_down', or 403 "
                    + "'quota' for adding a user to one group too many."),
            .option(
                "max-sessions", value: "N",
                "sessions that an account may have, 100 by default; a further one ends the oldest unused"),
            .option(
                "max-groups", value: "N", "groups that an account may create, 1,000 by default",
                long: "A deleted one does not count."),
            .option(
                "max-groups-by-others", value: "N",
                "groups that others may add an account to, as long as it does not use them, 2,000 by default",
                long: "An account uses a group in which it has read or written."),
            .option(
                "max-groups-by-one", value: "N",
                "the same for each account that adds it, 200 by default"),
            .option(
                "max-members-per-day", value: "N",
                "users that an account may add to groups in a day, 10,000 by default",
                long: "A new group counts as one."),
            .option(
                "messages-per-minute", value: "N", "messages that an account may send in a minute",
                long:
                    "There is no limit unless you set one, 1 to 1,000,000,000, and so with the next two. A change of a "
                    + "group's name or rights counts as a message. Beyond it the answer is 429 with 'Retry-After'."),
            .option(
                "bytes-per-day", value: "N", "bytes of text that an account may send in a day",
                long: "It takes 65,536, so that the longest text fits, to 1,000,000,000,000,000."),
            .option("requests-per-second", value: "N", "requests that an account may make in a second"),
            .option(
                "file-size", value: "SIZE|none", "how large a file of a message may be, 25M by default",
                long:
                    "A SIZE is a number of bytes, or of KiB, MiB or GiB with 'K', 'M' or 'G', and so with the next "
                    + "two."),
            .option(
                "files-per-user", value: "SIZE|none",
                "how large all files of an account may be together, 1G by default"),
            .option(
                "files-total", value: "SIZE|none",
                "how large all files of the server may be together, any size by default"),
            .option(
                "file-retain", value: "90d|none",
                "erase files so long after they are uploaded, never by default; their messages stay",
                long: "It takes '1d' to '36500d'. The server looks for them every hour."),
            .option(
                "retain", value: "365d|forever",
                "how long messages are kept at most, for ever by default; older ones go for good",
                long: "It takes '1d' to '36500d'; see 'retain' above."),
            .option(
                "id-retention", value: "DAYS", "how many days message ids are remembered, 30 by default",
                long: "It takes 30 to 3,650."),
            .flag(
                "check", "check the settings, the certificate and the data directory, and start nothing",
                long:
                    "The status is 0, or the one with which a start would fail. A server may run on the directory "
                    + "meanwhile. A database of --store is not connected to."),
            .option(
                "log-level", oneOf: Event.Level.allCases.map(\.name), "what to log, info by default",
                long: "'debug' logs each request. 'natter admin log' shows no more than this, either."),
            .option(
                "log-format", oneOf: EventLog.Format.allCases.map(\.rawValue), "how to log, text by default",
                long:
                    "A line of text or a JSON object for each event. Under systemd each line has its priority, so that "
                    + "'journalctl -p warning -u natterd' finds what needs a look."),
        ],
        description: [
            "natterd prints 'natterd: listening on http://127.0.0.1:7117' when it is ready, and logs to standard error, one "
                + "line per event. On SIGTERM or SIGINT it finishes requests in flight and ends. On SIGHUP it reads "
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

struct ServeCommand {
    /// How often the last visits of users are saved.
    private static let presenceMilliseconds: Int64 = 60_000
    /// How often visits are saved if other servers share the store, which learn from them who is online. It must be short
    /// against the minute for which they believe it.
    private static let sharedPresenceMilliseconds: Int64 = 15_000
    /// How often messages that are due are dropped.
    private static let retentionMilliseconds: Int64 = 3_600_000

    private let arguments: Arguments
    private let console: Console
    private let directory: String
    /// The settings that the service was started with.
    private let settings: ServeSettings
    private let log: EventLog
    /// Why the settings were not reloaded, because the next start would fail with it.
    private let failedReload = Monitor<ServiceStatus.Problem?>(nil)

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let isCheck = arguments.flag("check")
        let signals = isCheck ? nil : ServiceSignals()
        let directory = try DataDirectory.path(arguments, console)
        var settings = try ServeSettings(arguments, directory: directory)
        if isCheck { settings.log.level = .warning }
        let log = try EventLog(
            console.errors.another(), settings: settings.log, clock: console.clock,
            isJournal: EventLog.isJournal(console.environment["JOURNAL_STREAM"]))
        defer { log.close() }
        let command = ServeCommand(
            arguments: arguments, console: console, directory: directory, settings: settings, log: log)
        guard let signals else { return try command.check() }
        let code = try command.serve(signals)
        log.write(Event(.info, "stopped"))
        return code
    }

    private func check() throws -> ExitCode {
        _ = try settings.tls.map(load)
        guard settings.listen.host == "localhost" || PeerAddress(settings.listen.host) != nil else {
            throw ListenerError.notAnAddress(settings.listen.host)
        }
        if try DataDirectory.sharedStore(arguments, console) == nil { try Store.check(directory) }
        console.confirm(arguments, "the settings, the certificate and the data directory are good")
        return .success
    }

    private func serve(_ signals: ServiceSignals) throws -> ExitCode {
        let clock = SteadyClock(console.clock, onJump: { [log] jump in ServeCommand.report(jump, log) })
        let identity = try settings.tls.map(load)
        let shared = try DataDirectory.sharedStore(arguments, console)
        let store = try open(shared, clock)
        // The store must be closed in order even if the server can't start.
        defer { store.close() }
        let hooks = HookService(
            try HookRegistry(of: store.directory, disk: store.disk), store, clock: console.clock, events: log.write)
        defer { hooks.stop() }
        let server = try makeServer(store, identity, hooks)
        for failure in hooks.registry.failures {
            log.write(Event(.error, "hook_failed", [("reason", failure.message.english)]))
        }
        try hooks.start()
        let address = settings.listen.with(port: server.port)
        let url = "\(identity == nil ? "http" : "https")://\(address)"
        let operators = try OperatorService(
            directory, store, in: shared, server, at: url, clock: console.clock, hooks: hooks,
            problems: { [failedReload, clock = console.clock] in
                [
                    failedReload.withLock { $0 },
                    ServeCommand.problem(ofCertificate: server.certificateExpires, clock.now()),
                ]
                .compactMap { $0 }
            }, events: log.write)
        defer { operators.stop() }
        try console.output.writeLine("natterd: listening on \(url)")
        try console.output.flush()
        log.write(Event(.info, "listening", [("address", "\(address)"), ("data", directory)]))
        if settings.registration == .open, !settings.listen.isLoopback {
            log.write(
                Event(
                    .warning, "open_registration",
                    [("message", "anyone who reaches this address can create accounts; see --registration invite")]))
        }

        if let mode = try? store.disk.information(directory)?.mode, mode & 0o022 != 0 {
            log.write(
                Event(
                    .warning, "open_directory",
                    [("message", "others can replace files of the data directory; run 'chmod go-w' on it")]))
        }
        let isOver = Monitor(false)
        let serving = try SystemThread(name: "natter-http") {
            server.run()
            isOver.signal { $0 = true }
            ServiceSignals.wake()
        }
        let watchdog = ServiceWatchdog(console.environment)
        watchdog?.tellReady()
        wait(signals, store, watchdog, server, isOver: { isOver.withLock { $0 } }) { reload(shared, store, server) }
        log.write(Event(.info, "stopping"))
        server.stop()
        serving.join()
        return store.isOutdated ? .configuration : store.isFailed ? .inputOutput : .success
    }

    private func open(_ shared: SharedStore?, _ clock: SteadyClock) throws -> Store {
        var options = Store.Options()
        options.idRetentionDays = settings.retentionDays
        options.keepsSearchIndex = true
        options.keepsReserve = true
        options.report = { [log] line in log.write(Event(.warning, "store", [("message", line.english)])) }
        options.failed = { [log] reason in
            log.write(Event(.error, "write_failed", [("reason", reason)]))
            ServiceSignals.wake()
        }
        return try OperatorClient.waitingForOthers(directory) {
            let store =
                try shared.map { try Store.open($0, cache: directory, clock: clock, options: options) }
                ?? Store.open(directory, clock: clock, options: options)
            apply(settings, to: store)
            return store
        }
    }

    /// Tells the store what a reload may change.
    private func apply(_ settings: ServeSettings, to store: Store) {
        store.use(settings.limits)
        store.use(settings.files)
        store.eraseDeleted(after: settings.eraseDeletedDays)
        store.eraseFiles(after: settings.fileRetainDays)
        store.use(settings.retention)
        store.dropDueMessages()
        store.dropUnusedFiles()
    }

    /// The warning about a system's clock that is not followed.
    static func jumped(by milliseconds: Int64) -> Phrase {
        milliseconds > 0
            ? "the system's clock has jumped \(milliseconds / 1_000) s ahead and is not followed; correct it, or restart natterd if it is right"
            : "the system's clock has jumped \(milliseconds.magnitude / 1_000) s back and is not followed; correct it, or restart natterd if it is right"
    }

    private static func report(_ jump: Int64, _ log: EventLog) {
        if jump == 0 {
            log.write(Event(.info, "clock_followed"))
        } else {
            log.write(
                Event(.error, "clock_jumped", [("seconds", "\(jump / 1_000)"), ("message", jumped(by: jump).english)]))
        }
    }

    private func makeServer(_ store: Store, _ identity: TLSIdentity?, _ hooks: HookService) throws -> ChatServer {
        var options = ChatServer.Options()
        // Texts must not leave the data directory, because it is private.
        options.spools.directory = directory
        options.recent = log.recent
        options.registration = settings.registration
        options.proxies = settings.proxies
        options.servesPage = settings.servesPage
        options.hosts = settings.hosts
        options.identity = identity
        options.onNews = { hooks.wake() }
        let server = try ChatServer(store: store, options: options, events: log.write)
        try server.listen(on: settings.listen.host, port: settings.listen.port)
        return server
    }

    /// How long before its expiry a certificate is reported.
    private static let renewalMilliseconds: Int64 = 14 * 86_400_000

    private static func problem(ofCertificate expires: Timestamp?, _ now: Timestamp) -> ServiceStatus.Problem? {
        guard let expires, expires < now.advanced(milliseconds: renewalMilliseconds) else { return nil }
        return ServiceStatus.Problem(
            "certificate",
            expires <= now
                ? "the certificate ended at \(expires.rfc3339), and clients refuse it; renew it, and reload natterd"
                : "the certificate ends at \(expires.rfc3339); renew it, and reload natterd")
    }

    private func load(_ files: ServeSettings.CertificateFiles) throws(CommandFailure) -> TLSIdentity {
        let identity: TLSIdentity
        do throws(TLSError) { identity = try TLSIdentity(certificate: files.certificate, key: files.key) } catch {
            throw files.failure(error, in: directory)
        }
        let isOld = ServeCommand.problem(ofCertificate: identity.expires, console.clock.now()) != nil
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
    private func wait(
        _ signals: ServiceSignals, _ store: Store, _ watchdog: ServiceWatchdog?, _ server: ChatServer,
        isOver: () -> Bool, reload: () -> Void
    ) {
        var signals = signals
        let pause = store.isShared ? Self.sharedPresenceMilliseconds : Self.presenceMilliseconds
        var nextSave = MonotonicClock.now() + pause
        var nextDrop = MonotonicClock.now() + Self.retentionMilliseconds
        while !store.isFailed, !isOver() {
            watchdog?.feed(server)
            let left = max(0, nextSave - MonotonicClock.now())
            switch signals.next(timeoutMilliseconds: min(left, watchdog?.leftMilliseconds ?? left)) {
            case .stop: return
            case .reload: reload()
            case .wake: continue
            case nil:
                guard MonotonicClock.now() >= nextSave else { continue }
                store.forgetExpiredTokens()
                store.savePresence()
                store.eraseDue()
                store.giveBack()
                nextSave = MonotonicClock.now() + pause
                guard MonotonicClock.now() >= nextDrop else { continue }
                store.dropDueMessages()
                store.dropUnusedFiles()
                nextDrop = MonotonicClock.now() + Self.retentionMilliseconds
            }
        }
    }

    /// Reads the settings again. A file with an error changes nothing.
    private func reload(_ shared: SharedStore?, _ store: Store, _ server: ChatServer) {
        do {
            let new = try ServeSettings(arguments, directory: directory)
            let isElsewhere = try DataDirectory.sharedStore(arguments, console) != shared
            // Do the step that can fail first.
            if let files = new.tls {
                // Without TLS so far, the next start needs it.
                let identity = try load(files)
                if settings.tls != nil { server.use(identity) }
            }
            log.use(new.log)
            server.use(new.registration)
            apply(new, to: store)
            server.use(hosts: new.hosts)
            failedReload.signal { $0 = nil }
            log.write(Event(.info, "reloaded", [("registration", new.registration.rawValue)]))
            let fixed = new.namesOfFixed(differingFrom: settings) + (isElsewhere ? ["store"] : [])
            if !fixed.isEmpty {
                log.write(Event(.warning, "restart_needed", [("options", fixed.joined(separator: ","))]))
            }
        } catch {
            failedReload.signal {
                $0 = ServiceStatus.Problem(
                    "configuration", "the settings were not reloaded, and a restart would fail: \(error)")
            }
            log.write(Event(.error, "not_reloaded", [("reason", "\(error)")]))
        }
    }
}
