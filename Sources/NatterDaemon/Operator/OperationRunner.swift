internal import NatterCommandLine
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

/// Performs operations on a store that this process has open. The process is a server or the command itself.
struct OperationRunner {
    let store: Store
    /// The user who runs the command.
    let uid: UInt32
    /// The state of the server, if one runs in this process.
    var service: () -> ServiceStatus.Service? = { nil }
    /// The problems of that server that its store does not know.
    var problems: () -> [ServiceStatus.Problem] = { [] }
    /// The server of this process, if one runs in it.
    var server: ChatServer?
    /// The service that sends to the hooks, if a server runs in this process.
    var hooks: HookService?

    /// The name of the user in the audit trail.
    var actor: String { ChatServer.operatorName(uid) }

    /// - Throws: also errors of the channel.
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
        case .request(_, let method, let target, let body):
            try channel.reply(.user(answer(method, target, body)))
        case .eraseUser(let name):
            let count = try answer { store.eraseAccount(name, by: actor, $0) }
            let remains = store.remainsOfErasure?.english
            try channel.reply(.userErased(UserCommand.Erasure(name: name, erased: count, remains: remains)))
            return store.isFailed ? .inputOutput : .success
        case .listConversations(let user):
            try store.catchUp()
            for summary in try store.summaries(of: user) { try channel.reply(.conversation(summary)) }
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
        case .export(let conversation, let format, let isRaw, let hasFiles):
            try store.catchUp()
            return try export(conversation, format, isRaw: isRaw, hasFiles: hasFiles ?? false, channel)
        case .exportAll(let user, let format, let isRaw, let isNamed, let hasFiles):
            try store.catchUp()
            var code = ExitCode.success
            for summary in try store.summaries(of: user) {
                try channel.reply(.conversation(summary))
                let result = try export(
                    summary.name, format, isRaw: isRaw, isNamed: isNamed, hasFiles: hasFiles ?? false, channel)
                if result != .success { code = result }
            }
            return code
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
        case .merging(let conversation, let people):
            var report = try ForeignImport.merge(conversation, store, channel)
            recordImport(into: report.conversation, first: report.first, last: report.last)
            (report.members, report.strangers) = try answer { store.take(people, for: report.conversation, $0) }
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

    private func export(
        _ conversation: String, _ format: HistoryFormat, isRaw: Bool, isNamed: Bool = false, hasFiles: Bool,
        _ channel: some OperationChannel
    ) throws -> ExitCode {
        let exporter = try StoreExporter(
            conversation, of: store, isFolded: format != .ndjson, form: isRaw ? .records : .newest, takesDeleted: true)
        store.recordAudit(by: actor, "exported", exporter.name)
        return try ExportCommand.run(exporter, as: format, isNamed: isNamed, hasFiles: hasFiles, channel)
    }

    /// - Parameter last: 0 if no message was new.
    private func recordImport(into conversation: String, first: UInt64, last: UInt64) {
        if last > 0 { store.recordAudit(by: actor, "imported", "\(conversation) \(first)-\(last)") }
    }

    // MARK: Users

    /// Has the API answer a request about an account.
    private func answer(_ method: String, _ target: String, _ body: String) throws -> AdminUserObject {
        var options = ChatServer.Options()
        options.servesPage = false
        let own = server == nil ? try ChatServer(store: store, options: options) { _ in } : nil
        defer { own?.end() }
        let answer = (server ?? own)?.answer(
            method, target, headers: [("host", "localhost")], body: Array(body.utf8), operatorID: uid)
        guard let answer else { throw StoreError.outcomeUnknown }
        if answer.status < 300 { return try WireJSON.decode(AdminUserObject.self, from: answer.body) }
        let error = try WireJSON.decode(ErrorBody.self, from: answer.body).error
        let message = error.phrase?.phrase ?? Phrase(verbatim: error.message)
        switch ErrorCode(rawValue: error.code) {
        case .outcomeUnknown: throw StoreError.outcomeUnknown
        // The operator is whom others' answers tell to look into the log.
        case .internalError: throw StoreError.failed(answer.note.map { Phrase(verbatim: $0) } ?? message)
        default: throw CommandFailure(ExitCode(status: answer.status), code: error.code, message)
        }
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
