public import NatterModel
public import NatterSystem

/// One log file of one conversation: a header, an optional dictionary, then blocks without gaps. It is append-only.
public final class Segment: Sendable {
    /// A writer begins a new file when one has this size.
    public static let maximumBytes: UInt64 = 8 << 20

    public let header: SegmentHeader
    public let dictionary: LogDictionary
    /// The offset of the first block.
    public let bodyOffset: UInt64
    public let file: any DiskFile
    public var path: String { file.path }

    private init(header: SegmentHeader, dictionary: LogDictionary, bodyOffset: UInt64, file: any DiskFile) {
        (self.header, self.dictionary, self.bodyOffset, self.file) = (header, dictionary, bodyOffset, file)
    }

    /// `logs/<2 hex>/<conversation id>/<first seq, 16 hex>-<generation, 4 hex>.log`, below the data directory. Files
    /// with the same first seq have different generations. This happens if the first file is damaged.
    public static func name(of conversation: ConversationID, firstSeq: Seq, generation: Int) -> String {
        let generation = Hex.encode([UInt8(truncatingIfNeeded: generation >> 8), UInt8(truncatingIfNeeded: generation)])
        return "\(directory(of: conversation))/\(Hex.encode(firstSeq.rawValue))-\(generation).log"
    }

    /// Whether an unreadable file is the segment that begins with `seq`, torn before its first block. Then it is not longer than
    /// what is synced before that block is written.
    public static func isBegun(_ path: String, on disk: any Disk, with seq: Seq) throws(DiskError) -> Bool {
        guard Path.name(of: path).hasPrefix(Hex.encode(seq.rawValue) + "-") else { return false }
        let longest = SegmentHeader.maximumBytes + LogDictionary.headerBytes + LogDictionary.maximumBytes
        return try disk.information(path)?.size ?? 0 <= UInt64(longest)
    }

    /// The arguments of `name(of:firstSeq:generation:)` that made this name; nil for another name.
    public static func parts(
        ofName name: String
    ) -> (conversation: ConversationID, firstSeq: Seq, generation: Int)? {
        let parts = name.split(separator: "/")
        guard parts.count == 4, let conversation = ConversationID(hex: parts[2]),
            let firstSeq = UInt64(parts[3].prefix(16), radix: 16),
            let generation = Int(parts[3].dropFirst(17).prefix(4), radix: 16),
            Segment.name(of: conversation, firstSeq: Seq(firstSeq), generation: generation) == name
        else { return nil }
        return (conversation, Seq(firstSeq), generation)
    }

    public static func directory(of conversation: ConversationID) -> String {
        let id = conversation.description
        return "logs/\(id.prefix(2))/\(id)"
    }

    /// Creates a file with header and dictionary. The file and its directories are durable when this returns.
    public static func create(
        at path: String, header: SegmentHeader, dictionary: LogDictionary, on disk: any Disk
    ) throws(LogError) -> Segment {
        precondition(header.dictionary == dictionary.id, "the header names the dictionary that follows")
        do throws(DiskError) {
            let directory = Path.directory(of: path)
            try disk.makeDirectories(directory)
            let file = try disk.open(path, .create)
            let bytes = header.encode() + dictionary.record
            do throws(DiskError) {
                try file.write(bytes, at: 0)
                try file.sync()
                try disk.syncDirectory(directory)
            } catch {
                // Nothing refers to the file yet, and each retry would leave another one. Its removal must be durable
                // too: after a clean shutdown, the next start does not look for files that a power loss restored.
                try? disk.remove(path)
                try? disk.syncDirectory(directory)
                throw error
            }
            return Segment(header: header, dictionary: dictionary, bodyOffset: UInt64(bytes.count), file: file)
        } catch {
            throw .disk(error)
        }
    }

