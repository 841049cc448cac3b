import NatterCommandLine
import Testing
import TestSupport

@Suite("reading lines")
struct LineReaderTests {
    @Test(
        "whatever their length and however they arrive, waiting or not, the same lines are found",
        arguments: UInt64(1)...40)
    func divisions(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let limit = 300_000
        let lengths = seed.isMultiple(of: 2) ? [0, 1, 7, 12] : [0, 1, 262_143, 262_144, 262_145, limit, limit + 1]
        var (bytes, expected): ([UInt8], [LineReader.Item]) = ([], [])
        for _ in 0..<Int.random(in: 0...12, using: &generator) {
            let letter = UInt8.random(in: 0x61...0x7A, using: &generator)
            let line = [UInt8](repeating: letter, count: lengths.randomElement(using: &generator) ?? 0)
            expected.append(line.count > limit ? .tooLong : .line(line))
            bytes += line + (Bool.random(using: &generator) ? [0x0D, 0x0A] : [0x0A])
        }
        // The last line may lack its newline, and a mark may stand before the first.
        if bytes.suffix(2) != [0x0D, 0x0A], expected.last != .line([]), Bool.random(using: &generator) {
            bytes.removeLast(min(1, bytes.count))
        }
        if !expected.isEmpty, Bool.random(using: &generator) { bytes = [0xEF, 0xBB, 0xBF] + bytes }

        let most = seed.isMultiple(of: 2) ? 7 : 400_000
        var rest = bytes[...]
        var hasArrived = false
        var lines = LineReader(limit: limit) { buffer, mayWait in
            guard hasArrived || mayWait || rest.isEmpty else {
                hasArrived = true
                return nil
            }
            hasArrived = false
            let piece = rest.prefix(min(Int.random(in: 1...most, using: &generator), buffer.count))
            buffer.copyBytes(from: piece)
            rest = rest.dropFirst(piece.count)
            return piece.count
        }
        let waits = seed % 3 == 0
        var found: [LineReader.Item] = []
        while true {
            let item = try lines.next(mayWait: waits)
            if item == .end { break }
            if item == .pause {
                #expect(!waits)
                continue
            }
            found.append(item)
            #expect(lines.number == Int64(found.count))
            // Nothing says where the next line begins.
            if item == .tooLong { break }
        }
        #expect(found == Array(expected.prefix(found.count)))
        #expect(found.count == expected.count || found.last == .tooLong)
    }
}
