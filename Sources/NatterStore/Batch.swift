internal import NatterCrypto
internal import NatterLanguage
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// Everything that one durable commit adds, in order of arrival: the value of one row of the journal.
///
/// A whole batch is one row. Rows for each message, keyed by conversation, would touch a page each: for 100 messages
/// in 5,000 conversations, 635 KiB of WAL instead of 21 KiB.
///
/// Layout: a version byte, entries, and CRC-32C over all of it, because a SQLite page has no checksum of its own.
/// Numbers of an entry are LEB128 unless stated otherwise: conversation number, seq, time (zigzag, as difference to
/// the entry before), commit, sender (length, bytes), kind and flags (one byte each), about, text (length, bytes).
/// The next byte is 1 if an idempotency key follows: account, hash of the key, hash of the content (8 bytes each,
/// little-endian).
struct Batch {
    static let version: UInt8 = 1
    private(set) var bytes: [UInt8] = [Batch.version]
    private var formerTime: Int64 = 0

    struct Key: Equatable, Sendable {
        let account: Int64
        let hash: UInt64
        let content: UInt64
    }

    struct Entry {
        let conversation: Int64
        let record: Record
        let key: Key?
    }

    /// The key of a row in the journal. Each commit has two: the first for tails that were moved up, the second for
    /// new entries.
    static func rowNumber(of commit: Commit, isMoved: Bool) -> UInt64 { commit.rawValue &* 2 &+ (isMoved ? 0 : 1) }

    var isEmpty: Bool { bytes.count == 1 }
    /// The length of the finished value; 0 for an empty batch, which is not written.
    var sealedByteCount: Int { isEmpty ? 0 : bytes.count + 4 }

    init() {}

    /// Takes a finished value, to which nothing can be appended.
    /// - Throws: `FormatViolation` if the checksum does not match.
    init(sealed: UnsafeRawBufferPointer) throws {
        try Batch.check(sealed)
        bytes = Array(sealed.dropLast(4))
    }

    mutating func append(conversation: Int64, _ record: Record, key: Key?) {
        LEB128.append(UInt64(bitPattern: conversation), to: &bytes)
        LEB128.append(record.seq.rawValue, to: &bytes)
        LEB128.append(LEB128.zigzag(record.time.milliseconds &- formerTime), to: &bytes)
        formerTime = record.time.milliseconds
        LEB128.append(record.commit.rawValue, to: &bytes)
        LEB128.append(UInt64(record.sender.count), to: &bytes)
        bytes += record.sender
        bytes.append(record.kind.rawValue)
        bytes.append(record.isImported ? 1 : 0)
        LEB128.append(record.about?.rawValue ?? 0, to: &bytes)
        LEB128.append(UInt64(record.text.count), to: &bytes)
        bytes += record.text
        bytes.append(key == nil ? 0 : 1)
        if let key {
            LEB128.append(UInt64(bitPattern: key.account), to: &bytes)
            bytes.append(littleEndian: key.hash)
            bytes.append(littleEndian: key.content)
        }
    }

    /// The bytes with their checksum.
    func sealed() -> [UInt8] {
        var sealed = bytes
        sealed.append(littleEndian: Checksum.crc32c(bytes))
        return sealed
    }

    /// Decodes a finished value.
    /// - Throws: `FormatViolation` for anything that `sealed` does not write.
    static func decode(
        _ bytes: UnsafeRawBufferPointer, _ visit: (Entry) throws -> Void
    ) throws {
        try visitEntries(try check(bytes), visit)
    }

    /// Visits the appended entries in order.
    func entries(_ visit: (Entry) throws -> Void) throws {
        try bytes.withUnsafeBytes { try Batch.visitEntries($0, visit) }
    }

    /// - Returns: the value without its checksum.
    @discardableResult
    private static func check(_ bytes: UnsafeRawBufferPointer) throws -> UnsafeRawBufferPointer {
        guard bytes.count >= 5 else { throw FormatViolation("a batch is cut short") }
        let body = UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - 4)])
        let checksum = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: bytes.count - 4, as: UInt32.self))
        guard Checksum.crc32c(body) == checksum else { throw FormatViolation("the checksum of a batch differs") }
        guard body.first == version else { throw FormatViolation("a batch has an unknown version") }
        return body
    }

    private static func visitEntries(_ body: UnsafeRawBufferPointer, _ visit: (Entry) throws -> Void) throws {
        var reader = ByteReader(body)
        _ = reader.byte()
        var time: Int64 = 0
        while !reader.isAtEnd {
            guard let entry = entry(&reader, &time) else { throw FormatViolation("a batch is cut short") }
            try visit(entry)
        }
    }

    /// The numbers that a damaged value seems to assign, as far as it can be decoded. They can't be trusted.
    static func seqs(inDamaged bytes: UnsafeRawBufferPointer) -> [(conversation: Int64, seq: Seq)] {
        guard bytes.count >= 5 else { return [] }
        var reader = ByteReader(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - 4)]))
        _ = reader.byte()
        var time: Int64 = 0
        var seqs: [(Int64, Seq)] = []
        while !reader.isAtEnd, let entry = entry(&reader, &time) { seqs.append((entry.conversation, entry.record.seq)) }
        return seqs
    }

    /// The next entry; nil if the bytes are malformed.
    private static func entry(_ reader: inout ByteReader, _ time: inout Int64) -> Entry? {
        guard let conversation = reader.leb128(), let seq = reader.leb128(), let difference = reader.leb128(),
            let commit = reader.leb128(), let senderCount = reader.leb128(),
            let sender = reader.slice(Int(clamping: senderCount)), let kind = reader.byte(),
            let flags = reader.byte(), let about = reader.leb128(), let textCount = reader.leb128(),
            let text = reader.slice(Int(clamping: textCount)), let hasKey = reader.byte()
        else { return nil }
        time = time &+ LEB128.unzigzag(difference)
        var key: Key?
        if hasKey == 1 {
            guard let account = reader.leb128(), let hash = reader.integer(UInt64.self),
                let content = reader.integer(UInt64.self)
            else { return nil }
            key = Key(account: Int64(bitPattern: account), hash: hash, content: content)
        }
        let record = Record(
            seq: Seq(seq), time: Timestamp(milliseconds: time), sender: Array(sender), text: Array(text)[...],
            kind: MessageKind(rawValue: kind), isImported: flags & 1 != 0, about: about == 0 ? nil : Seq(about),
            commit: Commit(commit))
        return Entry(conversation: Int64(bitPattern: conversation), record: record, key: key)
    }
}
