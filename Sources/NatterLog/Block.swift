public import NatterSystem
public import NatterModel

/// Messages of one conversation, compressed together. A block never changes once it is written. Erasing writes it again, with
/// the next revision, into another file.
public struct Block: Sendable {
    /// About how many bytes of columns a block has. With a dictionary, larger blocks gain little, and a reader of one
    /// page must decompress the whole block.
    public static let targetRawBytes = 64 << 10

    private static let leastBytesToPackLightly = 1_024

    public let header: BlockHeader
    /// The bytes behind the header on disk.
    public let stored: [UInt8]

    public init(header: BlockHeader, stored: [UInt8]) { (self.header, self.stored) = (header, stored) }

    /// How much time compression may take.
    public enum Effort: Sendable {
        /// For a log, which is compressed once and read for years.
        case best
        /// For a log while the sealer has a backlog.
        case brisk
        /// For one answer over the network.
        case light

        var level: Int32 {
            switch self {
            // The next level takes nearly twice as long and saves one byte in a hundred messages.
            case .best: 10
            case .brisk: 9
            case .light: 3
            }
        }
    }

    /// Compresses the records at `range`: 1 to 65,535 of them, with at most 1 MiB of columns. `Records.blockCount` tells how many
    /// fit, whatever they hold.
    ///
    /// - Parameters:
    ///   - hashBefore: the hash chain before the first record.
    ///   - hashAfter: the hash chain after the last record; computed if nil.
    ///   - revision: how often the block was written again because text was erased.
    /// - Throws: if they do not fit into one block.
    public init(
        sealing records: Records, _ range: Range<Int>? = nil, of conversation: ConversationID, hashBefore: Digest,
        hashAfter: Digest? = nil, dictionary: LogDictionary, isProvisional: Bool = false, revision: UInt32 = 0,
        effort: Effort = .best
    ) throws(FormatViolation) {
        let range = range ?? 0..<records.count
        guard !range.isEmpty, range.count <= BlockHeader.maximumCount else {
            throw FormatViolation("a block holds 1 to 65,535 messages")
        }
        let baseTime = records.rows[range.lowerBound].time
        // A reader who has the commit of each new message could tell when others write, also where only they can read.
        let raw = BlockPayload.encode(records, range, baseTime: baseTime, hidesCommits: isProvisional)
        guard raw.count <= BlockHeader.maximumRawLength else {
            throw FormatViolation("a block's columns take at most 1 MiB")
        }
        // For one reader, compressing a small block costs more than sending it uncompressed.
        let isWorthPacking = effort != .light || raw.count >= Block.leastBytesToPackLightly
        let packed =
            isWorthPacking ? LZ4.compress(raw, dictionary: dictionary.bytes, level: effort.level) : nil
        stored = packed ?? raw
        let times = records.rows[range].lazy.map(\.time)
        header = BlockHeader(
            codec: packed == nil ? .raw : .lz4, isProvisional: isProvisional, count: range.count,
            firstSeq: records.firstSeq.advanced(by: range.lowerBound), revision: revision, rawLength: raw.count,
            storedLength: stored.count, storedChecksum: Checksum.crc32c(stored),
            baseTime: Timestamp(milliseconds: baseTime),
            lowestTime: Timestamp(milliseconds: times.min() ?? baseTime),
            highestTime: Timestamp(milliseconds: times.max() ?? baseTime), conversationPrefix: conversation.high,
            dictionary: packed == nil ? .none : dictionary.id, hashBefore: hashBefore,
            hashAfter: hashAfter ?? HashChain.advance(hashBefore, over: records, range),
            lastCommit: isProvisional ? .zero : Commit(records.rows[range.upperBound - 1].commit),
            hasRelations: records.rows[range].contains { $0.about != 0 })
    }

    /// Header and stored bytes, as in a file and in a sync answer.
    public var bytes: [UInt8] { header.encode() + stored }

    /// Checks the stored bytes against the header's checksum without decompressing them.
    public func checkStored() throws(FormatViolation) {
        guard stored.count == header.storedLength, Checksum.crc32c(stored) == header.storedChecksum else {
            throw FormatViolation("the checksum of a block differs")
        }
    }

    /// Decompresses the block and checks everything except the hash chain.
    ///
    /// - Parameter dictionary: the dictionary that the header names.
    public func open(with dictionary: LogDictionary) throws(FormatViolation) -> Records {
        try checkStored()
        return try decode(unpack(with: dictionary))
    }

    /// The columns, or their beginning. Call `checkStored` first.
    func unpack(
        with dictionary: LogDictionary, upTo limit: Int = .max, in room: UnpackingRoom? = nil
    ) throws(FormatViolation) -> ArraySlice<UInt8> {
        guard header.dictionary == .none || header.dictionary == dictionary.id else {
            throw FormatViolation("a block's dictionary is missing")
        }
        switch header.codec {
        case .raw: return stored.prefix(limit)
        case .lz4:
            let dictionary = header.dictionary == .none ? LogDictionary.none : dictionary
            guard
                let unpacked = stored.withUnsafeBytes({
                    LZ4.decompress(
                        $0, rawLength: header.rawLength, dictionary: dictionary, upTo: limit, in: room)
                })
            else { throw FormatViolation("a block does not unpack") }
            return unpacked
        }
    }

    /// - Parameter isUTF8: whether its texts are known to be UTF-8, joined.
    func decode(_ raw: ArraySlice<UInt8>, isUTF8: Bool = false) throws(FormatViolation) -> Records {
        try raw.withUnsafeBufferPointer { raw throws(FormatViolation) in
            try BlockPayload.decode(UnsafeRawBufferPointer(raw), header: header, isUTF8: isUTF8)
        }
    }

    /// Decompresses the block and checks everything, including the hash chain.
    public func verify(with dictionary: LogDictionary) throws(FormatViolation) -> Records {
        let records = try open(with: dictionary)
        guard HashChain.advance(header.hashBefore, over: records) == header.hashAfter else {
            throw FormatViolation("the hash chain of a block differs")
        }
        return records
    }
}

extension Records {
    /// The records at `range`, sealed into blocks of about `Block.targetRawBytes`.
    ///
    /// - Parameter knownHash: the hash chain after the record at an index; nil if it must be computed.
    public func blocks(
        _ range: Range<Int>, of conversation: ConversationID, hashBefore: Digest,
        knownHash: (Int) -> Digest? = { _ in nil }, dictionary: LogDictionary, isProvisional: Bool = false,
        effort: Block.Effort = .best
    ) throws(FormatViolation) -> [Block] {
        var (blocks, start, hash): ([Block], Int, Digest) = ([], range.lowerBound, hashBefore)
        while start < range.upperBound {
            let end = min(range.upperBound, start + blockCount(from: start))
            let block = try Block(
                sealing: self, start..<end, of: conversation, hashBefore: hash, hashAfter: knownHash(end - 1),
                dictionary: dictionary, isProvisional: isProvisional, effort: effort)
            blocks.append(block)
            (start, hash) = (end, block.header.hashAfter)
        }
        return blocks
    }
}
