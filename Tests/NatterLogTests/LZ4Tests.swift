import NatterCrypto
import NatterLanguage
import NatterModel
import NatterSystem
import Testing
import TestSupport

@testable import NatterLog

@Suite("packed bytes")
struct LZ4Tests {
    private static let text = Array(String(repeating: "the quick brown fox ", count: 50).utf8)

    @Test("unpack to exactly the length that is stated, with exactly the dictionary that they had")
    func length() throws {
        let dictionary = Array("a lazy dog and the quick brown fox".utf8)
        let packed = try #require(LZ4.compress(Self.text, dictionary: dictionary, level: LZ4.bestLevel))
        packed.withUnsafeBytes { packed in
            #expect(LZ4.decompress(packed, rawLength: Self.text.count, dictionary: dictionary) == Self.text[...])
            for wrong in [1, Self.text.count - 1, Self.text.count + 1, 1 << 20, 1 << 20 + 1, 0, -1, .min, .max] {
                #expect(LZ4.decompress(packed, rawLength: wrong, dictionary: dictionary) == nil)
            }
            #expect(LZ4.decompress(packed, rawLength: Self.text.count, dictionary: []) != Self.text[...])
            for count in 0..<packed.count {
                let cut = UnsafeRawBufferPointer(rebasing: packed[..<count])
                #expect(LZ4.decompress(cut, rawLength: Self.text.count, dictionary: dictionary) == nil)
            }
        }
    }

    @Test("are shorter than what they hold, or not made")
    func noGain() {
        var generator = SeededGenerator(seed: 1)
        for count in [0, 1, 2, 10, 1_000] {
            #expect(LZ4.compress(generator.bytes(count), dictionary: [], level: LZ4.bestLevel) == nil)
        }
        #expect(LZ4.compress([UInt8](repeating: 0, count: 1 << 20 + 1), dictionary: [], level: 3) == nil)
    }

    @Test("of a block whose header states another length are refused", arguments: [-1, 1, 100])
    func falseLength(change: Int) throws {
        var records = Records(firstSeq: Seq(1))
        records.append(time: .zero, sender: [65], text: Self.text, commit: .zero)
        let block = try Block(sealing: records, of: Fixture.conversation, hashBefore: .zero, dictionary: .none)
        var header = block.header
        header.rawLength += change
        let changed = try BlockHeader(decoding: header.encode())
        #expect(
            failure { () throws(FormatViolation) in
                _ = try Block(header: changed, stored: block.stored).open(with: .none)
            } == FormatViolation("a block does not unpack"))
    }
}
