public import NatterSystem
public import NatterModel

/// The header of a block. The block's compressed bytes follow it.
///
/// On disk it has 160 bytes. Integers are little-endian; times are milliseconds since 1970. See natter-log(5).
///
///     offset  size  field
///     ------  ----  -----------------------------------------------------------
///          0     4  magic "NBLK"
///          4     1  codec: 0 raw, 1 LZ4
///          5     1  flags: bit 0 provisional, bit 1 some messages are about others
///          6     2  count of messages
///          8     8  first seq
///         16     4  revision
///         20     4  length of the columns before compression
///         24     4  length of the stored bytes
///         28     4  CRC-32C of the stored bytes
///         32     8  base time, from which the column of times counts
///         40     8  lowest time
///         48     8  highest time
///         56     8  first half of the conversation's id
///         64    16  dictionary's id, most significant byte first
///         80    32  hash chain before the first message
///        112    32  hash chain after the last message
///        144     8  commit of the last message
///        152     4  reserved, zero
///        156     4  CRC-32C of the 156 bytes above
public struct BlockHeader: Equatable, Sendable {
    public static let byteCount = 160
    public static let maximumCount = 65_535
    public static let maximumRawLength = 1 << 20
    static let magic: [UInt8] = Array("NBLK".utf8)
    private static let provisionalFlag: UInt8 = 1
    private static let relationsFlag: UInt8 = 2
    /// LZ4 can't decompress n bytes to more than 255 n + 64.
    private static let (expansion, expansionRest) = (255, 64)

    public enum Codec: UInt8, Sendable {
        case raw = 0
        case lz4 = 1
    }

    public var codec: Codec
    /// Whether the block was made from a tail for one answer to one reader. A log file with such a block is damaged.
    public var isProvisional: Bool
    /// 1...65,535 messages.
    public var count: Int
    public var firstSeq: Seq
    /// 0 when the block is first written, one more each time its content is rewritten because text was erased.
    public var revision: UInt32
    public var rawLength: Int
    public var storedLength: Int
    /// CRC-32C of the stored bytes.
    public var storedChecksum: UInt32
    public var baseTime: Timestamp
    public var lowestTime: Timestamp
    public var highestTime: Timestamp
    /// The first half of the conversation's id. It reveals a misdirected write.
    public var conversationPrefix: UInt64
    /// The dictionary that the bytes were compressed with.
    public var dictionary: DictionaryID
    public var hashBefore: Digest
    public var hashAfter: Digest
    /// The commit of the last message.
    public var lastCommit: Commit
    /// Whether some messages are about others. So a reader who keeps an index of them need not open every block.
    public var hasRelations = false

    public var lastSeq: Seq { firstSeq.advanced(by: count - 1) }
    /// The length of header and stored bytes together.
    public var totalLength: Int { BlockHeader.byteCount + storedLength }

    public func encode() -> [UInt8] {
        var bytes = BlockHeader.magic
        bytes.reserveCapacity(BlockHeader.byteCount)
        bytes.append(codec.rawValue)
        bytes.append(
            (isProvisional ? BlockHeader.provisionalFlag : 0) | (hasRelations ? BlockHeader.relationsFlag : 0))
        bytes.append(littleEndian: UInt16(truncatingIfNeeded: count))
        bytes.append(littleEndian: firstSeq.rawValue)
        bytes.append(littleEndian: revision)
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: rawLength))
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: storedLength))
        bytes.append(littleEndian: storedChecksum)
        bytes.append(littleEndian: baseTime.milliseconds)
        bytes.append(littleEndian: lowestTime.milliseconds)
        bytes.append(littleEndian: highestTime.milliseconds)
        bytes.append(littleEndian: conversationPrefix)
        bytes += dictionary.bytes
        bytes += hashBefore.bytes
        bytes += hashAfter.bytes
        bytes.append(littleEndian: lastCommit.rawValue)
        bytes.append(littleEndian: UInt32(0))
        bytes.appendChecksum()
        return bytes
    }
}

// In an extension, so that the structure keeps its memberwise initializer.
extension BlockHeader {
    /// Decodes the header at the start of `bytes`.
    public init(decoding bytes: [UInt8]) throws(FormatViolation) {
        self = try bytes.withUnsafeBytesTyped { bytes throws(FormatViolation) in try BlockHeader(decoding: bytes) }
    }

    /// Decodes a header. Checks each rule of the format before any field is used.
    ///
    /// - Parameter bytes: at least 160.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(FormatViolation) {
        let cutShort = FormatViolation("a block's header is cut short")
        let bytes = bytes.first(BlockHeader.byteCount)
        guard bytes.count == BlockHeader.byteCount else { throw cutShort }
        guard bytes.starts(with: BlockHeader.magic) else { throw FormatViolation("there is no block here") }
        guard bytes.checked != nil else { throw FormatViolation("the checksum of a block's header differs") }

        var fields = HeaderFields(bytes, cutShort: cutShort)
        _ = try fields.bytes(BlockHeader.magic.count)
        let codecNumber = try fields.integer(UInt8.self)
        guard let codec = Codec(rawValue: codecNumber) else { throw FormatViolation("codec \(codecNumber) is unknown") }
        let flags = try fields.integer(UInt8.self)
        self.init(
            codec: codec,
            isProvisional: flags & BlockHeader.provisionalFlag != 0,
            count: Int(try fields.integer(UInt16.self)),
            firstSeq: Seq(try fields.integer(UInt64.self)),
            revision: try fields.integer(UInt32.self),
            rawLength: Int(try fields.integer(UInt32.self)),
            storedLength: Int(try fields.integer(UInt32.self)),
            storedChecksum: try fields.integer(UInt32.self),
            baseTime: Timestamp(milliseconds: try fields.integer(Int64.self)),
            lowestTime: Timestamp(milliseconds: try fields.integer(Int64.self)),
            highestTime: Timestamp(milliseconds: try fields.integer(Int64.self)),
            conversationPrefix: try fields.integer(UInt64.self),
            dictionary: try fields.identifier(DictionaryID.self),
            hashBefore: try fields.digest(),
            hashAfter: try fields.digest(),
            lastCommit: Commit(try fields.integer(UInt64.self)),
            hasRelations: flags & BlockHeader.relationsFlag != 0)
        let reserved = try fields.integer(UInt32.self)
        guard flags & ~(BlockHeader.provisionalFlag | BlockHeader.relationsFlag) == 0, reserved == 0 else {
            throw FormatViolation("a block has unknown flags")
        }
        try checkRanges()
    }

    private func checkRanges() throws(FormatViolation) {
        guard count > 0, firstSeq > .zero, firstSeq.rawValue <= UInt64.max - UInt64(count) else {
            throw FormatViolation("a block's seqs are out of range")
        }
        // The bound on rawLength refuses a false length before memory is allocated for it.
        guard rawLength > 0, rawLength <= BlockHeader.maximumRawLength, storedLength > 0,
            rawLength <= BlockHeader.expansion * storedLength + BlockHeader.expansionRest,
            codec == .lz4 ? storedLength < rawLength : storedLength == rawLength
        else { throw FormatViolation("a block's lengths are out of range") }
        guard lowestTime <= highestTime else { throw FormatViolation("a block's times are out of order") }
    }
}
