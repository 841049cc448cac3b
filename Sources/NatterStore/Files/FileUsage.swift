internal import NatterConversation
internal import NatterModel

/// How large files may be. A limit that is nil is no limit.
public struct FileLimits: Sendable, Equatable {
    public var fileBytes: UInt64? = 25 << 20
    public var accountBytes: UInt64? = 1 << 30
    public var totalBytes: UInt64?

    public init() {}
}

/// The limit that a file is beyond.
public struct FileLimit: Sendable, Equatable {
    public enum Kind: Sendable {
        case file, account, total
    }

    public let kind: Kind
    public let limit: UInt64
    /// What is used without the file; of one that is too large, the bytes that it has at least.
    public let used: UInt64

    /// The setting of natterd.
    public var setting: String {
        switch kind {
        case .file: "file-size"
        case .account: "files-per-user"
        case .total: "files-total"
        }
    }

    var phrase: Phrase {
        switch kind {
        case .file: "the file is larger than \(limit) bytes, the server's limit ('file-size')"
        case .account:
            "your files have \(used) of \(limit) bytes ('files-per-user'), so this one has no room; delete some messages with files, or ask an admin"
        case .total:
            "the files on this server have \(used) of \(limit) bytes ('files-total'), so this one has no room; ask an admin"
        }
    }
}

/// What files take, and which wait for their message: the table `file` as far as it is in memory.
struct FileUsage {
    /// The most files of one account that wait for their message.
    static let mostWaiting = 1_000

    struct Account {
        var bytes: UInt64 = 0
        var waiting = 0
        /// What is being received, which has no row yet.
        var receiving: UInt64 = 0
    }

    var limits = FileLimits()
    /// Those that no message names.
    private(set) var waiting: [FileID: FileRow] = [:]
    private var accounts: [Int64: Account] = [:]
    /// How many there are, and their bytes, those of waiting files included.
    private(set) var count: UInt64 = 0
    private(set) var bytes: UInt64 = 0
    private var receiving: UInt64 = 0

    /// - Parameter uses: of each account, those of waiting files included.
    init(_ uses: [FileRows.Use] = [], waiting rows: [FileRow] = []) {
        for use in uses {
            accounts[use.account, default: Account()].bytes &+= use.bytes
            bytes &+= use.bytes
            count &+= use.count
        }
        for row in rows {
            waiting[row.id] = row
            accounts[row.account, default: Account()].waiting += 1
        }
    }

    /// Takes over what is not in the table, after the table was loaded again.
    mutating func keep(from former: FileUsage) {
        (limits, receiving) = (former.limits, former.receiving)
        for (number, account) in former.accounts where account.receiving > 0 {
            accounts[number, default: Account()].receiving = account.receiving
        }
    }

    func bytes(of account: AccountID) -> UInt64 { accounts[account.rawValue]?.bytes ?? 0 }

    func waiting(of account: AccountID) -> [FileRow] { waiting.values.filter { $0.account == account.rawValue } }

    /// Applies a row that the table has now.
    mutating func set(_ row: FileRow) {
        let known = waiting.removeValue(forKey: row.id)
        if known != nil { accounts[row.account]?.waiting -= 1 }
        switch row.state {
        case .announced, .uploaded:
            if known == nil { count(row) }
            waiting[row.id] = row
            accounts[row.account, default: Account()].waiting += 1
        case .named: if known == nil { count(row) }
        case .gone:
            count.subtract(atMost: 1)
            bytes.subtract(atMost: row.size)
            accounts[row.account]?.bytes.subtract(atMost: row.size)
        }
    }

    private mutating func count(_ row: FileRow) {
        count &+= 1
        bytes &+= row.size
        accounts[row.account, default: Account()].bytes &+= row.size
    }

    /// Reserves bytes of a file of which `received` are reserved.
    mutating func reserve(_ count: UInt64, received: UInt64, of account: AccountID) throws(StoreError) {
        let own = accounts[account.rawValue, default: Account()]
        func check(_ kind: FileLimit.Kind, _ limit: UInt64?, _ used: UInt64, _ needed: UInt64) throws(StoreError) {
            guard let limit, needed > limit || used > limit - needed else { return }
            throw .fileLimit(FileLimit(kind: kind, limit: limit, used: kind == .file ? needed : used))
        }
        let (size, isTooLarge) = received.addingReportingOverflow(count)
        try check(.file, limits.fileBytes, 0, isTooLarge ? .max : size)
        try check(.account, limits.accountBytes, own.bytes &+ own.receiving, count)
        try check(.total, limits.totalBytes, bytes &+ receiving, count)
        guard count <= UInt64(Int64.max) - min(receiving, UInt64(Int64.max)) else { throw .diskFull }
        guard own.waiting < FileUsage.mostWaiting else {
            throw .slowDown("\(own.waiting) of your files wait for their messages; send those first", seconds: 60)
        }
        receiving += count
        accounts[account.rawValue, default: Account()].receiving += count
    }

    mutating func giveBack(_ count: UInt64, of account: AccountID) {
        receiving.subtract(atMost: count)
        accounts[account.rawValue]?.receiving.subtract(atMost: count)
    }
}

extension UInt64 {
    fileprivate mutating func subtract(atMost amount: UInt64) { self -= Swift.min(self, amount) }
}

extension NewMessage {
    /// Checks what can be checked without the conversation.
    func checkFiles(isShared: Bool) throws(StoreError) {
        guard !uploads.isEmpty else { return }
        if isShared { throw .noFilesInPostgres }
        guard kind == .text, uploads.count <= Limits.filesPerMessage,
            Set(files.map(\.record.id)).count == files.count
        else { throw .badFiles }
        guard files.count == uploads.count else { throw .noSuchUpload }
    }
}

extension FileUsage {
    /// The rows of the files that a message names, if they wait for one of this user in this conversation.
    ///
    /// - Parameter named: files that other messages of the batch name.
    func rows(
        of message: NewMessage, by principal: Principal, in conversation: ConversationID, besides named: Set<FileID>
    ) throws(StoreError) -> [FileRow] {
        var rows: [FileRow] = []
        for file in message.files {
            guard file.conversation == conversation, !named.contains(file.record.id),
                let row = waiting[file.record.id], row.state == .uploaded, row.account == principal.account.rawValue
            else { throw .noSuchUpload }
            rows.append(row)
        }
        return rows
    }
}
