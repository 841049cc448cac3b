public import NatterCrypto
public import NatterLanguage
public import NatterModel
internal import NatterSystem

/// A block as it was found in a file: where, and what its header says.
public struct BlockPlace: Sendable, Equatable {
    public let offset: UInt64
    public let header: BlockHeader

    public init(offset: UInt64, header: BlockHeader) { (self.offset, self.header) = (offset, header) }
    public var end: UInt64 { offset + UInt64(header.totalLength) }
}

/// How the bytes of a file end, from some offset on.
public enum SegmentEnd: Sendable, Equatable {
    /// The last block ends with the file.
    case clean
    /// What follows the last block is the beginning of another, or nothing but zeros: a write that a crash cut short.
    case torn(offset: UInt64, length: UInt64)
    /// What follows is neither: somebody wrote over it, or bits fell.
    case damaged(offset: UInt64, length: UInt64, reason: Phrase)
}

extension Segment {
    /// Reads block after block from `offset` on, each checked as far as its checksums go and as the valid successor of
    /// the one before: seq follows seq, hash follows hash.
    ///
    /// - Parameters:
    ///   - expectedSeq: what the first of them must begin with.
    ///   - expectedHash: the chain before it, where that is known.
    ///   - visit: gets each block; false stops the scan.
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

    /// Whether the rest of the file looks like a write that did not finish: a header with a part of what it promises, a
    /// part of a header, or zeros (the size of a file may reach the disk before its content).
    private func isTorn(from offset: UInt64, size: UInt64) -> Bool {
        let length = Int(clamping: min(size - offset, UInt64(BlockHeader.byteCount + BlockHeader.maximumRawLength)))
        guard let bytes = try? file.read(count: length, at: offset) else { return false }
        if bytes.allSatisfy({ $0 == 0 }) {
            // No write is longer than a file may be, so more zeros than that have another cause. (And whoever moves them
            // aside holds them in memory.)
            return size - offset <= Segment.maximumBytes && isZeros(from: offset + UInt64(length), to: size)
        }
        guard size - offset == UInt64(length) else { return false }
        if bytes.count < BlockHeader.byteCount { return zip(bytes, BlockHeader.magic).allSatisfy { $0 == $1 } }
        let header = try? bytes.withUnsafeBytesTyped { bytes throws(FormatViolation) in
            try BlockHeader(decoding: bytes)
        }
        guard let header else { return false }
        // All of it there and yet wrong: a torn write leaves zeros where pages did not arrive.
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

    /// The offset of the next thing after `offset` that is a whole, valid block header; for a scan past damage.
    public func nextBlock(after offset: UInt64) throws(LogError) -> BlockPlace? {
        do throws(DiskError) {
            let size = try file.size()
            var position = offset + 1
            while position + UInt64(BlockHeader.byteCount) <= size {
                let chunk = try file.read(count: 1 << 20, at: position)
                var index = 0
                while index + BlockHeader.byteCount <= chunk.count {
                    if chunk[index] == BlockHeader.magic[0], chunk[index...].starts(with: BlockHeader.magic),
                        let header = try? chunk.withUnsafeBytesTyped({ bytes throws(FormatViolation) in
                            try BlockHeader(decoding: UnsafeRawBufferPointer(rebasing: bytes[index...]))
                        }), header.conversationPrefix == self.header.conversation.high
                    {
                        return BlockPlace(offset: position + UInt64(index), header: header)
                    }
                    index += 1
                }
                position += UInt64(max(1, chunk.count - BlockHeader.byteCount + 1))
            }
            return nil
        } catch {
            throw .disk(error)
        }
    }
}
