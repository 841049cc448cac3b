internal import NatterSystem
internal import NatterModel
internal import NatterLog

/// Everything that one durable commit adds, in order of arrival, before it becomes the value of a row: `SealedBatch`.
///
/// Layout: entries. Numbers of an entry are LEB128 unless stated otherwise: conversation number, seq, time (zigzag, as difference to
/// the entry before), commit, sender (length, bytes), kind and flags (one byte each), about, with flag 4 the label of the
/// token (length, bytes), with flag 8 how many milliseconds earlier it was written, text (length, bytes). Flags 1 and 2
/// say that the message was imported or erased.
/// Bits 4 and 5 of the flags say what salts the hash: 0 the same run as the conversation's entry before, at the next
/// place; else, before the text: 1 the place (one byte) and the seed of a run, 2 a salt, 3 the hash of an erased message.
/// The next byte is 1 if an idempotency key follows: account, the key's time, hash of the key, hash of the content (the
/// hashes with 8 bytes each, little-endian).
struct Batch {
    private(set) var bytes: [UInt8] = []
    private var formerTime: Int64 = 0

    private enum SaltFlags {
        static let shift: UInt8 = 4
        static let mask: UInt8 = 0x30
        static let (continued, seed, salt, erased): (UInt8, UInt8, UInt8, UInt8) = (0, 1, 2, 3)

        static func form(of source: SaltSource) -> UInt8 {
            switch source {
            case .seed: seed
            case .salt: salt
            case .erased: erased
            }
        }
    }

    private enum Flags {
        static let imported: UInt8 = 1
        static let erased: UInt8 = 2
        static let label: UInt8 = 4
        static let delay: UInt8 = 8
        static let known = imported | erased | label | delay
    }

    struct Key: Equatable, Sendable {
        let recent: RecentKey
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

    var isEmpty: Bool { bytes.isEmpty }

    /// - Parameter former: what salts the conversation's entry before this one; nil for its first in the batch.
    mutating func append(conversation: Int64, _ record: Record, after former: SaltSource?, key: Key?) {
        LEB128.append(UInt64(bitPattern: conversation), to: &bytes)
        LEB128.append(record.seq.rawValue, to: &bytes)
        LEB128.append(LEB128.zigzag(record.time.milliseconds &- formerTime), to: &bytes)
        formerTime = record.time.milliseconds
        LEB128.append(record.commit.rawValue, to: &bytes)
        bytes.append(counted: record.sender)
        bytes.append(record.kind.rawValue)
        let delay = record.written.map { record.time.milliseconds &- $0.milliseconds } ?? 0
        let continues = former?.next == record.salt
        bytes.append(
            (continues ? SaltFlags.continued : SaltFlags.form(of: record.salt)) << SaltFlags.shift
                | (record.isImported ? Flags.imported : 0)
                | (record.isErased ? Flags.erased : 0)
                | (record.via == nil ? 0 : Flags.label) | (delay > 0 ? Flags.delay : 0))
        LEB128.append(record.about?.rawValue ?? 0, to: &bytes)
        if let label = record.via {
            bytes.append(counted: label)
        }
        if delay > 0 { LEB128.append(UInt64(delay), to: &bytes) }
        if !continues { append(record.salt) }
        bytes.append(counted: record.text)
        bytes.append(key == nil ? 0 : 1)
        if let key {
            LEB128.append(UInt64(bitPattern: key.recent.account), to: &bytes)
            LEB128.append(key.recent.time, to: &bytes)
            bytes.append(littleEndian: key.recent.hash)
            bytes.append(littleEndian: key.content)
        }
    }

    private mutating func append(_ salt: SaltSource) {
        switch salt {
        case .seed(let seed, let place):
            bytes.append(place)
            seed.append(to: &bytes)
        case .salt(let salt): salt.append(to: &bytes)
        case .erased(let digest): bytes += digest.bytes
        }
    }

