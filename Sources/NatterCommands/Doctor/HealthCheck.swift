internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterSystem

/// Runs all checks. A check that fails becomes a finding, and the next check follows.
struct HealthCheck {
    let context: Context
    private(set) var findings: [Finding] = []

    init(_ context: Context) { self.context = context }

    /// Adds a finding. An error that several checks meet is reported by the first of them, which knows its remedy.
    mutating func add(_ finding: Finding) {
        if !findings.contains(where: { $0.problem == finding.problem }) { findings.append(finding) }
    }

    mutating func add(_ check: Finding.Check, _ problem: Phrase, _ remedy: Phrase) {
        findings.append(Finding(check, problem, remedy))
    }

    /// Prints a successful check, with `--verbose`.
    func tell(_ fact: Phrase) {
        if context.arguments.flag("verbose") { context.note(fact) }
    }

    /// - Throws: if it is unclear what to check, for example because `--profile` is invalid.
    mutating func run() throws {
        let home = try context.home()
        let profile = try context.profile()
        checkSettings(home)
        checkModes(home, profile)
        var login: Context.Login?
        do {
            login = try context.login()
        } catch {
            add(Finding(.session, error, else: RequestError.renewal(of: context.tokenFile)))
        }
        var account = login?.account ?? (try? context.offlineAccount())
        if context.isOffline {
            context.note("offline; the server was not asked")
        } else if let name = try checkServer(login), let known = account, known.name == nil {
            account = Account(server: known.server, name: name.user, store: name.store)
        }
        if let location = account.flatMap({ home.replica(of: $0) }) { checkReplica(location) }
        checkOutbox()
    }

    // MARK: - Files

    private mutating func checkSettings(_ home: ClientHome) {
        let file: ConfigFile
        do { file = try home.settingsFile() } catch {
            // 'natter config set' changes only the line of its setting.
            return add(Finding(.settings, error, else: "edit the file"))
        }
        for setting in Setting.allCases {
            do {
                _ = try setting.value(in: file)
            } catch {
                add(Finding(.settings, error, else: "correct it with 'natter config set' or edit the file"))
            }
        }
    }

    /// Checks the modes of files that natter creates. natter itself never gives them a wrong mode.
    private mutating func checkModes(_ home: ClientHome, _ profile: Profile) {
        // The user may have chosen the home directory. It only matters that nobody else can write to it.
        for path in Set([home.path, home.settingsDirectory]).sorted() {
            checkMode(path, forbidden: 0o022, allowed: "700")
        }
        checkMode(profile.directory, forbidden: 0o077, allowed: "700")
        for name in ["account", "token"] { checkMode("\(profile.directory)/\(name)", forbidden: 0o077, allowed: "600") }
        checkMode(home.settingsPath, forbidden: 0o077, allowed: "600")
        if let file = context.tokenFile { checkMode(file, forbidden: 0o077, allowed: "600") }
    }

    mutating func checkMode(_ path: String, forbidden: UInt32, allowed: String) {
        do {
            guard let found = try PosixDisk().information(path), found.isRegular || found.isDirectory else { return }
            guard found.mode & forbidden != 0 else { return }
            add(
                .files,
                forbidden & 0o044 == 0
                    ? "other users can change '\(path)'" : "other users can read or change '\(path)'",
                "run 'chmod \(allowed)' on it")
        } catch {
            add(Finding(.files, error, else: "check the owner of the parent directory"))
        }
    }

    // MARK: - The outbox

    private mutating func checkOutbox() {
        // Without a session there is no outbox, and that was already reported.
        guard let outbox = try? context.outbox() else { return }
        do {
            try outbox.check()
            let (waiting, refused) = try outbox.counts()
            if waiting > 0 {
                var oldest: Timestamp?
                try outbox.forEach(waitingOnly: true) { entry in
                    oldest = entry.queued
                    return false
                }
                let problem: Phrase = .plural(
                    waiting, "\(waiting) message in the outbox is not sent yet",
                    "\(waiting) messages in the outbox are not sent yet")
                add(
                    .outbox,
                    oldest.map { "\(problem), the oldest queued \(Age.text(of: $0, now: context.now))" } ?? problem,
                    "run 'natter sync' when the server can be reached")
            }
            if refused > 0 {
                add(
                    .outbox,
                    .plural(
                        refused, "the server refused \(refused) message of the outbox",
                        "the server refused \(refused) messages of the outbox"),
                    "run 'natter outbox ls', then 'natter outbox retry' or 'natter outbox drop'")
            }
            if waiting == 0, refused == 0 { tell("outbox: empty") }
        } catch {
            add(Finding(.outbox, error, else: "make sure that '\(outbox.location.directory)' can be read and written"))
        }
    }
}
