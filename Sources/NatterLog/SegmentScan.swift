public import NatterSystem
public import NatterModel

/// A block that was found in a file: its offset and its header.
public struct BlockPlace: Sendable, Equatable {
    public let offset: UInt64
    public let header: BlockHeader

    public var end: UInt64 { offset + UInt64(header.totalLength) }
}

/// The end of a file.
public enum SegmentEnd: Sendable, Equatable {
    /// The file ends behind the last block.
    case clean
    /// Behind the last block is the beginning of another block, or only zeros: a torn write.
    case torn(offset: UInt64, length: UInt64)
    /// Behind the last block are other bytes, for example after bit rot or a foreign write.
    case damaged(offset: UInt64, length: UInt64, reason: Phrase)
}

extension Segment {
    /// Reads consecutive blocks from `offset`. Verifies their checksums, and that seqs and hash chain continue from
    /// block to block.
    ///
    /// - Parameters:
    ///   - expectedSeq: the first seq of the first block.
    ///   - expectedHash: the hash chain before it, if known.
    ///   - visit: gets each block; it returns false to stop the scan.
    /// - Returns: how the file ends.
    public func scan(
        from offset: UInt64, expectedSeq: Seq, expectedHash: Digest? = nil,
        _ visit: (BlockPlace, Block) throws -> Bool
    ) throws -> SegmentEnd {
        let size: UInt64
        do throws(DiskError) { size = try file.size() } catch { throw LogError.disk(error) }
        var offset = offset
        var seq = expectedSeq
        var hash = expectedHash
        while offset < size {
            let block: Block
            do throws(LogError) {
                block = try self.block(at: offset)
                guard block.header.firstSeq == seq, hash == nil || block.header.hashBefore == hash else {
                    throw .damaged(path: path, offset: offset, reason: "a block does not follow the one before it")
                }
            } catch {
                guard case .damaged(_, _, let reason) = error else { throw error }
                return isTorn(from: offset, size: size)
                    ? .torn(offset: offset, length: size - offset)
                    : .damaged(offset: offset, length: size - offset, reason: reason)
            }
            let place = BlockPlace(offset: offset, header: block.header)
            guard try visit(place, block) else { return .clean }
            offset = place.end
            seq = block.header.lastSeq.next
            hash = block.header.hashAfter
        }
        return .clean
    }

    /// Whether the rest of the file looks like a torn write: a header with a part of its bytes, a part of a header,
    /// or zeros. Zeros appear because a file's size may reach the disk before its content.
    private func isTorn(from offset: UInt64, size: UInt64) -> Bool {
        let length = Int(clamping: min(size - offset, UInt64(BlockHeader.byteCount + BlockHeader.maximumRawLength)))
        guard let bytes = try? file.read(count: length, at: offset) else { return false }
        if bytes.allSatisfy({ $0 == 0 }) {
            // No write is longer than the largest file, so more zeros have another cause. They would also use too
            // much memory in quarantine.
            return size - offset <= Segment.maximumBytes && isZeros(from: offset + UInt64(length), to: size)
        }
        guard size - offset == UInt64(length) else { return false }
        if bytes.count < BlockHeader.byteCount { return zip(bytes, BlockHeader.magic).allSatisfy { $0 == $1 } }
        let header = try? BlockHeader(decoding: bytes)
        guard let header else { return false }
        // The block is complete but wrong. A torn write leaves zeros in place of pages that did not reach the disk.
        return header.totalLength > bytes.count || bytes[BlockHeader.byteCount...].suffix(4_096).allSatisfy { $0 == 0 }
    }

    private func isZeros(from start: UInt64, to end: UInt64) -> Bool {
        var offset = start
        while offset < end {
            let count = Int(clamping: min(end - offset, 1 << 20))
            guard let bytes = try? file.read(count: count, at: offset), bytes.count == count,
                bytes.allSatisfy({ $0 == 0 })
            else { return false }
            offset += UInt64(count)
        }
        return true
    }
}
