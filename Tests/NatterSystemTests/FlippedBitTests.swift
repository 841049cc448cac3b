import NatterSystem
import Testing
import TestSupport

@Suite("a flipped bit")
struct FlippedBitTests {
    @Test("is found by the checksum, wherever it is", arguments: [1, 7, 1_000])
    func checksum(count: Int) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 131) }
        for bit in 0..<count * 8 {
            var flipped = bytes
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            let found = FlippedBit(in: count, changing: Checksum.crc32c(bytes) ^ Checksum.crc32c(flipped))
            #expect(found == FlippedBit(offset: UInt64(bit / 8), mask: 1 << UInt8(bit % 8)))
        }
    }

    @Test("two of a page are not taken for another one")
    func two() {
        let bytes = [UInt8](repeating: 0x5A, count: 4_096)
        for first in stride(from: 0, to: 4_096, by: 97) {
            var flipped = bytes
            flipped[first] ^= 1
            flipped[(first + 1_000) % 4_096] ^= 0x20
            #expect(FlippedBit(in: 4_096, changing: Checksum.crc32c(bytes) ^ Checksum.crc32c(flipped)) == nil)
        }
    }

    @Test("is that between two values only if they differ in no other")
    func between() {
        let bytes: [UInt8] = [1, 2, 3]
        #expect(FlippedBit(between: (bytes, [1, 6, 3])) == FlippedBit(offset: 1, mask: 4))
        for other in [[1, 2, 3], [0, 2, 2], [1, 5, 3]] as [[UInt8]] {
            #expect(FlippedBit(between: (bytes, other)) == nil)
        }
    }
}
