internal import NatterLanguage
internal import NatterWire

/// What one of natterd's own commands wants done on a store, by whichever process has it open.
enum Operation: Codable, Sendable, Equatable {
    case listUsers
    /// Those who were ever here, newest first.
    case listClients
    /// - Parameter password: its hash; the password itself stays with the command.
    case addUser(name: String, password: String, isAdmin: Bool)
    case setPassword(name: String, password: String)
    case setDisabled(name: String, Bool)
    case setAdmin(name: String, Bool)
    case status
    case export(conversation: String)
    /// Takes the file as data.
    case importing(conversation: String, file: String)
    /// - Parameter dest: an absolute path.
    case backup(dest: String)
    case check

    /// One word for the service's log.
    var name: String {
        switch self {
        case .listUsers: "user_list"
        case .listClients: "clients"
        case .addUser: "user_add"
        case .setPassword: "user_passwd"
        case .setDisabled(_, let isDisabled): isDisabled ? "user_disable" : "user_enable"
        case .setAdmin(_, let isAdmin): isAdmin ? "user_promote" : "user_demote"
        case .status: "status"
        case .export: "export"
        case .importing: "import"
        case .backup: "backup"
        case .check: "fsck"
        }
    }
}

/// What an operation has to say, besides data. The command alone makes words of it.
enum OperationReply: Codable, Sendable {
    case user(AdminUserObject)
    case status(ServiceStatus)
    /// Messages that exist and can't be read.
    case damagedRange(conversation: String, from: UInt64, to: UInt64, detail: PhraseParts)
    case imported(ImportReport)
    /// How many bytes of how many are done.
    case progress(bytes: UInt64, total: UInt64)
    case damage(DamageReport)
    case backedUp(BackupCommand.Report)
    case checked(FsckCommand.Report)
}

/// What an import has done, as `--json` prints it.
struct ImportReport: Codable, Sendable {
    let conversation: String
    let count: UInt64
    /// The numbers that the messages got; 0 where there was none.
    let first: UInt64
    let last: UInt64
}

/// The two ends of an operation: where its data comes from, and where what it finds goes.
protocol OperationChannel {
    func reply(_ reply: OperationReply) throws
    /// Bytes for standard output.
    func data(_ bytes: [UInt8]) throws
    /// What the operation takes; for operations that do.
    ///
    /// - Returns: how many bytes there were, 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int
}
