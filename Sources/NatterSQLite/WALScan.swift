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
    private static let frameBytes = frameHeaderBytes + PageChecksums.pageBytes

    /// The offset of the first damaged frame.
    ///
    /// - Parameter file: no process may write to it meanwhile.
    /// - Returns: nil if SQLite reads everything that was acknowledged, as far as the log can tell. Damage of more than a bit in
    ///   the last commit looks like an unfinished commit, and in the header like that of a log that was begun and never synced.
    public static func damage(of file: any DiskFile) throws(DiskError) -> UInt64? {
        guard let whole = try wholeFrames(of: file) else { return try flippedBit(ofHeader: file) == nil ? nil : 0 }
        if try flippedBits(behind: whole, file).isEmpty, try !hasWholeCommit(behind: whole, file) { return nil }
        return whole.end
    }

    /// The flipped bit that keeps SQLite from reading further; nil if there is none, or if it can be one of several, and which it
    /// is matters.
    ///
    /// - Parameter file: no process may write to it meanwhile.
    public static func flippedBit(of file: any DiskFile) throws(DiskError) -> FlippedBit? {
        guard let whole = try wholeFrames(of: file) else { return try flippedBit(ofHeader: file) }
        let bits = try flippedBits(behind: whole, file)
        if bits.count > 1 {
            // The first eight bytes say which page it is.
            guard bits.allSatisfy({ $0.offset >= 8 }), try isWrittenAgain(behind: whole, file) else { return nil }
        }
        return bits.first?.behind(whole.end)
    }

    private static func flippedBit(ofHeader file: any DiskFile) throws(DiskError) -> FlippedBit? {
        let bytes = try file.read(count: headerBytes + frameBytes, at: 0)
        guard bytes.count == headerBytes + frameBytes else { return nil }
        let salt = bytes[headerBytes + 8..<headerBytes + 16]
        let bit = FlippedBit(in: Array(bytes[..<headerBytes])) { Header($0)?.salt.elementsEqual(salt) == true }
        // When a log starts over, its new header differs from the former one in its count of starts at first. All that was in the
        // log is in the database then.
        return bit.flatMap { (12..<16).contains($0.offset) ? nil : $0 }
    }

    /// The bits of the first frame that is not whole each of which makes it whole. Of the highest nine bits of a word, the
    /// checksum may tell several.
    private static func flippedBits(behind whole: WholeFrames, _ file: any DiskFile) throws(DiskError) -> [FlippedBit] {
        let frame = try file.read(count: frameBytes, at: whole.end)
        guard frame.count == frameBytes else { return [] }
        var sum = whole.sum
        sum.add(frame)
        if sum.isEqual(to: frame[16..<24]) {
            return FlippedBit(between: (whole.salt, frame[8..<16])).map { [$0.behind(8)] } ?? []
        }
        guard frame[8..<16].elementsEqual(whole.salt) else { return [] }
        let inSum = FlippedBit(between: (sum.stored, frame[16..<24])).map { [$0.behind(16)] } ?? []
        return inSum + sum.flippedBits(of: frame)
    }

    /// Whether a later commit has the page of the first frame that is not whole, so that nobody reads what it has there.
    private static func isWrittenAgain(behind whole: WholeFrames, _ file: any DiskFile) throws(DiskError) -> Bool {
        var former = try file.read(count: frameBytes, at: whole.end)
        guard former.count == frameBytes else { return false }
        let page = word(former, at: 0)
        var (offset, isFound) = (whole.end, false)
        while true {
            offset += UInt64(frameBytes)
            let frame = try file.read(count: frameBytes, at: offset)
            guard frame.count == frameBytes, frame[8..<16].elementsEqual(whole.salt) else { return false }
            var sum = Sum(isBigEndian: whole.sum.isBigEndian, continuing: former[16..<24])
            sum.add(frame)
            guard sum.isEqual(to: frame[16..<24]) else { return false }
            isFound = isFound || word(frame, at: 0) == page
            if isFound, endsCommit(frame) { return true }
            former = frame
        }
    }

    private struct Header {
        let salt: ArraySlice<UInt8>
        let sum: Sum

        /// - Returns: nil for anything else than the header of a log with the pages of natter's databases.
        init?(_ bytes: [UInt8]) {
            let magic = word(bytes, at: 0)
            guard magic & ~1 == 0x377F_0682, word(bytes, at: 4) == 3_007_000,
                Int(word(bytes, at: 8)) == PageChecksums.pageBytes
            else { return nil }
            var sum = Sum(isBigEndian: magic & 1 == 1)
            sum.add(words: bytes[..<24])
            guard sum.isEqual(to: bytes[24..<32]) else { return nil }
            (salt, self.sum) = (bytes[16..<24], sum)
        }
    }

    /// The frames from the beginning that are whole.
    private struct WholeFrames {
        /// The numbers of the pages that commits have written.
        var pages: Set<UInt32> = []
        var end = UInt64(headerBytes)
        let salt: ArraySlice<UInt8>
        /// The checksum up to here.
        var sum: Sum
    }

    /// The numbers of the pages, from 1, that SQLite reads from the log and not from the database.
    static func pages(in file: any DiskFile) throws(DiskError) -> Set<UInt32> { try wholeFrames(of: file)?.pages ?? [] }

    private static func wholeFrames(of file: any DiskFile) throws(DiskError) -> WholeFrames? {
        let bytes = try file.read(count: headerBytes, at: 0)
        guard bytes.count == headerBytes, let header = Header(bytes) else { return nil }
        var whole = WholeFrames(salt: header.salt, sum: header.sum)
        var uncommitted: [UInt32] = []
        while true {
            let frame = try file.read(count: frameBytes, at: whole.end)
            guard frame.count == frameBytes, frame[8..<16].elementsEqual(whole.salt) else { break }
            var sum = whole.sum
            sum.add(frame)
            guard sum.isEqual(to: frame[16..<24]) else { break }
            whole.sum = sum
            whole.end += UInt64(frameBytes)
            uncommitted.append(word(frame, at: 0))
            if endsCommit(frame) {
                whole.pages.formUnion(uncommitted)
                uncommitted = []
            }
        }
        return whole
    }

    private static func endsCommit(_ frame: [UInt8]) -> Bool { word(frame, at: 4) != 0 }

    /// True if a frame behind those continues the checksum of a frame that ends a commit. Frames of the previous log have another
    /// salt.
    private static func hasWholeCommit(behind whole: WholeFrames, _ file: any DiskFile) throws(DiskError) -> Bool {
        var former: [UInt8]?
        var offset = whole.end
        while true {
            let frame = try file.read(count: frameBytes, at: offset)
            guard frame.count == frameBytes else { return false }
            offset += UInt64(frameBytes)
            guard frame[8..<16].elementsEqual(whole.salt) else {
                former = nil
                continue
            }
            if let former, endsCommit(former) {
                var sum = Sum(isBigEndian: whole.sum.isBigEndian, continuing: former[16..<24])
                sum.add(frame)
                if sum.isEqual(to: frame[16..<24]) { return true }
            }
            former = frame
        }
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

        /// Adds what it covers of a frame: all but the salt and itself.
        mutating func add(_ frame: [UInt8]) {
            add(words: frame[..<8])
            add(words: frame[frameHeaderBytes...])
        }

        /// - Parameter bytes: their length must be a multiple of eight.
        mutating func add(words bytes: ArraySlice<UInt8>) {
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

        /// As a log has it: big-endian in either case.
        var stored: [UInt8] { withUnsafeBytes(of: (UInt64(first) << 32 | UInt64(second)).bigEndian) { Array($0) } }

        func isEqual(to stored: ArraySlice<UInt8>) -> Bool { stored.elementsEqual(self.stored) }

        /// The bits of a frame whose flip explains that its stored sum differs from this one.
        ///
        /// A flipped bit changes its word by a power of two, and both sums by multiples of it that depend only on how many words
        /// follow.
        func flippedBits(of frame: [UInt8]) -> [FlippedBit] {
            let stored = Sum(isBigEndian: isBigEndian, continuing: frame[16..<24])
            let change = (first &- stored.first, second &- stored.second)
            // By how much one more in the first, and in the second word of a pair, changes the sums: of the last pair at first.
            var effects: ((UInt32, UInt32), (UInt32, UInt32)) = ((1, 1), (0, 1))
            func withPairBehind(_ effect: (UInt32, UInt32)) -> (UInt32, UInt32) {
                (effect.0 &+ effect.1, effect.0 &+ effect.1 &+ effect.1)
            }
            let pairs = [0] + Array(stride(from: frameHeaderBytes, to: frame.count - 7, by: 8))
            var found: [FlippedBit] = []
            frame.withUnsafeBytes { bytes in
                for pair in pairs.reversed() {
                    for (start, effect) in [(pair, effects.0), (pair + 4, effects.1)] {
                        let word = word(bytes, start)
                        for bit in 0..<32 {
                            let value = UInt32(1) << UInt32(bit)
                            let added = word & value != 0 ? value : 0 &- value
                            guard added &* effect.0 == change.0, added &* effect.1 == change.1 else { continue }
                            let byte = start + (isBigEndian ? 3 - bit / 8 : bit / 8)
                            found.append(FlippedBit(offset: UInt64(byte), mask: 1 << UInt8(bit % 8)))
                        }
                    }
                    effects = (withPairBehind(effects.0), withPairBehind(effects.1))
                }
            }
            return found
        }
    }
}
