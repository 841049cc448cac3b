public import NatterCrypto
internal import NatterLanguage
public import NatterLog
public import NatterModel
public import NatterSystem

/// Recovers the end of one conversation's log after a crash between writing a log file and recording it in the index.
///
/// Blocks are adopted if they are the valid next ones and hold the messages that were acknowledged. The caller knows those:
/// on a server they are in the journal, on a client in the rows of the tail. The caller also decides about bytes that are no
/// such block; `quarantine` keeps them.
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

    /// What was found behind the recorded end of a file.
    public struct Found {
        /// The file, with its size behind the last adopted block.
        public var row: SegmentRow
        /// The adopted blocks, in order. They are durable.
        public var blocks: [BlockRow] = []
        /// The hash chain after them.
        public var hashAfter: Digest?
        /// The adopted blocks are followed by a valid one that holds other messages than were acknowledged.
        public var isForeign = false
        /// What follows the adopted blocks; `.clean` if they are followed by a foreign one.
        public var end = SegmentEnd.clean
    }

    /// Opens a file that no row names, if it is the one that comes next.
    ///
    /// - Parameters:
    ///   - seq: the first message that is in no recorded block; `hash` the chain before it, if it is known.
    /// - Returns: the open file and its new row; nil if it does not follow.
    public func openUnrecorded(
        _ path: String, generation: Int?, seq: Seq, hash: Digest?, number: Int64
    ) throws(LogError) -> (segment: Segment, row: SegmentRow)? {
        let segment = try Segment.open(at: path, on: disk, mode: .readWrite)
        guard segment.header.store == store, segment.header.conversation == conversation,
            segment.header.firstSeq == seq, segment.header.hashBefore == hash ?? segment.header.hashBefore,
            let generation
        else { return nil }
        let row = SegmentRow(
            conversation: number, firstSeq: seq, generation: generation, size: segment.bodyOffset,
            dictionary: segment.dictionary.id, isClosed: false)
        return (segment, row)
    }

    /// Finds the valid blocks behind the recorded end of a file and makes them durable.
    ///
    /// - Parameters:
    ///   - row: the file as recorded, or as `openUnrecorded` gives it.
    ///   - isRecorded: the index has the file already, so that its beginning is durable.
    ///   - holdsAcknowledged: whether the messages of a block are those that were acknowledged; asked once for each block.
    public func adopt(
        _ segment: Segment, _ row: SegmentRow, isRecorded: Bool, seq: Seq, hash: Digest?,
        holdsAcknowledged: (BlockHeader, Records) -> Bool
    ) throws -> Found {
        var found = Found(row: row, hashAfter: hash)
        found.end = try segment.scan(from: row.size, expectedSeq: seq, expectedHash: hash) { place, block in
            // All of a block must be readable before the other copy of its messages may go.
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
        // The other copy of these messages goes, and new blocks follow in this file. Neither may happen before what a killed
        // process wrote is on the disk.
        if !isRecorded || !found.blocks.isEmpty {
            try disk.makeDurable(segment.path, (isRecorded ? row.size : 0)..<found.row.size)
        }
        return found
    }
}
