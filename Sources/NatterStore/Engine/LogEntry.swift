internal import NatterSystem
internal import NatterModel
internal import NatterLog

/// A place in an engine's log: the number of entries before it and the hash chain over them. Two stores at the same
/// place have seen the same entries.
struct LogPlace: Equatable, Sendable {
    var number: UInt64
    /// BLAKE2b of the previous chain and the entry's bytes. Zero if the engine is not shared and keeps no chain.
    var chain: Digest

    static let start = LogPlace(number: 0, chain: .zero)

    func after(_ data: [UInt8]) -> LogPlace {
        LogPlace(number: number &+ 1, chain: Digest(of: chain.bytes + data))
    }
}

/// One batch on its way into the log: changes, then new messages.
struct LogEntry: Sendable {
    /// The store that proposed the entry and the number of its attempt. A store recognizes its own entry by it when
    /// the answer was lost.
    struct Author: Hashable, Sendable {
        var node: UInt64
        var attempt: UInt64
    }

    /// The end of the log as the author saw it. The log accepts the entry only at this place.
    var before: LogPlace
    var author: Author
    var commit: Commit
    var changes: [Change]
    var messages: SealedBatch
    /// Tails that are already in the log, written again so that the log's front can be trimmed.
    var movedTails: SealedBatch
    /// Known of an entry that was decoded.
    private var reached: LogPlace?
    /// The place after the entry.
    var end: LogPlace { reached ?? before.after(encode()) }

    /// Bytes that the entry adds to the uncompressed journal.
    var journalBytes: Int { messages.rawByteCount + movedTails.rawByteCount }

    private static let version: UInt8 = 1

    /// The bytes of the entry in a shared log: version, commit, number of changes, changes, both batches with their
    /// lengths, and CRC-32C over all of it. Place and author are stored beside them.
    func encode() -> [UInt8] {
        var bytes: [UInt8] = [LogEntry.version]
        LEB128.append(commit.rawValue, to: &bytes)
        LEB128.append(UInt64(changes.count), to: &bytes)
        for change in changes { change.encode(to: &bytes) }
        for batch in [messages, movedTails] {
            bytes.append(counted: batch.bytes)
        }
        bytes.appendChecksum()
        return bytes
    }

    /// Decodes an entry.
    /// - Throws: `FormatViolation` for anything that `encode` does not write.
    init(decoding data: [UInt8], before: LogPlace, author: Author) throws {
        self.before = before
        self.author = author
        reached = before.after(data)
        (commit, changes, messages, movedTails) = try data.withUnsafeBytes { bytes in
            guard bytes.count > Checksum.byteCount else {
                throw FormatViolation("an entry of the log is cut short")
            }
            guard let body = bytes.checked else {
                throw FormatViolation("the checksum of an entry of the log differs")
            }
            var reader = ByteReader(body)
            guard reader.byte() == LogEntry.version else {
                throw FormatViolation("an entry of the log has an unknown version", isNewer: true)
            }
            // An import has a change for each reply, so only the bytes limit how many there are: each takes one at least.
            guard let commit = reader.leb128(), let count = reader.leb128(), count <= UInt64(reader.remaining)
            else { throw FormatViolation("an entry of the log is cut short") }
            var changes: [Change] = []
            for _ in 0..<Int(count) { changes.append(try Change.decode(&reader)) }
            let messages = try LogEntry.batch(&reader)
            let movedTails = try LogEntry.batch(&reader)
            guard reader.isAtEnd else { throw FormatViolation("an entry of the log is too long") }
            return (Commit(commit), changes, messages, movedTails)
        }
    }

    init(
        before: LogPlace, author: Author, commit: Commit, changes: [Change], messages: SealedBatch = .empty,
        movedTails: SealedBatch = .empty
    ) {
        (self.before, self.author, self.commit) = (before, author, commit)
        (self.changes, self.messages, self.movedTails) = (changes, messages, movedTails)
    }

    private static func batch(_ reader: inout ByteReader) throws -> SealedBatch {
        guard let data = reader.countedBytes() else {
            throw FormatViolation("an entry of the log is cut short")
        }
        return data.isEmpty ? .empty : try SealedBatch(checking: data)
    }
}
