import NatterSystem
import NatterModel
import NatterLog
import Testing
import TestSupport

@Suite("a dictionary")
struct DictionaryTests {
    private func decode(_ record: [UInt8]) throws(FormatViolation) -> LogDictionary {
        try record.withUnsafeBytesTyped { record throws(FormatViolation) in try LogDictionary(decoding: record) }
    }

    private func violation(_ record: [UInt8]) -> String? {
        failure { () throws(FormatViolation) in _ = try decode(record) }?.reason.english
    }

    @Test("round-trips through its record, packed or not", arguments: UInt64(1)...30)
    func roundTrip(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let count = generator.once(in: 5) ? 65_536 : generator.int(1...3_000)
        let bytes = generator.once(in: 2) ? generator.bytes(count) : Fixture.text(count, using: &generator)
        let dictionary = LogDictionary(bytes)
        let record = dictionary.record
        #expect(try decode(record) == dictionary && dictionary.bytes == bytes)
        #expect(try record.withUnsafeBytes { try LogDictionary.recordLength(header: $0) } == record.count)
        #expect(Hex.encode(Digest(of: bytes).bytes).hasPrefix(dictionary.id.description))
    }

    @Test("keeps the newest 64 KiB, and nothing is none")
    func limits() {
        let bytes = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        #expect(LogDictionary(bytes).bytes == Array(bytes.suffix(65_536)))
        #expect(LogDictionary([]) == .none && LogDictionary.none.id == .none)
    }

    @Test("notices every flipped bit, every cut, and what is behind it")
    func damage() {
        var generator = SeededGenerator(seed: 5)
        for bytes in [generator.bytes(50), Fixture.text(400, using: &generator)] {
            let record = LogDictionary(bytes).record
            for bit in 0..<record.count * 8 {
                var changed = record
                changed[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(violation(changed) != nil, "bit \(bit)")
            }
            for count in 0..<record.count { #expect(violation(Array(record.prefix(count))) != nil) }
            #expect(violation(record + [0]) == "a dictionary is cut short")
        }
    }

    @Test("has fields that can be, also where its checksums are right")
    func rules() {
        let record = LogDictionary(Array("abcdefgh".utf8)).record
        func changed(_ change: (inout [UInt8]) -> Void) -> String? {
            var header = Array(record[..<32])
            var stored = Array(record[40...])
            change(&header)
            if header.count > 32 { stored = Array(header[32...]) }
            header = Array(header[..<32])
            header.append(littleEndian: Checksum.crc32c(stored))
            header.append(littleEndian: Checksum.crc32c(header))
            return violation(header + stored)
        }
        let outOfRange = "a dictionary's lengths are out of range"
        #expect(changed { _ in } == nil)
        for place in 4...7 { #expect(changed { $0[place] = 2 } == outOfRange) }
        #expect(changed { $0[8] = 0 } == outOfRange)
        #expect(changed { $0[8] = 9 } == outOfRange)
        #expect(changed { $0[12] = 0 } == outOfRange)
        #expect(changed { $0[4] = 1 } == outOfRange)
        #expect(changed { $0.replaceSubrange(8..<16, with: [1, 0, 1, 0, 1, 0, 1, 0]) } == outOfRange)
        #expect(
            changed {
                $0[4] = 1
                $0[8] = 200
            } == "a dictionary does not unpack")
        #expect(changed { $0[16] ^= 1 } == "a dictionary's content does not match its id")
        #expect(changed { $0 += Array("abcdefgH".utf8) } == "a dictionary's content does not match its id")
    }
}
