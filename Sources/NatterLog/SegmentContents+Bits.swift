public import NatterSystem

extension SegmentContents {
    /// Bits that were flipped, in ascending order: at most one of the file's header, one of each block's header, and one of what each
    /// block stores. A block that is whole again is one whose messages give the hash that its header names.
    ///
    /// Those of a file whose header or dictionary can't be read are found when these can.
    public func flippedBits(path: String) -> [FlippedBit] {
        var found: [FlippedBit] = []
        if header == nil {
            let start = Array(bytes.prefix(SegmentHeader.maximumBytes))
            let bit = FlippedBit(in: start) { bytes in
                bytes.withUnsafeBytes { (try? SegmentHeader.decode($0, path: path)) != nil }
            }
            if let bit { found.append(bit) }
        }
        for range in loose {
            var offset = range.lowerBound
            while offset < range.upperBound {
                guard let (bits, length) = mended(at: offset) else {
                    offset = bytes.withUnsafeBytes { SegmentContents.nextMagic(in: $0, after: offset) }
                    continue
                }
                found += bits
                offset += length
            }
        }
        return found
    }

    /// The flipped bits of the block at `offset`, and its length; nil if it can't be mended.
    private func mended(at offset: Int) -> (bits: [FlippedBit], length: Int)? {
        guard offset + BlockHeader.byteCount <= bytes.count else { return nil }
        var bits: [FlippedBit] = []
        var head = Array(bytes[offset..<offset + BlockHeader.byteCount])
        if (try? BlockHeader(decoding: head)) == nil {
            guard let bit = FlippedBit(in: head, isWhole: { (try? BlockHeader(decoding: $0)) != nil }) else {
                return nil
            }
            bit.flip(in: &head)
            bits.append(bit.behind(UInt64(offset)))
        }
        guard let header = try? BlockHeader(decoding: head), !header.isProvisional,
            offset + header.totalLength <= bytes.count
        else { return nil }
        let start = offset + BlockHeader.byteCount
        var stored = Array(bytes[start..<offset + header.totalLength])
        let difference = Checksum.crc32c(stored) ^ header.storedChecksum
        if difference != 0 {
            guard let bit = FlippedBit(in: stored.count, changing: difference) else { return nil }
            bit.flip(in: &stored)
            bits.append(bit.behind(UInt64(start)))
        }
        guard let dictionary = header.dictionary == .none ? LogDictionary.none : dictionary,
            (try? Block(header: header, stored: stored).verify(with: dictionary)) != nil
        else { return nil }
        return (bits, header.totalLength)
    }
}
