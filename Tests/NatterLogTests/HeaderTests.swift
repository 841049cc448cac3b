import NatterSystem
import NatterModel
import Testing
import TestSupport

@testable import NatterLog

@Suite("a block's header")
struct HeaderTests {
    private let valid: BlockHeader

    init() throws {
        var generator = SeededGenerator(seed: 1)
        let records = Fixture.records(20...20, using: &generator)
        valid = try Block(sealing: records, of: Fixture.conversation, hashBefore: .zero, dictionary: .none).header
    }

    /// The bytes of a header with some changed and the checksum put right again.
    private func bytes(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
        var bytes = Array(valid.encode().dropLast(4))
        change(&bytes)
        bytes.append(littleEndian: Checksum.crc32c(bytes))
        return bytes
    }

    private func violation(_ bytes: [UInt8]) -> FormatViolation? {
        failure { () throws(FormatViolation) in
            _ = try BlockHeader(decoding: bytes)
        }
    }

    private func put(_ value: some FixedWidthInteger, at offset: Int) -> [UInt8] {
        bytes { bytes in
            var field: [UInt8] = []
            field.append(littleEndian: value)
            bytes.replaceSubrange(offset..<offset + field.count, with: field)
        }
    }

    @Test("has 160 bytes that come back")
    func roundTrip() throws {
        let bytes = valid.encode()
        #expect(bytes.count == BlockHeader.byteCount && violation(bytes) == nil)
        #expect(try BlockHeader(decoding: bytes + [1, 2, 3]) == valid)
    }

    @Test("notices every flipped bit, and every cut")
    func flips() {
        let bytes = valid.encode()
        for bit in 0..<bytes.count * 8 {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(violation(changed) != nil, "bit \(bit)")
        }
        for count in 0..<bytes.count { #expect(violation(Array(bytes.prefix(count))) != nil) }
    }

    @Test("has a codec that is known", arguments: [2, 3, 255] as [UInt8])
    func codec(value: UInt8) { #expect(violation(put(value, at: 4))?.reason == "codec \(value) is unknown") }

    @Test("has flags that are known")
    func flags() {
        #expect(violation(put(1 as UInt8, at: 5)) == nil)
        #expect(violation(put(3 as UInt8, at: 5)) == nil)
        for bit in 2..<8 {
            #expect(violation(put(UInt8(1) << UInt8(bit), at: 5))?.reason == "a block has unknown flags")
        }
        for bit in 0..<32 {
            #expect(violation(put(UInt32(1) << UInt32(bit), at: 152))?.reason == "a block has unknown flags")
        }
    }

    @Test("has seqs that exist")
    func seqs() {
        #expect(violation(put(0 as UInt16, at: 6))?.reason == "a block's seqs are out of range")
        #expect(violation(put(0 as UInt64, at: 8))?.reason == "a block's seqs are out of range")
        #expect(violation(put(UInt64.max, at: 8))?.reason == "a block's seqs are out of range")
        #expect(violation(put(UInt64.max - 19, at: 8))?.reason == "a block's seqs are out of range")
        #expect(violation(put(UInt64.max - 20, at: 8)) == nil)
    }

    @Test("has lengths that can be", arguments: [BlockHeader.Codec.raw, .lz4])
    func lengths(codec: BlockHeader.Codec) {
        func check(raw: UInt32, stored: UInt32) -> String? {
            violation(
                bytes { bytes in
                    bytes[4] = codec.rawValue
                    var field: [UInt8] = []
                    field.append(littleEndian: raw)
                    field.append(littleEndian: stored)
                    bytes.replaceSubrange(20..<28, with: field)
                })?.reason.english
        }
        let refused = "a block's lengths are out of range"
        for (raw, stored) in [(0, 0), (0, 1), (1, 0), (1 << 20 + 1, 1 << 20 + 1), (.max, .max), (.max, 1)]
            as [(UInt32, UInt32)]
        {
            #expect(check(raw: raw, stored: stored) == refused)
        }
        #expect(check(raw: 100, stored: 100) == (codec == .raw ? nil : refused))
        #expect(check(raw: 100, stored: 101) == refused)
        #expect(check(raw: 100, stored: 99) == (codec == .lz4 ? nil : refused))
        // The bound that keeps a false length from taking memory.
        #expect(check(raw: 255 * 10 + 64, stored: 10) == (codec == .lz4 ? nil : refused))
        #expect(check(raw: 255 * 10 + 65, stored: 10) == refused)
        #expect(check(raw: 1 << 20, stored: 1 << 20) == (codec == .raw ? nil : refused))
        #expect(check(raw: 1 << 20, stored: 1 << 20 - 1) == (codec == .lz4 ? nil : refused))
        #expect(check(raw: 1 << 20 + 1, stored: 1 << 20) == refused)
    }

    @Test("has times in order")
    func times() {
        #expect(violation(put(Int64.max, at: 40))?.reason == "a block's times are out of order")
        #expect(violation(put(Int64.min, at: 40)) == nil)
        #expect(violation(put(Int64.min, at: 48))?.reason == "a block's times are out of order")
    }

    @Test("has the layout of natter-log(5)")
    func layout() {
        var header = valid
        header.codec = .lz4
        header.isProvisional = true
        header.count = 0x0102
        header.firstSeq = Seq(0x0303_0303_0303_0303)
        header.revision = 0x0404_0404
        header.rawLength = 0x0000_0600
        header.storedLength = 0x0000_0500
        header.storedChecksum = 0x0707_0707
        header.baseTime = Timestamp(milliseconds: 0x0808_0808_0808_0808)
        header.lowestTime = Timestamp(milliseconds: 0x0909_0909_0909_0909)
        header.highestTime = Timestamp(milliseconds: 0x0A0A_0A0A_0A0A_0A0A)
        header.dictionary = DictionaryID(high: 0x0B0B_0B0B_0B0B_0B0B, low: 0x0B0B_0B0B_0B0B_0B0C)
        header.lastCommit = Commit(0x0C0C_0C0C_0C0C_0C0C)
        let hex = Hex.encode(header.encode())
        let zeros = String(repeating: "0", count: 64)
        let expected =
            "4e424c4b" + "01" + "01" + "0201" + "0303030303030303" + "04040404" + "00060000" + "00050000" + "07070707"
            + "0808080808080808" + "0909090909090909" + "0a0a0a0a0a0a0a0a" + "efcdab8967452301"
            + "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0c" + zeros + Hex.encode(header.hashAfter.bytes) + "0c0c0c0c0c0c0c0c"
            + "00000000"
        #expect(hex.prefix(expected.count) == expected && hex.count == 320)
    }
}
