public import NatterSystem
public import NatterLog
public import NatterModel

/// Recovers the end of one conversation's log after a crash between writing a log file and recording it in the index.
///
/// A block is adopted if it is the valid next one and contains the acknowledged messages. The caller knows those from
/// the journal on a server, or from the tail's rows on a client. The caller also decides what happens to other bytes;
/// `Quarantine` can keep them.
public struct LogRecovery {
    let directory: String
    let store: StoreID
    let conversation: ConversationID
    let disk: any Disk
    public let quarantine: Quarantine

    public init(directory: String, store: StoreID, conversation: ConversationID, disk: any Disk) {
        (self.directory, self.store, self.conversation, self.disk) = (directory, store, conversation, disk)
        quarantine = Quarantine(root: directory, disk: disk)
    }

    /// The result of reading behind the recorded end of a file.
    public struct Found {
        /// The row of the file. Its size ends behind the last adopted block.
        public var row: SegmentRow
        /// The adopted blocks, in order. They are durable.
        public var blocks: [BlockRow] = []
        /// The hash chain after them.
        public var hashAfter: Digest?
        /// Whether the adopted blocks are followed by a valid one with other messages than the acknowledged ones.
        public var isForeign = false
        /// The bytes behind the adopted blocks; `.clean` if a foreign block follows.
        public var end = SegmentEnd.clean
    }

    /// Opens a file that no row names, if it is the next one.
    ///
    /// - Parameters:
    ///   - name: below the data directory.
    ///   - seq: the first message that is in no recorded block; `hash` is the chain before it, if known.
    /// - Returns: the open file and its new row; nil if it is not the next one.
    public func openUnrecorded(
        _ name: String, seq: Seq, hash: Digest?, number: Int64
    ) throws(LogError) -> (segment: Segment, row: SegmentRow)? {
        let segment = try Segment.open(at: directory + "/" + name, on: disk, mode: .readWrite)
        guard segment.header.store == store, segment.header.conversation == conversation,
            segment.header.firstSeq == seq, segment.header.hashBefore == hash ?? segment.header.hashBefore,
            let generation = segment.header.generation(ofName: name)
        else { return nil }
        let row = SegmentRow(
            conversation: number, firstSeq: seq, generation: generation, size: segment.bodyOffset,
            dictionary: segment.dictionary.id, isClosed: false)
        return (segment, row)
    }

    /// Finds the valid blocks behind the recorded end of a file and makes them durable.
    ///
    /// - Parameters:
    ///   - row: the row as recorded, or from `openUnrecorded`.
    ///   - isRecorded: whether the index already names the file, so that its beginning is durable.
    ///   - holdsAcknowledged: whether a block contains the acknowledged messages; called once for each block.
    public func adopt(
        _ segment: Segment, _ row: SegmentRow, isRecorded: Bool, seq: Seq, hash: Digest?,
        holdsAcknowledged: (BlockHeader, Records) -> Bool
    ) throws -> Found {
        var found = Found(row: row, hashAfter: hash)
        found.end = try segment.scan(from: row.size, expectedSeq: seq, expectedHash: hash) { place, block in
            // The whole block must be readable, because the other copy of its messages is deleted later.
            guard let records = try? block.verify(with: segment.dictionary), holdsAcknowledged(block.header, records)
            else {
                found.isForeign = true
                return false
            }
            found.blocks.append(BlockRow(place.header, at: place.offset, in: row))
            found.hashAfter = place.header.hashAfter
            found.row.size = place.end
            return true
        }
        // Later, the other copy of these messages is deleted and new blocks are appended to this file. Before that,
        // the bytes that a killed process wrote must be durable.
        if !isRecorded || !found.blocks.isEmpty {
            try disk.makeDurable(segment.path, (isRecorded ? row.size : 0)..<found.row.size)
        }
        return found
    }
}
