internal import NatterModel
internal import NatterLog
internal import NatterSystem

/// A finished batch: the value of one row of the journal.
///
/// A whole batch is one row. Rows for each message, keyed by conversation, would touch a page each: for 100 messages
/// in 5,000 conversations, 635 KiB of WAL instead of 21 KiB.
///
/// Layout: a version byte, the entries, and CRC-32C over all of it, because a SQLite page has no checksum of its own.
/// Version 3 has the entries as `Batch` lays them out. Version 4 has their length (LEB128) and then an LZ4 block of them.
struct SealedBatch {
    /// Empty for an empty batch, which is not written.
    let bytes: [UInt8]

    private enum Version {
        static let (plain, compressed): (UInt8, UInt8) = (3, 4)
    }

    /// Fewer bytes are left as they are: not much can be saved, and single messages should not pay for the attempt.
    private static let compressedFrom = 512

    static let empty = SealedBatch(Batch())

    var isEmpty: Bool { bytes.isEmpty }

    /// The length of the entries before compression, which is about what they take in memory.
    var rawByteCount: Int { bytes.withUnsafeBytes { SealedBatch.rawByteCount(prefix: $0, of: $0.count) } }

    /// How many bytes of a row's value say how long its entries are.
    static let prefixCount = 1 + LEB128.maximumBytes

    /// The length of a row's entries before compression.
    /// - Parameters:
    ///   - prefix: the first `prefixCount` bytes of the row's value, or more.
    ///   - count: the length of the whole value.
    static func rawByteCount(prefix: UnsafeRawBufferPointer, of count: Int) -> Int {
        var reader = ByteReader(prefix)
        guard reader.byte() == Version.compressed, let length = reader.leb128() else { return max(0, count - 5) }
        return min(Int(clamping: length), count * LZ4.highestRatio)
    }

    init(_ batch: Batch) {
        guard !batch.isEmpty else {
            bytes = []
            return
        }
        var sealed: [UInt8] = []
        let entries = batch.bytes
        if entries.count >= SealedBatch.compressedFrom, let packed = LZ4.compressFast(entries) {
            sealed.reserveCapacity(packed.count + 16)
            sealed.append(Version.compressed)
            LEB128.append(UInt64(entries.count), to: &sealed)
            sealed += packed
        } else {
            sealed.reserveCapacity(1 + entries.count + Checksum.byteCount)
            sealed.append(Version.plain)
            sealed += entries
        }
        sealed.appendChecksum()
        bytes = sealed
    }

    /// Takes a row's value.
    /// - Throws: `FormatViolation` if the checksum does not match.
    init(checking bytes: UnsafeRawBufferPointer) throws {
        _ = try SealedBatch.check(bytes)
        self.bytes = Array(bytes)
    }

    /// Visits the entries in order.
    func entries(_ visit: (Batch.Entry) throws -> Void) throws {
        if !isEmpty { try bytes.withUnsafeBytes { try SealedBatch.decode($0, visit) } }
    }

    /// Decodes a row's value.
    /// - Throws: `FormatViolation` for anything that was not written here.
    static func decode(_ bytes: UnsafeRawBufferPointer, _ visit: (Batch.Entry) throws -> Void) throws {
        let body = try check(bytes)
        guard body.first == Version.compressed else {
            return try Batch.decode(UnsafeRawBufferPointer(rebasing: body.dropFirst()), visit)
        }
        guard let entries = unpack(body) else { throw FormatViolation("a batch can't be decompressed") }
        try entries.withUnsafeBytes { try Batch.decode($0, visit) }
    }

    /// The numbers that a damaged value seems to assign, as far as it can be decoded. They can't be trusted.
    static func seqs(inDamaged bytes: UnsafeRawBufferPointer) -> [(conversation: Int64, seq: Seq)] {
        guard bytes.count > Checksum.byteCount else { return [] }
        let body = UnsafeRawBufferPointer(rebasing: bytes.dropLast(Checksum.byteCount))
        if body.first != Version.plain, let entries = unpack(body, isDamaged: true) {
            return entries.withUnsafeBytes { Batch.seqs(inDamaged: $0) }
        }
        return Batch.seqs(inDamaged: UnsafeRawBufferPointer(rebasing: body.dropFirst()))
    }

    private static func unpack(_ body: UnsafeRawBufferPointer, isDamaged: Bool = false) -> [UInt8]? {
        var reader = ByteReader(body)
        guard reader.byte() != nil, let length = reader.leb128(), let packed = reader.slice(reader.remaining) else {
            return nil
        }
        return LZ4.decompressFast(packed, rawLength: Int(clamping: length), isDamaged: isDamaged)
    }

    /// - Returns: the value without its checksum.
    private static func check(_ bytes: UnsafeRawBufferPointer) throws -> UnsafeRawBufferPointer {
        guard bytes.count > Checksum.byteCount else { throw FormatViolation("a batch is cut short") }
        guard let body = bytes.checked else { throw FormatViolation("the checksum of a batch differs") }
        guard body.first == Version.plain || body.first == Version.compressed else {
            throw FormatViolation("a batch has an unknown version", isNewer: true)
        }
        return body
    }
}
