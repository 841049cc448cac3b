public import NatterSystem

/// Reads a write-ahead log without SQLite, to find damage that SQLite interprets as the end of the log.
///
/// SQLite ends a log at the first frame whose checksum differs, because a crash leaves such frames. But every commit is
/// synced before the next begins, and each frame's checksum continues that of the frame before. So a frame behind the
/// bad one may continue the checksum of a frame that ends a commit. Then that commit was acknowledged, and SQLite would
/// drop it silently. Remains of unfinished commits never continue such a checksum.
///
/// - SeeAlso: "WAL-mode File Format", sqlite.org/walformat.html.
public enum WALScan {
    private static let headerBytes = 32
    private static let frameHeaderBytes = 24

    /// The offset of the first damaged frame.
    ///
    /// - Parameter file: no process may write to it meanwhile.
    /// - Returns: nil if SQLite reads everything that was acknowledged, as far as the log can tell. Damage in the last
    ///   commit only looks like an unfinished commit. A damaged header looks like a log that was about to start over.
    public static func damage(of file: any DiskFile) throws(DiskError) -> UInt64? {
        let size = try file.size()
        guard size >= UInt64(headerBytes) else { return nil }
        let header = try file.read(count: headerBytes, at: 0)
        guard header.count == headerBytes else { return nil }
        let pageSize = Int(word(header, at: 8))
        let magic = word(header, at: 0)
        guard magic & ~1 == 0x377F_0682, pageSize >= 512, pageSize <= 65_536, pageSize & (pageSize - 1) == 0 else {
            return nil
        }
        var sum = Sum(isBigEndian: magic & 1 == 1)
        sum.add(header[..<24])
        guard sum.isEqual(to: header[24..<32]) else { return nil }
        let salt = header[16..<24]
        let frameBytes = UInt64(frameHeaderBytes + pageSize)
        var offset = UInt64(headerBytes)
        while offset + frameBytes <= size {
            let frame = try file.read(count: Int(frameBytes), at: offset)
            guard frame.count == Int(frameBytes), frame[8..<16].elementsEqual(salt) else { break }
            sum.add(frame[..<8])
            sum.add(frame[frameHeaderBytes...])
            guard sum.isEqual(to: frame[16..<24]) else { break }
            offset += frameBytes
        }
        let isAcknowledged = try hasWholeCommit(
            from: offset, frameBytes, salt, file, size, isBigEndian: magic & 1 == 1)
        return isAcknowledged ? offset : nil
    }

    /// True if a frame at or after an offset continues the checksum of a frame that ends a commit. Frames of the
    /// previous log have another salt.
    private static func hasWholeCommit(
        from start: UInt64, _ frameBytes: UInt64, _ salt: ArraySlice<UInt8>, _ file: any DiskFile, _ size: UInt64,
        isBigEndian: Bool
    ) throws(DiskError) -> Bool {
        var former: (sum: ArraySlice<UInt8>, endsCommit: Bool)?
        var offset = start
        while offset + frameBytes <= size {
            let frame = try file.read(count: Int(frameBytes), at: offset)
            guard frame.count == Int(frameBytes) else { break }
            offset += frameBytes
            guard frame[8..<16].elementsEqual(salt) else {
                former = nil
                continue
            }
            if let former, former.endsCommit {
                var sum = Sum(isBigEndian: isBigEndian, continuing: former.sum)
                sum.add(frame[..<8])
                sum.add(frame[frameHeaderBytes...])
                if sum.isEqual(to: frame[16..<24]) { return true }
            }
            former = (frame[16..<24], word(frame, at: 4) != 0)
        }
        return false
    }

    private static func word(_ bytes: [UInt8], at index: Int) -> UInt32 {
        bytes[index..<index + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// The running checksum of a log.
    private struct Sum {
        let isBigEndian: Bool
        private var first: UInt32 = 0
        private var second: UInt32 = 0

        init(isBigEndian: Bool) { self.isBigEndian = isBigEndian }

        /// - Parameter stored: the checksum in a frame.
        init(isBigEndian: Bool, continuing stored: ArraySlice<UInt8>) {
            self.isBigEndian = isBigEndian
            first = stored.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
            second = stored.dropFirst(4).reduce(0) { $0 << 8 | UInt32($1) }
        }

        /// - Parameter bytes: their length must be a multiple of eight.
        mutating func add(_ bytes: ArraySlice<UInt8>) {
            bytes.withUnsafeBytes { bytes in
                for offset in stride(from: 0, to: bytes.count - 7, by: 8) {
                    first &+= word(bytes, offset) &+ second
                    second &+= word(bytes, offset + 4) &+ first
                }
            }
        }

        private func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt32 {
            let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            return isBigEndian ? UInt32(bigEndian: word) : UInt32(littleEndian: word)
        }

        /// Stored sums are big-endian in either case.
        func isEqual(to stored: ArraySlice<UInt8>) -> Bool {
            let value = stored.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return value == UInt64(first) << 32 | UInt64(second)
        }
    }
}
