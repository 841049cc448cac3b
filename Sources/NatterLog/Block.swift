public import NatterCrypto
internal import NatterLanguage
public import NatterModel
internal import NatterSystem

/// Messages of one conversation, packed together; immutable once written.
public struct Block: Sendable {
    /// How many bytes of columns a block aims at. Larger gains little with a dictionary, and a page needs a whole block.
    public static let targetRawBytes = 64 << 10

    private static let leastBytesToPackLightly = 1_024

    public let header: BlockHeader
    /// What follows the header on disk.
    public let stored: [UInt8]

    public init(header: BlockHeader, stored: [UInt8]) { (self.header, self.stored) = (header, stored) }

    /// How hard to try.
    public enum Effort: Sendable {
        /// For a log: packed once, read for years.
        case best
        /// For a log while more waits to be sealed than the best effort keeps up with.
        case brisk
        /// For one answer over the network.
        case light

        var level: Int32 {
            switch self {
            // One below LZ4's highest, which takes a quarter longer for a byte in a hundred messages.
            case .best: 11
            case .brisk: 9
            case .light: 3
            }
        }
    }

    /// Packs the records at `range` (1 to 65,535 of them, at most 1 MiB of columns).
    ///
    /// - Parameters:
    ///   - hashBefore: the chain before the first of them.
    ///   - hashAfter: the chain after the last, where it is known; else it is computed.
    public init(
        sealing records: Records, _ range: Range<Int>? = nil, of conversation: ConversationID, hashBefore: Digest,
        hashAfter: Digest? = nil, dictionary: LogDictionary, isProvisional: Bool = false, effort: Effort = .best
    ) {
        let range = range ?? 0..<records.count
        precondition(!range.isEmpty && range.count <= BlockHeader.maximumCount, "a block holds 1 to 65,535 messages")
        let baseTime = records.rows[range.lowerBound].time
        let raw = BlockPayload.encode(records, range, baseTime: baseTime)
        precondition(raw.count <= BlockHeader.maximumRawLength, "a block's columns take at most 1 MiB")
        // What goes to one reader and is small costs more to pack than to send.
        let isWorthPacking = effort != .light || raw.count >= Block.leastBytesToPackLightly
        let packed =
            isWorthPacking ? LZ4.compress(raw, dictionary: dictionary.bytes, level: effort.level) : nil
        stored = packed ?? raw
        let times = records.rows[range].lazy.map(\.time)
        header = BlockHeader(
            codec: packed == nil ? .raw : .lz4, isProvisional: isProvisional, count: range.count,
            firstSeq: records.firstSeq.advanced(by: range.lowerBound), revision: 0, rawLength: raw.count,
            storedLength: stored.count, storedChecksum: Checksum.crc32c(stored),
            baseTime: Timestamp(milliseconds: baseTime),
            lowestTime: Timestamp(milliseconds: times.min() ?? baseTime),
            highestTime: Timestamp(milliseconds: times.max() ?? baseTime), conversation: conversation,
            dictionary: packed == nil ? .none : dictionary.id, hashBefore: hashBefore,
            hashAfter: hashAfter ?? HashChain.advance(hashBefore, over: records, range),
            lastCommit: Commit(records.rows[range.upperBound - 1].commit))
    }

    /// Header and stored bytes, as they stand in a file and in an answer.
    public var bytes: [UInt8] { header.encode() + stored }

    /// Checks the stored bytes against the header's checksum; does not unpack.
    public func checkStored() throws(FormatViolation) {
        guard stored.count == header.storedLength, Checksum.crc32c(stored) == header.storedChecksum else {
            throw FormatViolation("the checksum of a block differs")
        }
    }

    /// Unpacks and checks everything but the hash chain.
    ///
    /// - Parameter dictionary: the one that the header names.
    public func open(with dictionary: LogDictionary) throws(FormatViolation) -> Records {
        try checkStored()
        guard header.dictionary == .none || header.dictionary == dictionary.id else {
            throw FormatViolation("a block's dictionary is missing")
        }
        let raw: [UInt8]
        switch header.codec {
        case .raw: raw = stored
        case .lz4:
            let bytes = header.dictionary == .none ? [] : dictionary.bytes
            guard
                let unpacked = stored.withUnsafeBytes({
                    LZ4.decompress($0, rawLength: header.rawLength, dictionary: bytes)
                })
            else { throw FormatViolation("a block does not unpack") }
            raw = unpacked
        }
        let known = header
        let result: Result<Records, FormatViolation> = raw.withUnsafeBytes { raw in
            do throws(FormatViolation) { return .success(try BlockPayload.decode(raw, header: known)) } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Unpacks and checks everything, the hash chain included.
    public func verify(with dictionary: LogDictionary) throws(FormatViolation) -> Records {
        let records = try open(with: dictionary)
        guard HashChain.advance(header.hashBefore, over: records) == header.hashAfter else {
            throw FormatViolation("the hash chain of a block differs")
        }
        return records
    }
}
