internal import NatterSystem
public import NatterModel

/// The first 16 bytes of the BLAKE2b-256 of a dictionary's content. All zeros mean no dictionary.
public struct DictionaryID: Identifier128 {
    public let high: UInt64
    public let low: UInt64
    public init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }

    public static let none = DictionaryID(high: 0, low: 0)
}

/// Up to 64 KiB of earlier text that both the compressor and the decompressor know. It makes small blocks as compact as large
/// ones.
///
/// A block cannot be read without the dictionary that it names. So the dictionary is a record of its own at the start of each
/// segment, with its own checksum, and the index keeps a second copy.
///
/// The record, in a segment file and in an answer of sync, little-endian:
///
///     offset  size  field
///     ------  ----  -----------------------------------------
///          0     4  magic "NDIC"
///          4     1  codec: 0 raw, 1 LZ4
///          5     3  reserved, zero
///          8     4  length of the content
///         12     4  length of the stored bytes
///         16    16  id, most significant byte first
///         32     4  CRC-32C of the stored bytes
///         36     4  CRC-32C of the 36 bytes above
///         40        stored bytes
public struct LogDictionary: Sendable, Equatable {
    /// LZ4 refers back at most this far.
    public static let maximumBytes = 65_536
    public static let headerBytes = 40
    static let magic: [UInt8] = Array("NDIC".utf8)

    public let id: DictionaryID
    public let bytes: [UInt8]
    /// As it is stored and sent. It is kept, because packing it takes milliseconds, and a dictionary is sent to each new reader.
    /// Empty if there is no dictionary.
    public let record: [UInt8]

    public static let none = LogDictionary()

    private init() { (id, bytes, record) = (.none, [], []) }

    /// - Parameter bytes: of more than 65,536 bytes, the last 65,536 are used. No bytes at all give `none`.
    public init(_ bytes: some Collection<UInt8>) {
        let kept = Array(bytes.suffix(LogDictionary.maximumBytes))
        self.bytes = kept
        id = kept.isEmpty ? .none : LogDictionary.id(of: kept)
        record = kept.isEmpty ? [] : LogDictionary.encode(kept, id)
    }

    private static func id(of bytes: [UInt8]) -> DictionaryID {
        // An array, as in `Hex.encode`.
        DictionaryID(bytes: Array(Digest(of: bytes).bytes.prefix(DictionaryID.byteCount))) ?? .none
    }

    private static func encode(_ bytes: [UInt8], _ id: DictionaryID) -> [UInt8] {
        let packed = LZ4.compress(bytes, dictionary: [], level: LZ4.bestLevel)
        let stored = packed ?? bytes
        let codec = packed == nil ? BlockHeader.Codec.raw : .lz4
        var record = LogDictionary.magic
        record += [codec.rawValue, 0, 0, 0]
        record.append(littleEndian: UInt32(truncatingIfNeeded: bytes.count))
        record.append(littleEndian: UInt32(truncatingIfNeeded: stored.count))
        record += id.bytes
        record.append(littleEndian: Checksum.crc32c(stored))
        record.appendChecksum()
        return record + stored
    }

    private struct Header {
        let codec: BlockHeader.Codec
        let rawLength: Int
        let storedLength: Int
        let id: DictionaryID
        let storedChecksum: UInt32

        init(decoding bytes: UnsafeRawBufferPointer) throws(FormatViolation) {
            let missing = FormatViolation("there is no dictionary here")
            let outOfRange = FormatViolation("a dictionary's lengths are out of range")
            let bytes = bytes.first(headerBytes)
            guard bytes.count == headerBytes, bytes.starts(with: magic) else { throw missing }
            guard bytes.checked != nil else {
                throw FormatViolation("the checksum of a dictionary's header differs")
            }
            var fields = HeaderFields(bytes, cutShort: missing)
            _ = try fields.bytes(magic.count)
            guard let codec = BlockHeader.Codec(rawValue: try fields.integer(UInt8.self)) else { throw outOfRange }
            let reserved = try fields.bytes(3)
            self.codec = codec
            rawLength = Int(try fields.integer(UInt32.self))
            storedLength = Int(try fields.integer(UInt32.self))
            id = try fields.identifier(DictionaryID.self)
            storedChecksum = try fields.integer(UInt32.self)
            guard reserved.allSatisfy({ $0 == 0 }), rawLength > 0, rawLength <= maximumBytes, storedLength > 0,
                codec == .lz4 ? storedLength < rawLength : storedLength == rawLength
            else { throw outOfRange }
        }
    }

    /// The length of the record that begins with these 40 bytes.
    public static func recordLength(header bytes: UnsafeRawBufferPointer) throws(FormatViolation) -> Int {
        headerBytes + (try Header(decoding: bytes)).storedLength
    }

    /// Decodes a whole record.
    public init(decoding record: UnsafeRawBufferPointer) throws(FormatViolation) {
        let header = try Header(decoding: record)
        guard record.count == LogDictionary.headerBytes + header.storedLength else {
            throw FormatViolation("a dictionary is cut short")
        }
        let stored = UnsafeRawBufferPointer(rebasing: record[LogDictionary.headerBytes...])
        guard Checksum.crc32c(stored) == header.storedChecksum else {
            throw FormatViolation("the checksum of a dictionary differs")
        }
        switch header.codec {
        case .raw: bytes = Array(stored)
        case .lz4:
            guard let unpacked = LZ4.decompress(stored, rawLength: header.rawLength, dictionary: .none) else {
                throw FormatViolation("a dictionary does not unpack")
            }
            bytes = Array(unpacked)
        }
        (id, self.record) = (header.id, Array(record))
        guard id == LogDictionary.id(of: bytes) else {
            throw FormatViolation("a dictionary's content does not match its id")
        }
    }
}
