internal import NatterCrypto
internal import NatterModel
internal import NatterSystem

/// `DIR/erased`: what was erased, outside the database: messages by conversation, number and hash, accounts by number, time of
/// creation and name. If an older database is put in place, or a new one is made from the logs, the next start finds the
/// erasures here and does them again.
///
/// It is text, and grows at its end: a line `CONVERSATION SEQ HASH CRC` for each message, `account NUMBER CREATED NAME CRC` for
/// each account. A line is written before the erasure is recorded.
struct RememberedErasures {
    static let name = "erased"
    private static let maximumBytes: UInt64 = 1 << 30

    struct Message: Hashable {
        let conversation: ConversationID
        let seq: Seq
        let digest: Digest
    }

    /// Its name stays taken.
    struct Account: Hashable {
        let id: AccountID
        let created: Timestamp
        let name: UserName
    }

    enum Entry: Hashable {
        case message(Message)
        case account(Account)

        private static let accountMark = "account"

        fileprivate var line: [UInt8] {
            let fields =
                switch self {
                case .message(let message): "\(message.conversation) \(message.seq) \(message.digest)"
                case .account(let account):
                    "\(Entry.accountMark) \(account.id.rawValue) \(account.created.milliseconds) \(account.name.text)"
                }
            return Array("\(fields) \(Hex.encode(UInt64(Checksum.crc32c(Array(fields.utf8)))).suffix(8))\n".utf8)
        }

        /// - Returns: nil for anything else than a whole line.
        fileprivate init?(_ line: Substring) {
            let fields = line.split(separator: " ", omittingEmptySubsequences: false)
            guard let last = fields.last, let checksum = UInt32(last, radix: 16),
                Checksum.crc32c(Array(line.dropLast(last.utf8.count + 1).utf8)) == checksum
            else { return nil }
            if fields.count == 5, fields[0] == Entry.accountMark, let number = Int64(fields[1]),
                let created = Int64(fields[2])
            {
                self = .account(
                    Account(
                        id: AccountID(rawValue: number), created: Timestamp(milliseconds: created),
                        name: UserName(trusted: String(fields[3]))))
            } else if fields.count == 4, let conversation = ConversationID(hex: fields[0]),
                let seq = UInt64(fields[1]), let digest = Digest(hex: fields[2])
            {
                self = .message(Message(conversation: conversation, seq: Seq(seq), digest: digest))
            } else {
                return nil
            }
        }
    }

    private let path: String
    private let disk: any Disk

    init(_ directory: String, _ disk: any Disk) {
        (path, self.disk) = (directory + "/" + RememberedErasures.name, disk)
    }

    private func bytes() throws(DiskError) -> [UInt8]? {
        guard let size = try disk.information(path)?.size else { return nil }
        return try disk.contents(of: path, limit: Int(clamping: min(size, RememberedErasures.maximumBytes)))
    }

    /// Length and checksum of the file; nil if there is none.
    func stamp() throws(DiskError) -> String? {
        try bytes().map { "\($0.count) \(Hex.encode(UInt64(Checksum.crc32c($0))).suffix(8))" }
    }

    /// A line that a crash cut short says nothing.
    func entries() throws(DiskError) -> [Entry] {
        String(decoding: try bytes() ?? [], as: UTF8.self).split(separator: "\n").compactMap { Entry($0) }
    }

    func accounts() throws(DiskError) -> [Account] {
        try entries().compactMap { if case .account(let account) = $0 { account } else { nil } }
    }

    /// Adds entries durably. Those that are there already are not added again.
    func add(_ entries: [Entry]) throws(DiskError) {
        let known = Set(try self.entries())
        let new = entries.filter { !known.contains($0) }
        guard !new.isEmpty else { return }
        let isNew = try disk.information(path) == nil
        let file = try disk.open(path, isNew ? .create : .readWrite)
        let size = try file.size()
        // Ends a line that a crash cut short.
        let last = try file.read(count: 1, at: size > 0 ? size - 1 : 0)
        let isBroken = size > 0 && last != [0x0A]
        try file.write((isBroken ? [0x0A] : []) + new.flatMap(\.line), at: size)
        try file.sync()
        if isNew { try disk.syncDirectory(Path.directory(of: path)) }
    }
}
