internal import NatterConversation
internal import NatterSystem
internal import NatterModel

/// `DIR/erased`: what was erased, outside the database: messages by conversation, number and hash, accounts by number, time of
/// creation and name. If an older database is put in place, or a new one is made from the logs, the next start finds the
/// erasures here and does them again.
///
/// It is text, and grows at its end: a line `CONVERSATION SEQ HASH CRC` for each message, `account NUMBER CREATED NAME CRC` for
/// each account. Lines are written before the erasure is recorded, and an empty one behind them when they are durable. The file
/// may be of any size: it is read in pieces.
final class RememberedErasures: Sendable {
    static let name = "erased"
    private static let pieceBytes = 1 << 18
    /// More than any line has.
    private static let longestLine = 1 << 10
    /// How many of many entries are added at a time.
    private static let partCount = 1 << 16

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
            return Array("\(fields) \(Hex.encode(Checksum.crc32c(Array(fields.utf8))))\n".utf8)
        }

        /// - Returns: nil for anything else than a whole line.
        fileprivate init?(_ bytes: [UInt8]) {
            let line = String(decoding: bytes, as: UTF8.self)
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
    /// Where this process has written the last line; nil if it has written none.
    private let lastEnd = Monitor<UInt64?>(nil)

    init(_ directory: String, _ disk: any Disk) {
        (path, self.disk) = (directory + "/" + RememberedErasures.name, disk)
    }

    /// Length and checksum of the file; nil if there is none.
    func stamp() throws(DiskError) -> String? {
        guard let size = try disk.information(path)?.size,
            let checksum = try FileCopy(disk: disk).checksum(path, size: size)
        else { return nil }
        return "\(size) \(Hex.encode(checksum))"
    }

    private enum Line {
        case entry(Entry)
        /// One that can't be read, and where it begins.
        case damaged(number: Int, offset: UInt64)

        var isDamaged: Bool { if case .damaged = self { true } else { false } }
    }

    private struct End {
        /// Where the next line goes.
        var offset: UInt64 = 0
        /// Whether an empty line stands before it, or anywhere.
        var hasMark = false
    }

    /// Calls `take` with each line that was confirmed by an empty one.
    ///
    /// Lines behind the last empty one say nothing: a crash or a full disk came between, and what they name was not erased. In a
    /// file without an empty line, which an earlier version made, that is so only for the last lines, if they can't be read.
    @discardableResult
    private func scan(_ take: (Line) throws -> Void) throws -> End {
        var end = End()
        guard try disk.information(path) != nil else { return end }
        let file = try disk.open(path, .read)
        var (line, number, position, start) = ([UInt8](), 0, UInt64(0), UInt64(0))
        var unconfirmed: [(line: Line, end: UInt64)] = []
        func confirm(_ count: Int, upTo offset: UInt64) throws {
            for confirmed in unconfirmed.prefix(count) { try take(confirmed.line) }
            unconfirmed.removeFirst(count)
            end.offset = offset
        }
        while case let piece = try file.read(count: RememberedErasures.pieceBytes, at: position), !piece.isEmpty {
            var rest = piece[...]
            while !rest.isEmpty {
                let part = rest.prefix { $0 != 0x0A }
                line += part.prefix(RememberedErasures.longestLine - line.count)
                position += UInt64(part.count)
                rest = rest.dropFirst(part.count)
                guard rest.popFirst() != nil else { break }
                position += 1
                number += 1
                if let entry = Entry(line) {
                    unconfirmed.append((.entry(entry), position))
                } else if !line.isEmpty {
                    unconfirmed.append((.damaged(number: number, offset: start), position))
                }
                end.hasMark = end.hasMark || line.isEmpty
                // No write has more lines.
                if line.isEmpty || unconfirmed.count > RememberedErasures.partCount {
                    try confirm(unconfirmed.count, upTo: position)
                }
                line.removeAll(keepingCapacity: true)
                start = position
            }
        }
        if !end.hasMark, let last = unconfirmed.lastIndex(where: { !$0.line.isDamaged }) {
            try confirm(last + 1, upTo: unconfirmed[last].end)
        }
        return end
    }

    func forEach(_ take: (Entry) throws -> Void) throws {
        try scan { if case .entry(let entry) = $0 { try take(entry) } }
    }

    func entries() throws -> [Entry] {
        var entries: [Entry] = []
        try forEach { entries.append($0) }
        return entries
    }

    /// A damage for each line that can't be read.
    func damages() throws -> [StoreDamage] {
        var damages: [StoreDamage] = []
        try scan { line in
            guard case .damaged(let number, let offset) = line else { return }
            damages.append(
                StoreDamage(
                    file: path, offset: offset,
                    problem: "line \(number) can't be read, so what it names may come back with an older database"))
        }
        return damages
    }

    /// Leaves out the lines that can't be read.
    func keepReadable() throws { try disk.replaceContents(of: path, with: [0x0A] + entries().flatMap(\.line) + [0x0A]) }

    func accounts() throws -> [Account] {
        var accounts: [Account] = []
        try forEach { if case .account(let account) = $0 { accounts.append(account) } }
        return accounts
    }

    /// Adds entries durably. Those that are there already are not added again.
    func add(_ entries: [Entry]) throws {
        var missing = Set(entries)
        let end = try scan { if case .entry(let entry) = $0 { missing.remove(entry) } }
        try write(entries.filter { missing.remove($0) != nil }, at: end)
    }

    /// Adds any number of entries, a part at a time.
    func add(_ giving: ((Entry) throws -> Void) throws -> Void) throws {
        var part: [Entry] = []
        try giving { entry in
            part.append(entry)
            guard part.count == RememberedErasures.partCount else { return }
            try add(part)
            part.removeAll(keepingCapacity: true)
        }
        try add(part)
    }

    /// Adds entries durably. The lines that are there are not read if this process has written the last of them.
    func append(_ entries: [Entry]) throws {
        guard let end = lastEnd.withLock({ $0 }), try disk.information(path)?.size == end else {
            return try add(entries)
        }
        try write(entries, at: End(offset: end, hasMark: true))
    }

    private func write(_ entries: [Entry], at end: End) throws(DiskError) {
        guard !entries.isEmpty else { return }
        lastEnd.withLock { $0 = nil }
        let isNew = try disk.information(path) == nil
        let file = try disk.open(path, isNew ? .create : .readWrite)
        // The new mark would also confirm lines that a crash has cut short.
        if try file.size() > end.offset { try file.truncate(to: end.offset) }
        var start = end.offset
        if !end.hasMark {
            try file.write([0x0A], at: start)
            try file.sync()
            start += 1
        }
        let lines = entries.flatMap(\.line)
        try file.write(lines, at: start)
        try file.sync()
        try file.write([0x0A], at: start + UInt64(lines.count))
        try file.sync()
        if isNew { try disk.syncDirectory(Path.directory(of: path)) }
        lastEnd.withLock { $0 = start + UInt64(lines.count) + 1 }
    }
}
