internal import NatterCrypto
internal import NatterLanguage
public import NatterModel
internal import NatterSystem

/// Names a dictionary by the first 16 bytes of the BLAKE2b-256 of its content; all zeros: none.
public struct DictionaryID: Identifier128 {
    public let high: UInt64
    public let low: UInt64
    public init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }

    public static let none = DictionaryID(high: 0, low: 0)

    init(high bytes: UnsafeRawBufferPointer, at offset: Int) {
        high = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
    }
}

/// Up to 64 KiB of earlier text, known to both who pack and who unpack: it makes a small block as good as a large one.
///
/// Without it no block that names it can be read, so it is a record of its own at the start of each segment, with its own
/// checksum, and the index keeps a second copy.
public struct LogDictionary: Sendable, Equatable {
    /// LZ4 looks back no further.
    public static let maximumBytes = 65_536
    public static let headerBytes = 40
    static let magic: [UInt8] = Array("NDIC".utf8)

    public let id: DictionaryID
    public let bytes: [UInt8]

    public static let none = LogDictionary()

    private init() { (id, bytes) = (.none, []) }

    /// - Parameter bytes: 1 to 65,536; more are cut from the front. None at all gives `none`.
    public init(_ bytes: some Collection<UInt8>) {
        let kept = Array(bytes.suffix(LogDictionary.maximumBytes))
        self.bytes = kept
        id = kept.isEmpty ? .none : LogDictionary.id(of: kept)
    }

    private static func id(of bytes: [UInt8]) -> DictionaryID {
        Digest(of: bytes).withUnsafeBytes { DictionaryID(high: $0, at: 0) }
    }

    /// The record as it stands in a segment file and in an answer of sync: magic, codec, three zeros, raw length, stored
    /// length, id, CRC-32C of the stored bytes, CRC-32C of the 36 bytes before; then the stored bytes.
    public func encode() -> [UInt8] {
        let packed = LZ4.compress(bytes, dictionary: [], level: LZ4.bestLevel)
        let stored = packed ?? bytes
        var record = LogDictionary.magic
        record += [packed == nil ? 0 : 1, 0, 0, 0]
        record.append(littleEndian: UInt32(truncatingIfNeeded: bytes.count))
        record.append(littleEndian: UInt32(truncatingIfNeeded: stored.count))
        record += id.bytes
        record.append(littleEndian: Checksum.crc32c(stored))
        record.append(littleEndian: Checksum.crc32c(record))
        return record + stored
    }

    /// How long the record is that begins with these 40 bytes.
    public static func recordLength(header bytes: UnsafeRawBufferPointer) throws(FormatViolation) -> Int {
        guard bytes.count >= headerBytes, bytes.starts(with: magic) else {
            throw FormatViolation("there is no dictionary here")
        }
        let checked = UnsafeRawBufferPointer(rebasing: bytes[..<36])
        guard Checksum.crc32c(checked) == UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 36, as: UInt32.self))
        else { throw FormatViolation("the checksum of a dictionary's header differs") }
        let raw = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
        let stored = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self)))
        guard bytes[4] <= 1, bytes[5] == 0, bytes[6] == 0, bytes[7] == 0, raw > 0, raw <= maximumBytes, stored > 0,
            bytes[4] == 1 ? stored < raw : stored == raw
        else { throw FormatViolation("a dictionary's lengths are out of range") }
        return headerBytes + stored
    }

    /// Reads a whole record.
    public init(decoding record: UnsafeRawBufferPointer) throws(FormatViolation) {
        let length = try LogDictionary.recordLength(header: record)
        guard record.count == length else { throw FormatViolation("a dictionary is cut short") }
        let raw = Int(UInt32(littleEndian: record.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
        let stored = UnsafeRawBufferPointer(rebasing: record[LogDictionary.headerBytes...])
        guard
            Checksum.crc32c(stored) == UInt32(littleEndian: record.loadUnaligned(fromByteOffset: 32, as: UInt32.self))
        else { throw FormatViolation("the checksum of a dictionary differs") }
        if record[4] == 1 {
            guard let unpacked = LZ4.decompress(stored, rawLength: raw, dictionary: []) else {
                throw FormatViolation("a dictionary does not unpack")
            }
            bytes = unpacked
        } else {
            bytes = Array(stored)
        }
        id = DictionaryID(high: record, at: 16)
        guard id == LogDictionary.id(of: bytes) else { throw FormatViolation("a dictionary is not what its id says") }
    }
}
