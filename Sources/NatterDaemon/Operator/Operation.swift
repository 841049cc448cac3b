internal import NatterCommandLine
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

/// The request of a natterd command, for the process that has the store open.
enum Operation: Codable, Sendable, Equatable {
    case listUsers
    /// All users who have ever connected, newest first.
    case listClients
    /// A change of an account, which an admin may ask for over HTTP, too. The service log has `name`.
    case request(name: String, method: String, target: String, body: String)
    case eraseUser(name: String)
    /// - Parameter user: whose conversations; nil for all.
    case listConversations(user: String?)
    case status
    /// - Parameter retain: `90d` or `forever`.
    case retain(conversation: String, retain: String)
    /// - Parameters:
    ///   - isRaw: whether each record comes as it is.
    ///   - hasFiles: whether a reply names each file. An earlier natterd does not say.
    case export(conversation: String, format: HistoryFormat, isRaw: Bool, hasFiles: Bool?)
    /// Exports all conversations, each behind a reply that names it.
    ///
    /// - Parameters:
    ///   - user: whose conversations; nil for all.
    ///   - isNamed: whether each line of JSON has the conversation.
    case exportAll(user: String?, format: HistoryFormat, isRaw: Bool, isNamed: Bool, hasFiles: Bool?)
    /// Imports a file, which arrives as data.
    case importing(conversation: String, file: String, ImportCommand.Options)
    case erase(conversation: String, ranges: [ClosedRange<UInt64>])
    /// Imports messages of another program, which arrive as data (`ForeignLine`).
    case merging(conversation: String, people: ImportedPeople)
    case addHook(conversation: String, url: String, format: Hook.Format, events: Bool, allowPrivate: Bool)
    case listHooks
    case removeHook(id: String)
    case retryHook(id: String)
    case hookLog(id: String)
    /// - Parameter dest: an absolute path.
    case backup(dest: String)
    case check

    /// Whether it makes the store if the data directory has none.
    var makesStore: Bool {
        switch self {
        case .importing, .merging: true
        case .request(_, let method, _, _): method == API.addAccount.method.rawValue
        default: false
        }
    }

    /// Whether it can be done where nothing can be written.
    var onlyReads: Bool {
        switch self {
        case .listUsers, .listClients, .listConversations, .status, .export, .exportAll: true
        default: false
        }
    }

    /// For the service log.
    var name: String {
        switch self {
        case .listUsers: "user_list"
        case .listClients: "clients"
        case .request(let name, _, _, _): name
        case .eraseUser: "user_erase"
        case .listConversations: "ls"
        case .status: "status"
        case .retain: "retain"
        case .export, .exportAll: "export"
        case .importing, .merging: "import"
        case .erase: "erase"
        case .addHook: "hook_add"
        case .listHooks: "hook_ls"
        case .removeHook: "hook_rm"
        case .retryHook: "hook_retry"
        case .hookLog: "hook_log"
        case .backup: "backup"
        case .check: "fsck"
        }
    }
}

/// The result of an operation, without its data. Only the command turns it into words.
enum OperationReply: Codable, Sendable {
    case user(AdminUserObject)
    case conversation(ConversationSummary)
    case status(ServiceStatus)
    case retained(RetentionObject)
    /// Messages that exist but can't be read.
    case damagedRange(conversation: String, from: UInt64, to: UInt64, detail: PhraseParts)
    /// A file of an exported message. The command copies it.
    case file(FileObject)
    case imported(ImportCommand.Report)
    case merged(ForeignImport.Report)
    case erased(EraseCommand.Report)
    case userErased(UserCommand.Erasure)
    case hook(HookObject)
    case hookAttempt(Hook.Attempt)
    /// How many bytes of the total are copied.
    case progress(bytes: UInt64, total: UInt64)
    case damage(DamageReport)
    /// A loss that an earlier repair recorded.
    case stated(DamageReport)
    case backedUp(BackupCommand.Report)
    case checked(FsckCommand.Report)
}

extension OperationReply {
    /// The reply without the remains of an erasure. A store that the command itself opened has reported them already.
    var withoutRemains: OperationReply {
        switch self {
        case .erased(var report):
            report.remains = nil
            return .erased(report)
        case .userErased(var report):
            report.remains = nil
            return .userErased(report)
        default: return self
        }
    }
}

/// Connects an operation to its command. It provides the operation's data and receives its results.
protocol OperationChannel {
    func reply(_ reply: OperationReply) throws
    /// Bytes for standard output.
    func data(_ bytes: [UInt8]) throws
    /// Reads the data of an operation that takes some.
    ///
    /// - Returns: the number of bytes read, or 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int
}

extension OperationChannel {
    /// Returns a function that tells the command how far the work is, not more often than it can show it. The function throws
    /// if the command has gone, or the server ends, so that the work ends as well.
    func progress() -> (StoreProgress) throws -> Void {
        var next = MonotonicClock.now()
        return { progress in
            let now = MonotonicClock.now()
            guard now >= next else { return }
            next = now + ProgressLine.stepMilliseconds
            try reply(.progress(bytes: progress.bytes, total: progress.totalBytes))
        }
    }
}
