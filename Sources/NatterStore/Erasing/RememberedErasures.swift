internal import NatterCrypto
internal import NatterLanguage
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

    private struct Contents {
        var entries: [Entry] = []
        /// Lines that can't be read, and where they begin.
        var damaged: [(line: Int, offset: UInt64)] = []
        /// Where the next line goes.
        var end: UInt64 = 0
        /// Whether the last line has no end yet.
        var isOpen = false
    }

    /// Lines whose first byte was never written, and a last one without an end that can't be read, are what a crash left of
    /// them. They say nothing, because what they name was not erased yet.
    private func contents() throws(DiskError) -> Contents {
        let bytes = try bytes() ?? []
        var found = Contents()
        var (start, line) = (0, 0)
        while start < bytes.count, bytes[start] != 0 {
            line += 1
            let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
            let entry = Entry(String(decoding: bytes[start..<end], as: UTF8.self)[...])
            if let entry {
                found.entries.append(entry)
            } else if end == bytes.count {
                break
            } else if end > start {
                found.damaged.append((line, UInt64(start)))
            }
            found.isOpen = end == bytes.count
            found.end = UInt64(found.isOpen ? end : end + 1)
            start = end + 1
        }
        return found
    }

    func entries() throws(DiskError) -> [Entry] { try contents().entries }

    /// A damage for each line that can't be read.
    func damages() throws(DiskError) -> [StoreDamage] {
        try contents().damaged.map { line, offset in
            StoreDamage(
                file: path, offset: offset,
                problem: "line \(line) can't be read, so what it names may come back with an older database")
        }
    }

    /// Leaves out the lines that can't be read.
    func keepReadable() throws(DiskError) {
        try disk.replaceContents(of: path, with: try contents().entries.flatMap(\.line))
    }

    func accounts() throws(DiskError) -> [Account] {
        try entries().compactMap { if case .account(let account) = $0 { account } else { nil } }
    }

    /// Adds entries durably. Those that are there already are not added again.
    func add(_ entries: [Entry]) throws(DiskError) {
        let contents = try contents()
        let known = Set(contents.entries)
        let new = entries.filter { !known.contains($0) }
        guard !new.isEmpty else { return }
        let isNew = try disk.information(path) == nil
        let file = try disk.open(path, isNew ? .create : .readWrite)
        // What a crash has cut short would look like damage in the middle of the file.
        if try file.size() > contents.end { try file.truncate(to: contents.end) }
        if contents.isOpen { try file.write([0x0A], at: contents.end) }
        let (start, lines) = (contents.end + (contents.isOpen ? 1 : 0), new.flatMap(\.line))
        // The first byte comes last. A power loss before may leave any sectors of the rest, which must not look like damage.
        try file.write([0] + lines.dropFirst(), at: start)
        try file.sync()
        try file.write(Array(lines.prefix(1)), at: start)
        try file.sync()
        if isNew { try disk.syncDirectory(Path.directory(of: path)) }
    }
}
