public import NatterCrypto
internal import NatterLanguage
public import NatterModel
internal import NatterSystem

/// What stands before a block's compressed bytes; 160 bytes, little-endian. natter-log(5) has the table.
public struct BlockHeader: Equatable, Sendable {
    public static let byteCount = 160
    public static let maximumCount = 65_535
    public static let maximumRawLength = 1 << 20
    /// "NBLK": where a scan past damage finds its feet again.
    static let magic: [UInt8] = Array("NBLK".utf8)

    public enum Codec: UInt8, Sendable {
        case raw = 0
        case lz4 = 1
    }

    public var codec: Codec
    /// Made for one answer to one reader out of a tail; a log file that holds such a block is damaged.
    public var isProvisional: Bool
    /// 1...65,535 messages.
    public var count: Int
    public var firstSeq: Seq
    /// 0 as first written; one more each time the block's content was rewritten (text erased).
    public var revision: UInt32
    public var rawLength: Int
    public var storedLength: Int
    /// CRC-32C of the stored bytes.
    public var storedChecksum: UInt32
    public var baseTime: Timestamp
    public var lowestTime: Timestamp
    public var highestTime: Timestamp
    /// The first half of the conversation's id, so that a misdirected write shows.
    public var conversationPrefix: UInt64
    /// The dictionary that the bytes were compressed with.
    public var dictionary: DictionaryID
    public var hashBefore: Digest
    public var hashAfter: Digest
    /// The commit of the last message.
    public var lastCommit: Commit

    public var lastSeq: Seq { firstSeq.advanced(by: count - 1) }
    /// Header and stored bytes together.
    public var totalLength: Int { BlockHeader.byteCount + storedLength }

    public func encode() -> [UInt8] {
        var bytes = BlockHeader.magic
        bytes.reserveCapacity(BlockHeader.byteCount)
        bytes.append(codec.rawValue)
        bytes.append(isProvisional ? 1 : 0)
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
        bytes.append(littleEndian: Checksum.crc32c(bytes))
        return bytes
    }

    /// Reads a header and checks each of its rules; nothing that it says is used before.
    ///
    /// - Parameter bytes: at least 160.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(FormatViolation) {
        guard bytes.count >= BlockHeader.byteCount else { throw FormatViolation("a block's header is cut short") }
        let bytes = UnsafeRawBufferPointer(rebasing: bytes[..<BlockHeader.byteCount])
        guard bytes.starts(with: BlockHeader.magic) else { throw FormatViolation("there is no block here") }
        let checked = UnsafeRawBufferPointer(rebasing: bytes[..<(BlockHeader.byteCount - 4)])
        guard Checksum.crc32c(checked) == BlockHeader.load(bytes, at: 156, UInt32.self) else {
            throw FormatViolation("the checksum of a block's header differs")
        }
        guard let codec = Codec(rawValue: bytes[4]) else { throw FormatViolation("codec \(bytes[4]) is unknown") }
        guard bytes[5] & ~1 == 0, BlockHeader.load(bytes, at: 152, UInt32.self) == 0 else {
            throw FormatViolation("a block has unknown flags")
        }
        self.codec = codec
        isProvisional = bytes[5] == 1
        count = Int(BlockHeader.load(bytes, at: 6, UInt16.self))
        firstSeq = Seq(BlockHeader.load(bytes, at: 8, UInt64.self))
        revision = BlockHeader.load(bytes, at: 16, UInt32.self)
        rawLength = Int(BlockHeader.load(bytes, at: 20, UInt32.self))
        storedLength = Int(BlockHeader.load(bytes, at: 24, UInt32.self))
        storedChecksum = BlockHeader.load(bytes, at: 28, UInt32.self)
        baseTime = Timestamp(milliseconds: BlockHeader.load(bytes, at: 32, Int64.self))
        lowestTime = Timestamp(milliseconds: BlockHeader.load(bytes, at: 40, Int64.self))
        highestTime = Timestamp(milliseconds: BlockHeader.load(bytes, at: 48, Int64.self))
        conversationPrefix = BlockHeader.load(bytes, at: 56, UInt64.self)
        dictionary = DictionaryID(high: bytes, at: 64)
        guard let before = Digest(bytes: UnsafeRawBufferPointer(rebasing: bytes[80..<112])),
            let after = Digest(bytes: UnsafeRawBufferPointer(rebasing: bytes[112..<144]))
        else { throw FormatViolation("a block's header is cut short") }
        hashBefore = before
        hashAfter = after
        lastCommit = Commit(BlockHeader.load(bytes, at: 144, UInt64.self))

        guard count > 0, firstSeq > .zero, firstSeq.rawValue <= UInt64.max - UInt64(count) else {
            throw FormatViolation("a block's seqs are out of range")
        }
        // An LZ4 block can't unpack to more than 255 times its length, so a false length is refused before any memory is
        // taken for it.
        guard rawLength > 0, rawLength <= BlockHeader.maximumRawLength, storedLength > 0,
            rawLength <= 255 * storedLength + 64,
            codec == .lz4 ? storedLength < rawLength : storedLength == rawLength
        else { throw FormatViolation("a block's lengths are out of range") }
        guard lowestTime <= highestTime else { throw FormatViolation("a block's times are out of order") }
    }

    init(
        codec: Codec, isProvisional: Bool, count: Int, firstSeq: Seq, revision: UInt32, rawLength: Int,
        storedLength: Int, storedChecksum: UInt32, baseTime: Timestamp, lowestTime: Timestamp, highestTime: Timestamp,
        conversation: ConversationID, dictionary: DictionaryID, hashBefore: Digest, hashAfter: Digest,
        lastCommit: Commit
    ) {
        (self.codec, self.isProvisional, self.count, self.firstSeq) = (codec, isProvisional, count, firstSeq)
        (self.revision, self.rawLength, self.storedLength) = (revision, rawLength, storedLength)
        (self.storedChecksum, self.baseTime) = (storedChecksum, baseTime)
        (self.lowestTime, self.highestTime) = (lowestTime, highestTime)
        (conversationPrefix, self.dictionary) = (conversation.high, dictionary)
        (self.hashBefore, self.hashAfter, self.lastCommit) = (hashBefore, hashAfter, lastCommit)
    }

    private static func load<Value: FixedWidthInteger>(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, _: Value.Type
    ) -> Value { Value(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Value.self)) }
}