    /// Decodes entries.
    /// - Throws: `FormatViolation` for anything that `append` does not write.
    static func decode(_ bytes: UnsafeRawBufferPointer, _ visit: (Entry) throws -> Void) throws {
        var reader = ByteReader(bytes)
        var context = Context()
        while !reader.isAtEnd {
            guard let entry = entry(&reader, &context) else { throw FormatViolation("a batch is cut short") }
            try visit(entry)
        }
    }

    /// The numbers that damaged entries seem to assign, as far as they can be decoded. They can't be trusted.
    static func seqs(inDamaged bytes: UnsafeRawBufferPointer) -> [(conversation: Int64, seq: Seq)] {
        var reader = ByteReader(bytes)
        var context = Context()
        var seqs: [(Int64, Seq)] = []
        while !reader.isAtEnd, let entry = entry(&reader, &context) {
            seqs.append((entry.conversation, entry.record.seq))
        }
        return seqs
    }

    /// The values that an entry takes from those before it.
    private struct Context {
        var time: Int64 = 0
        var sender: [UInt8] = []
        var nextSalts: [Int64: SaltSource] = [:]

        mutating func salt(_ form: UInt8, of conversation: Int64, _ reader: inout ByteReader) -> SaltSource? {
            let salt: SaltSource?
            switch form {
            case SaltFlags.continued: salt = nextSalts[conversation]
            case SaltFlags.seed:
                guard let place = reader.byte() else { return nil }
                salt = reader.identifier(SaltSeed.self).map { .seed($0, place: place) }
            case SaltFlags.salt: salt = reader.identifier(Salt.self).map { .salt($0) }
            default: salt = reader.digest().map { .erased($0) }
            }
            nextSalts[conversation] = salt?.next
            return salt
        }
    }

    /// The next entry; nil if the bytes are malformed.
    private static func entry(_ reader: inout ByteReader, _ context: inout Context) -> Entry? {
        guard let conversation = reader.leb128(), let seq = reader.leb128(), let difference = reader.leb128(),
            let commit = reader.leb128(), let sender = reader.countedBytes(), let kind = reader.byte(),
            let flags = reader.byte(), flags & ~(Flags.known | SaltFlags.mask) == 0, let about = reader.leb128()
        else { return nil }
        context.time = context.time &+ LEB128.unzigzag(difference)
        // Most entries share the array of the one before.
        if !context.sender.elementsEqual(sender) { context.sender = Array(sender) }
        var label: [UInt8]?
        if flags & Flags.label != 0 {
            guard let bytes = reader.countedBytes() else { return nil }
            label = Array(bytes)
        }
        var written: Timestamp?
        if flags & Flags.delay != 0 {
            guard let delay = reader.leb128() else { return nil }
            written = Timestamp(milliseconds: context.time &- Int64(clamping: delay))
        }
        guard
            let salt = context.salt(
                (flags & SaltFlags.mask) >> SaltFlags.shift, of: Int64(bitPattern: conversation), &reader),
            let text = reader.countedBytes(), let hasKey = reader.byte(), hasKey <= 1
        else { return nil }
        var key: Key?
        if hasKey == 1 {
            guard let account = reader.leb128(), let time = reader.leb128(), let hash = reader.integer(UInt64.self),
                let content = reader.integer(UInt64.self)
            else { return nil }
            key = Key(
                recent: RecentKey(account: Int64(bitPattern: account), time: time, hash: hash), content: content)
        }
        let record = Record(
            seq: Seq(seq), time: Timestamp(milliseconds: context.time), sender: context.sender,
            text: Array(text)[...], kind: MessageKind(rawValue: kind), isImported: flags & Flags.imported != 0,
            about: about == 0 ? nil : Seq(about), via: label, written: written,
            isErased: flags & Flags.erased != 0, commit: Commit(commit), salt: salt)
        return Entry(conversation: Int64(bitPattern: conversation), record: record, key: key)
    }
}
