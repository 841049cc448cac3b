internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterSystem

/// One look at everything. A check that fails is a finding, and the next one follows.
struct Examination {
    let context: Context
    private(set) var findings: [Finding] = []

    init(_ context: Context) { self.context = context }

    mutating func add(_ finding: Finding) { findings.append(finding) }

    mutating func add(_ check: Finding.Check, _ problem: Phrase, _ remedy: Phrase) {
        findings.append(Finding(check, problem, remedy))
    }

    /// Tells what is well, with `--verbose`.
    func tell(_ fact: Phrase) {
        if context.arguments.flag("verbose") { context.note(fact) }
    }

    /// - Throws: where it is not clear what to look at, such as for a bad `--profile`.
    mutating func run() throws {
        let home = try context.home()
        let profile = try context.profile()
        checkSettings(home)
        checkModes(home, profile)
        var login: Context.Login?
        do {
            login = try context.login()
        } catch {
            add(Finding(.session, error, else: "use 'natter login NAME' again"))
        }
        var account = login?.account ?? (try? context.offlineAccount())
        if context.isOffline {
            context.note("offline; the server was not asked")
        } else if let name = try checkServer(login), let known = account, known.name == nil {
            account = Account(server: known.server, name: name.user, store: name.store)
        }
        if let account, let name = account.name, let store = account.store {
            checkReplica(home.replica(store: store, user: name))
        }
        checkOutbox()
    }

    // MARK: - Files

    private mutating func checkSettings(_ home: ClientHome) {
        for setting in Setting.allCases {
            do {
                _ = try home.value(of: setting)
            } catch {
                let finding = Finding(.settings, error, else: "correct it with 'natter config set', or in the file")
                if !findings.contains(finding) { add(finding) }
            }
        }
    }

    /// Of files that natter makes: somebody else has made them so.
    private mutating func checkModes(_ home: ClientHome, _ profile: Profile) {
        // The home itself may be a directory of one's own; what matters is that nobody else can put something there.
        checkMode(home.path, forbidden: 0o022, allowed: "700")
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
                    ? "'\(path)' can be changed by others" : "'\(path)' can be read or changed by others",
                "use 'chmod \(allowed)' on it")
        } catch {
            add(Finding(.files, error, else: "see who owns the directory above it"))
        }
    }

    // MARK: - The outbox

    private mutating func checkOutbox() {
        // Without a session there is none, which is a finding already.
        guard let outbox = try? context.outbox() else { return }
        do {
            let (waiting, refused) = try outbox.counts()
            if waiting > 0 {
                var oldest: Timestamp?
                try outbox.forEach(waitingOnly: true) { entry in
                    oldest = entry.queued
                    return false
                }
                let problem: Phrase = .plural(
                    waiting, "\(waiting) message to be sent from the outbox",
                    "\(waiting) messages to be sent from the outbox")
                add(
                    .outbox,
                    oldest.map { "\(problem), the oldest queued \(Age.text(of: $0, now: context.now))" } ?? problem,
                    "use 'natter sync' once the server is reached")
            }
            if refused > 0 {
                add(
                    .outbox,
                    .plural(
                        refused, "\(refused) message of the outbox refused by the server",
                        "\(refused) messages of the outbox refused by the server"),
                    "see 'natter outbox ls', then use 'natter outbox retry' or 'natter outbox drop'")
            }
            if waiting == 0, refused == 0 { tell("outbox: empty") }
        } catch {
            add(Finding(.outbox, error, else: "see that '\(outbox.location.directory)' can be read and written"))
        }
    }
}
