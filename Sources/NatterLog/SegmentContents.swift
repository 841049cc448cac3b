internal import NatterSystem

/// The content of a log file, found from its bytes alone, even if it is damaged. Repair and rebuilding an index use
/// it.
///
/// A normal reader follows the index and stops at the first unexpected byte. This type reads the whole file and takes
/// every whole block, in any order.
public struct SegmentContents: Sendable {
    public let bytes: [UInt8]
    /// nil if it can't be read.
    public let header: SegmentHeader?
    /// The file's own dictionary; nil if the file should have one that can't be read.
    public let dictionary: LogDictionary?
    /// The offset of the first block, as far as the bytes show it.
    public let bodyOffset: Int
    /// Whole blocks of any conversation, with valid checksums of header and stored bytes.
    public let blocks: [BlockPlace]
    /// Ranges after the header that belong to no block, in ascending order.
    public let loose: [Range<Int>]

    public init(_ bytes: [UInt8], path: String) {
        self.bytes = bytes
        var header: SegmentHeader?
        var dictionary: LogDictionary?
        var start = 0
        bytes.withUnsafeBytes { raw in
            if let (found, length) = try? SegmentHeader.decode(raw, path: path) { (header, start) = (found, length) }
            if header != nil, header?.dictionary == DictionaryID.none {
                dictionary = LogDictionary.none
            } else if let (found, end) = SegmentContents.dictionary(in: raw, from: start) {
                if header == nil || header?.dictionary == found?.id { dictionary = found }
                start = end
            }
        }
        (self.header, self.dictionary, bodyOffset) = (header, dictionary, start)
        (blocks, loose) = SegmentContents.blocks(in: bytes, from: start)
    }

    public func block(_ place: BlockPlace) -> Block {
        let start = Int(place.offset) + BlockHeader.byteCount
        return Block(header: place.header, stored: Array(bytes[start..<start + place.header.storedLength]))
    }

    /// Finds the dictionary's record at `start`. If the file's header can't be read, the record begins somewhere
    /// behind it.
    /// - Returns: nil if there is no record; a nil dictionary if only the record's header is whole.
    private static func dictionary(
        in bytes: UnsafeRawBufferPointer, from start: Int
    ) -> (dictionary: LogDictionary?, end: Int)? {
        for offset in start...(start > 0 ? start : SegmentHeader.maximumBytes) {
            guard offset + LogDictionary.headerBytes <= bytes.count else { return nil }
            let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
            guard let length = try? LogDictionary.recordLength(header: rest) else { continue }
            guard length <= rest.count else { return nil }
            let record = UnsafeRawBufferPointer(rebasing: rest[..<length])
            return (try? LogDictionary(decoding: record), offset + length)
        }
        return nil
    }

    private static func blocks(in bytes: [UInt8], from start: Int) -> (blocks: [BlockPlace], loose: [Range<Int>]) {
        var blocks: [BlockPlace] = []
        var loose: [Range<Int>] = []
        bytes.withUnsafeBytes { raw in
            var offset = start
            while offset < raw.count {
                if let header = block(in: raw, at: offset) {
                    blocks.append(BlockPlace(offset: UInt64(offset), header: header))
                    offset += header.totalLength
                    continue
                }
                let next = nextMagic(in: raw, after: offset)
                if loose.last?.upperBound == offset, let last = loose.popLast() {
                    loose.append(last.lowerBound..<next)
                } else {
                    loose.append(offset..<next)
                }
                offset = next
            }
        }
        return (blocks, loose)
    }

    private static func block(in bytes: UnsafeRawBufferPointer, at offset: Int) -> BlockHeader? {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
        guard let header = try? BlockHeader(decoding: rest), !header.isProvisional, header.totalLength <= rest.count
        else { return nil }
        let stored = UnsafeRawBufferPointer(rebasing: rest[BlockHeader.byteCount..<header.totalLength])
        return Checksum.crc32c(stored) == header.storedChecksum ? header : nil
    }

    /// The offset of the next possible block.
    static func nextMagic(in bytes: UnsafeRawBufferPointer, after offset: Int) -> Int {
        var index = offset + 1
        let magic = BlockHeader.magic
        while index + magic.count <= bytes.count {
            if bytes[index] == magic[0], UnsafeRawBufferPointer(rebasing: bytes[index...]).starts(with: magic) {
                return index
            }
            index += 1
        }
        return bytes.count
    }
}
