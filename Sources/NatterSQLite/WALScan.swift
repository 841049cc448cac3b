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
        if try hasWholeCommit(behind: whole, file) { return whole.end }
        let frame = try file.read(count: frameBytes, at: whole.end)
        return try flippedBits(of: frame, behind: whole, isDamage: false, file).isEmpty ? nil : whole.end
    }

    /// The flipped bit that keeps SQLite from reading further; nil if there is none, or if nothing tells which it is.
    ///
    /// - Parameter file: no process may write to it meanwhile.
    static func flippedBit(of file: any DiskFile) throws(DiskError) -> FlippedBit? {
        guard let whole = try wholeFrames(of: file) else { return try flippedBit(ofHeader: file) }
        let frame = try file.read(count: frameBytes, at: whole.end)
        var bits = try flippedBits(of: frame, behind: whole, isDamage: hasWholeCommit(behind: whole, file), file)
        guard !bits.isEmpty else { return nil }
        let sum = whole.sum.adding(frame)
        let next = try file.read(count: frameBytes, at: whole.end + UInt64(frameBytes))
        // The next frame tells whether the stored sum is right, or the one of what stands there.
        let isFollowed = Sum(of: frame, sum.isBigEndian).isContinued(by: next)
        if isFollowed { bits.removeAll { (16..<24).contains($0.offset) } }
        if sum.isContinued(by: next) { bits.removeAll { !isInSum($0) } }
        guard let first = bits.first else { return nil }
        if isInSum(first) {
            // The four bytes that SQLite keeps free in each page may have made the difference as well, but nobody reads these.
            let isOnly = bits.dropFirst().allSatisfy { $0.offset >= frameBytes - PageChecksums.byteCount }
            return isOnly ? first.behind(whole.end) : nil
        }
        if sum.tellsWord(from: frame, inBytes: UInt64(frameBytes)) {
            return bits.count == 1 ? first.behind(whole.end) : nil
        }
        // Then it does not matter which of the words it is, if it is none of those that say which page this is.
        guard isFollowed, !sum.mayDifferInHeader(from: frame), try isWrittenAgain(behind: whole, frame, file) else {
            return nil
        }
        return first.behind(whole.end)
    }

    /// Whether a bit of a frame is one of the salt or of the stored sum.
    private static func isInSum(_ bit: FlippedBit) -> Bool { (8..<24).contains(bit.offset) }

    /// Flips bits back that keep SQLite from reading further.
    ///
    /// - Parameter file: no process may write to it meanwhile.
    @discardableResult
    public static func mendBits(of file: any DiskFile) throws(DiskError) -> [FlippedBit] {
        var mended: [FlippedBit] = []
        while let bit = try flippedBit(of: file) {
            try FlippedBit.flip([bit], in: file)
            mended.append(bit)
        }
        return mended
    }

    private static func flippedBit(ofHeader file: any DiskFile) throws(DiskError) -> FlippedBit? {
        let bytes = try file.read(count: headerBytes + frameBytes, at: 0)
        guard bytes.count == headerBytes + frameBytes else { return nil }
        let salt = bytes[headerBytes + 8..<headerBytes + 16]
        return FlippedBit(in: Array(bytes[..<headerBytes])) { header in
            // When a log starts over, its new header differs from the former one in its count of starts at first. All that was in
            // the log is in the database then.
            Header(header)?.salt.elementsEqual(salt) == true && header[12..<16].elementsEqual(bytes[12..<16])
        }
    }

    /// The bits each of which makes the first frame that is not whole so: of its salt, of its sum, then of the rest.
    ///
    /// - Parameter isDamage: whether that frame was acknowledged. If not, it may be a frame of an unfinished commit, behind frames of
    ///   the one that was written over it. Then it lacks what these have changed, and if that is a high bit of one word anywhere in
    ///   the log, it looks like a bit of this frame. And a killed process may have written its header alone, over a frame that had
    ///   nearly the same page.
    private static func flippedBits(
        of frame: [UInt8], behind whole: WholeFrames, isDamage: Bool, _ file: any DiskFile
    ) throws(DiskError) -> [FlippedBit] {
        let bits = flippedBits(of: frame, behind: whole, isDamage: isDamage)
        if isDamage { return bits }
        var found: [FlippedBit] = []
        for bit in bits {
            var mended = frame
            bit.flip(in: &mended)
            if try isOfCommit(mended, behind: whole, file) { found.append(bit) }
        }
        return found
    }

    private static func flippedBits(of frame: [UInt8], behind whole: WholeFrames, isDamage: Bool) -> [FlippedBit] {
        guard frame.count == frameBytes else { return [] }
        let sum = whole.sum.adding(frame)
        if sum.isEqual(to: frame[16..<24]) {
            return FlippedBit(between: (whole.salt, frame[8..<16])).map { [$0.behind(8)] } ?? []
        }
        // Nothing can stand behind the header but what was written behind it.
        let isOwn = isDamage || whole.end == headerBytes
        guard frame[8..<16].elementsEqual(whole.salt),
            isOwn || sum.tellsWord(from: frame, inBytes: whole.end + UInt64(frameBytes))
        else { return [] }
        let inSum = FlippedBit(between: (sum.stored, frame[16..<24])).map { [$0.behind(16)] } ?? []
        return inSum + sum.flippedBits(of: frame)
    }

    /// Whether the first frame that was not whole, and is now, belongs to a commit that is there to its end.
    private static func isOfCommit(
        _ mended: [UInt8], behind whole: WholeFrames, _ file: any DiskFile
    ) throws(DiskError) -> Bool {
        var (frame, offset) = (mended, whole.end)
        while !endsCommit(frame) {
            offset += UInt64(frameBytes)
            let next = try file.read(count: frameBytes, at: offset)
            guard Sum(of: frame, whole.sum.isBigEndian).isContinued(by: next), next[8..<16].elementsEqual(whole.salt)
            else { return false }
            frame = next
        }
        return true
    }

    /// Whether a later commit has the page of the first frame that is not whole, so that nobody reads what it has there.
    private static func isWrittenAgain(
        behind whole: WholeFrames, _ frame: [UInt8], _ file: any DiskFile
    ) throws(DiskError) -> Bool {
        var (former, offset, isFound) = (frame, whole.end, false)
        while true {
            offset += UInt64(frameBytes)
            let next = try file.read(count: frameBytes, at: offset)
            guard Sum(of: former, whole.sum.isBigEndian).isContinued(by: next),
                next[8..<16].elementsEqual(whole.salt)
            else { return false }
            isFound = isFound || word(next, at: 0) == word(frame, at: 0)
            if isFound, endsCommit(next) { return true }
            former = next
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
            let sum = whole.sum.adding(frame)
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
            if let former, endsCommit(former), Sum(of: former, whole.sum.isBigEndian).isContinued(by: frame) {
                return true
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

        /// The one that is stored in a frame.
        init(of frame: [UInt8], _ isBigEndian: Bool) {
            self.isBigEndian = isBigEndian
            first = frame[16..<20].reduce(0) { $0 << 8 | UInt32($1) }
            second = frame[20..<24].reduce(0) { $0 << 8 | UInt32($1) }
        }

        /// Whether a frame is whole behind this sum.
        func isContinued(by frame: [UInt8]) -> Bool {
            frame.count == frameBytes && adding(frame).isEqual(to: frame[16..<24])
        }

        /// The sum behind a frame. It covers all but the salt and itself.
        func adding(_ frame: [UInt8]) -> Sum {
            var sum = self
            sum.add(words: frame[..<8])
            sum.add(words: frame[frameHeaderBytes...])
            return sum
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

        /// By how much this sum is more than that which a frame has stored.
        private func change(from frame: [UInt8]) -> (UInt32, UInt32) {
            let stored = Sum(of: frame, isBigEndian)
            return (first &- stored.first, second &- stored.second)
        }

        /// Calls `body` with each word of a frame and by how much one more in it changes the sums, the last word first.
        private func forEachWord(_ body: (_ offset: Int, _ effect: (UInt32, UInt32)) -> Void) {
            // Of the first and of the second word of the last pair. A pair behind adds to the effects of those before it.
            var effects: ((UInt32, UInt32), (UInt32, UInt32)) = ((1, 1), (0, 1))
            func withPairBehind(_ effect: (UInt32, UInt32)) -> (UInt32, UInt32) {
                (effect.0 &+ effect.1, effect.0 &+ effect.1 &+ effect.1)
            }
            for pair in ([0] + Array(stride(from: frameHeaderBytes, to: frameBytes, by: 8))).reversed() {
                body(pair, effects.0)
                body(pair + 4, effects.1)
                effects = (withPairBehind(effects.0), withPairBehind(effects.1))
            }
        }

        /// The bits of a frame whose flip explains that its stored sum differs from this one.
        ///
        /// A flipped bit changes its word by a power of two, and the sums by multiples of it that depend only on how many words
        /// follow.
        func flippedBits(of frame: [UInt8]) -> [FlippedBit] {
            let change = change(from: frame)
            var found: [FlippedBit] = []
            frame.withUnsafeBytes { bytes in
                forEachWord { offset, effect in
                    let word = word(bytes, offset)
                    for bit in 0..<32 {
                        let value = UInt32(1) << UInt32(bit)
                        let added = word & value != 0 ? value : 0 &- value
                        guard added &* effect.0 == change.0, added &* effect.1 == change.1 else { continue }
                        let byte = offset + (isBigEndian ? 3 - bit / 8 : bit / 8)
                        found.append(FlippedBit(offset: UInt64(byte), mask: 1 << UInt8(bit % 8)))
                    }
                }
            }
            return found
        }

        /// Whether the sums tell in which word a frame differs, or the so many bytes before its end. The effects of words are
        /// consecutive numbers of Fibonacci, which come again after 3 * 2^(n-1) words modulo 2^n, and not both of which are even. So
        /// in a frame, a change in the highest nine bits may be of one word as well as of another.
        func tellsWord(from frame: [UInt8], inBytes count: UInt64) -> Bool {
            UInt64(3) << UInt64(max(0, 31 - lowestBit(from: frame))) > count / 4
        }

        private func lowestBit(from frame: [UInt8]) -> Int {
            let change = change(from: frame)
            return min(change.0.trailingZeroBitCount, change.1.trailingZeroBitCount)
        }

        /// Whether any change of one of the first two words explains the difference.
        func mayDifferInHeader(from frame: [UInt8]) -> Bool {
            let (change, lowest) = (change(from: frame), UInt32(lowestBit(from: frame)))
            var isPossible = false
            forEachWord { offset, effect in
                guard offset < 8 else { return }
                for multiple in UInt32(1)..<(1 << (32 - lowest)) {
                    let added = multiple << lowest
                    if added &* effect.0 == change.0, added &* effect.1 == change.1 { isPossible = true }
                }
            }
            return isPossible
        }
    }
}
