internal import NatterCLI
internal import NatterCrypto
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem
internal import NatterWire

/// Performs operations on a store that this process has open. The process is a server or the command itself.
struct OperationRunner {
    let store: Store
    /// The user who runs the command.
    let uid: UInt32
    /// The state of the server, if one runs in this process.
    var service: () -> ServiceStatus.Service? = { nil }
    /// The problems of that server that its store does not know.
    var problems: () -> [ServiceStatus.Problem] = { [] }
    /// The service that sends to the hooks, if a server runs in this process.
    var hooks: HookService?

    /// The name of the user in the audit trail.
    var actor: String { "operator (uid \(uid))" }

    /// - Throws: errors that `DaemonFailure.explain` knows, and errors of the channel.
    func run(_ operation: Operation, _ channel: some OperationChannel) throws -> ExitCode {
        switch operation {
        case .listUsers:
            try store.catchUp()
            let accounts = store.accountViews().map { (NameRule.caseKey($0.name), $0) }
            for (_, account) in accounts.sorted(by: { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }) {
                try channel.reply(.user(AdminUserObject(account)))
            }
        case .listClients:
            try store.catchUp()
            for account in store.accountViews() where account.lastSeen != nil {
                try channel.reply(.user(AdminUserObject(account)))
            }
        case .addUser(let name, let password, let isAdmin): try addUser(name, password, isAdmin, channel)
        case .setPassword(let name, let password):
            try change(name, AccountChange(password: try OperationRunner.hash(password)), channel)
        case .setDisabled(let name, let isDisabled):
            try change(name, AccountChange(isDisabled: isDisabled), channel)
        case .setAdmin(let name, let isAdmin): try change(name, AccountChange(isAdmin: isAdmin), channel)
        case .eraseUser(let name):
            let count = try answer { store.eraseAccount(name, by: actor, $0) }
            let remains = store.remainsOfErasure?.english
            try channel.reply(.userErased(UserCommand.Erasure(name: name, erased: count, remains: remains)))
            return store.isFailed ? .inputOutput : .success
        case .status:
            var status = try ServiceStatus(of: store, server: service())
            status.problems?.append(contentsOf: problems())
            try channel.reply(.status(status))
            return status.failure == nil ? .success : .inputOutput
        case .retain(let conversation, let text):
            guard let retention = Retention(text) else {
                throw StoreError.failed("'\(text)' is no time to keep messages")
            }
            let view = try answer { store.setRetention(retention, of: conversation, by: actor, $0) }
            try channel.reply(.retained(RetentionObject(view)))
        case .export(let conversation, let format, let isRaw):
            try store.catchUp()
            let exporter = try StoreExporter(
                conversation, of: store, isFolded: format != .ndjson, form: isRaw ? .records : .newest,
                takesDeleted: true)
            store.recordAudit(by: actor, "exported", exporter.name)
            return try ExportCommand.run(exporter, as: format, channel)
        case .importing(let conversation, let file, let options):
            let report = try ImportCommand.run(conversation, file: file, options, store, channel)
            if !options.isTrial { recordImport(into: report.conversation, first: report.first, last: report.last) }
            try channel.reply(.imported(report))
        case .erase(let conversation, let ranges):
            try store.catchUp()
            let ranges = ranges.map { Seq($0.lowerBound)...Seq($0.upperBound) }
            let count = try answer { store.erase(ranges, in: conversation, by: actor, $0) }
            let remains = store.remainsOfErasure?.english
            try channel.reply(
                .erased(EraseCommand.Report(conversation: conversation, erased: count, remains: remains)))
            return store.isFailed ? .inputOutput : .success
        case .merging(let conversation):
            let report = try ForeignImport.merge(conversation, store, channel)
            recordImport(into: report.conversation, first: report.first, last: report.last)
            try channel.reply(.merged(report))
        case .addHook, .listHooks, .removeHook, .retryHook, .hookLog:
            let registry = try hooks?.registry ?? HookRegistry(of: store.directory, disk: store.disk)
            try run(hookOperation: operation, registry, channel) { try hooks?.start() }
        case .backup(let dest):
            // A command that asks a running server need not know what its store is.
            if store.isShared { throw DataDirectory.notFiles }
            return try BackupCommand.run(to: dest, channel) {
                let summary = try store.backup(to: dest, progress: $0, $1)
                store.recordAudit(by: actor, "backup_made", dest)
                return summary
            }
        case .check:
            return try FsckCommand.run(channel, in: store.directory) {
                try store.check(progress: channel.progress(), $0)
            }
        }
        return .success
    }

    /// - Parameter last: 0 if no message was new.
    private func recordImport(into conversation: String, first: UInt64, last: UInt64) {
        if last > 0 { store.recordAudit(by: actor, "imported", "\(conversation) \(first)-\(last)") }
    }

    // MARK: Users

    private func addUser(
        _ name: String, _ password: String, _ isAdmin: Bool, _ channel: some OperationChannel
    ) throws {
        let user: UserName
        do throws(NameError) { user = try UserName(name) } catch { throw StoreError.badName(name, error) }
        let hash = try OperationRunner.hash(password)
        let account = try answer {
            store.addAccount(user, password: hash, isAdmin: isAdmin, by: actor, asking: nil, $0)
        }
        try channel.reply(.user(AdminUserObject(account)))
    }

    private func change(_ name: String, _ change: AccountChange, _ channel: some OperationChannel) throws {
        let account = try answer { store.change(name, change, by: actor, asking: nil, $0) }
        try channel.reply(.user(AdminUserObject(account)))
    }

    /// Refuses a string that is not a hash of ours. Nobody could log in with it, but it does not belong in the store.
    private static func hash(_ text: String) throws(CommandFailure) -> PasswordHash {
        guard text.hasPrefix("$argon2id$"), text.utf8.count <= 128, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else {
            throw CommandFailure(.badProtocol, code: "bad_hash", "the password was not hashed as this version does")
        }
        return PasswordHash(stored: text)
    }

    /// Waits for the store's answer.
    private func answer<Value: Sendable>(_ body: (@escaping NatterStore.Completion<Value>) -> Void) throws(StoreError)
        -> Value
    {
        let result = Monitor<Result<Value, StoreError>?>(nil)
        body { answer in result.signal { $0 = answer } }
        guard let answer = result.wait(until: { $0 }) else { throw .failed("the store gave no answer") }
        return try answer.get()
    }
}