    /// Opens a file and checks header and dictionary.
    ///
    /// - Parameter spare: the index's copy of the dictionary, in case the file's own is damaged.
    public static func open(
        at path: String, on disk: any Disk, mode: OpenMode = .read, spare: LogDictionary? = nil
    ) throws(LogError) -> Segment {
        let file: any DiskFile
        let start: [UInt8]
        do throws(DiskError) {
            file = try disk.open(path, mode)
            start = try file.read(count: SegmentHeader.maximumBytes, at: 0)
        } catch {
            throw .disk(error)
        }
        let (header, length) = try start.withUnsafeBytesTyped { bytes throws(LogError) in
            try SegmentHeader.decode(bytes, path: path)
        }
        guard header.dictionary != .none else {
            return Segment(header: header, dictionary: .none, bodyOffset: UInt64(length), file: file)
        }
        let offset = UInt64(length)
        let recordHeader = try Segment.read(file, count: LogDictionary.headerBytes, at: offset)
        do throws(FormatViolation) {
            let recordLength: Int
            do throws(FormatViolation) {
                recordLength = try recordHeader.withUnsafeBytesTyped { bytes throws(FormatViolation) in
                    try LogDictionary.recordLength(header: bytes)
                }
            } catch {
                // A damaged record does not contain its length, but the record of the copy has the same length.
                guard let spare, spare.id == header.dictionary else { throw error }
                recordLength = spare.record.count
            }
            let body = offset + UInt64(recordLength)
            if let spare, spare.id == header.dictionary {
                return Segment(header: header, dictionary: spare, bodyOffset: body, file: file)
            }
            let record: [UInt8]
            do throws(LogError) { record = try Segment.read(file, count: recordLength, at: offset) } catch {
                throw FormatViolation("a dictionary cannot be read")
            }
            let dictionary = try record.withUnsafeBytesTyped { bytes throws(FormatViolation) in
                try LogDictionary(decoding: bytes)
            }
            guard dictionary.id == header.dictionary else {
                throw FormatViolation("the dictionary is not the one that the header names")
            }
            return Segment(header: header, dictionary: dictionary, bodyOffset: body, file: file)
        } catch {
            throw .damaged(path: path, offset: offset, reason: error.reason)
        }
    }

    /// Writes blocks one after the other from `offset`. They are durable only after `sync`.
    /// - Returns: the offset of the next block.
    public func append(_ blocks: [Block], at offset: UInt64) throws(LogError) -> UInt64 {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(blocks.reduce(0) { $0 + $1.header.totalLength })
        for block in blocks {
            bytes += block.header.encode()
            bytes += block.stored
        }
        do throws(DiskError) { try file.write(bytes, at: offset) } catch { throw .disk(error) }
        return offset + UInt64(bytes.count)
    }

    /// Replaces the header of a block in a file that has no reader yet. The block keeps its content but gets another
    /// place in the conversation.
    public func replaceHeader(_ header: BlockHeader, at offset: UInt64) throws(LogError) {
        do throws(DiskError) { try file.write(header.encode(), at: offset) } catch { throw .disk(error) }
    }

    /// Replaces the file's header by one of the same length.
    public func replaceHeader(_ header: SegmentHeader) throws(LogError) {
        let bytes = header.encode()
        precondition(bytes.count == self.header.encode().count, "the new header has another length")
        do throws(DiskError) { try file.write(bytes, at: 0) } catch { throw .disk(error) }
    }

    public func sync() throws(LogError) {
        do throws(DiskError) { try file.sync() } catch { throw .disk(error) }
    }

    /// Reads the block at `offset`. Checks that it is whole, that it belongs to this conversation, and that it begins with
    /// `firstSeq`.
    ///
    /// - Parameter length: the length of header and stored bytes according to the index; nil to rely on the header.
    public func block(at offset: UInt64, length: Int? = nil, firstSeq: Seq? = nil) throws(LogError) -> Block {
        let bytes = try Segment.read(
            file,
            count: length.map { max(0, min($0, BlockHeader.byteCount + BlockHeader.maximumRawLength)) }
                ?? BlockHeader.byteCount,
            at: offset)
        do throws(FormatViolation) {
            let header = try BlockHeader(decoding: bytes)
            guard !header.isProvisional else { throw FormatViolation("a provisional block is in a file") }
            guard header.conversationPrefix == self.header.conversation.high else {
                throw FormatViolation("a block of another conversation is in the file")
            }
            guard header.firstSeq == firstSeq ?? header.firstSeq, header.totalLength == length ?? header.totalLength
            else {
                throw FormatViolation("a block is not the one that the index names")
            }
            var stored = Array(bytes[BlockHeader.byteCount...])
            if length == nil {
                do throws(LogError) {
                    stored = try Segment.read(
                        file, count: header.storedLength, at: offset + UInt64(BlockHeader.byteCount))
                } catch {
                    throw FormatViolation("a block cannot be read")
                }
            }
            let block = Block(header: header, stored: stored)
            try block.checkStored()
            return block
        } catch {
            throw .damaged(path: path, offset: offset, reason: error.reason)
        }
    }

    private static func read(_ file: any DiskFile, count: Int, at offset: UInt64) throws(LogError) -> [UInt8] {
        do throws(DiskError) { return try file.read(count: max(0, count), at: offset) } catch { throw .disk(error) }
    }
}
