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
        guard let whole = try wholeFrames(of: file) else { return nil }
        return try hasWholeCommit(behind: whole, file) ? whole.end : nil
    }

    /// The frames from the beginning that are whole.
    private struct WholeFrames {
        /// The numbers of the pages that commits have written.
        var pages: Set<UInt32> = []
        var end = UInt64(headerBytes)
        let frameBytes: UInt64
        let salt: ArraySlice<UInt8>
        let isBigEndian: Bool
    }

    /// The numbers of the pages, from 1, that SQLite reads from the log and not from the database.
    static func pages(in file: any DiskFile) throws(DiskError) -> Set<UInt32> { try wholeFrames(of: file)?.pages ?? [] }

    private static func wholeFrames(of file: any DiskFile) throws(DiskError) -> WholeFrames? {
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
        var whole = WholeFrames(
            frameBytes: UInt64(frameHeaderBytes + pageSize), salt: header[16..<24], isBigEndian: magic & 1 == 1)
        var uncommitted: [UInt32] = []
        while whole.end + whole.frameBytes <= size {
            let frame = try file.read(count: Int(whole.frameBytes), at: whole.end)
            guard frame.count == Int(whole.frameBytes), frame[8..<16].elementsEqual(whole.salt) else { break }
            sum.add(frame[..<8])
            sum.add(frame[frameHeaderBytes...])
            guard sum.isEqual(to: frame[16..<24]) else { break }
            whole.end += whole.frameBytes
            uncommitted.append(word(frame, at: 0))
            if endsCommit(frame) {
                whole.pages.formUnion(uncommitted)
                uncommitted = []
            }
        }
        return whole
    }

    private static func endsCommit(_ frame: [UInt8]) -> Bool { word(frame, at: 4) != 0 }

    /// True if a frame behind those continues the checksum of a frame that ends a commit. Frames of the
    /// previous log have another salt.
    private static func hasWholeCommit(behind whole: WholeFrames, _ file: any DiskFile) throws(DiskError) -> Bool {
        let size = try file.size()
        var former: (sum: ArraySlice<UInt8>, endsCommit: Bool)?
        var offset = whole.end
        while offset + whole.frameBytes <= size {
            let frame = try file.read(count: Int(whole.frameBytes), at: offset)
            guard frame.count == Int(whole.frameBytes) else { break }
            offset += whole.frameBytes
            guard frame[8..<16].elementsEqual(whole.salt) else {
                former = nil
                continue
            }
            if let former, former.endsCommit {
                var sum = Sum(isBigEndian: whole.isBigEndian, continuing: former.sum)
                sum.add(frame[..<8])
                sum.add(frame[frameHeaderBytes...])
                if sum.isEqual(to: frame[16..<24]) { return true }
            }
            former = (frame[16..<24], endsCommit(frame))
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
