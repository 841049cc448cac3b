import NatterSystem
import NatterModel
import Testing
import TestSupport

@testable import NatterLog

@Suite("packed bytes")
struct LZ4Tests {
    private static let text = Array(String(repeating: "the quick brown fox ", count: 50).utf8)

    @Test(
        "unpack to exactly the length that is stated, with exactly the dictionary that they had",
        arguments: [false, true])
    func length(isInRoom: Bool) throws {
        let dictionary = LogDictionary(Array("a lazy dog and the quick brown fox".utf8))
        let room = isInRoom ? UnpackingRoom() : nil
        let packed = try #require(LZ4.compress(Self.text, dictionary: dictionary.bytes, level: LZ4.bestLevel))
        packed.withUnsafeBytes { packed in
            func unpack(_ packed: UnsafeRawBufferPointer, _ length: Int, _ dictionary: LogDictionary) -> [UInt8]? {
                LZ4.decompress(packed, rawLength: length, dictionary: dictionary, in: room).map { Array($0) }
            }
            #expect(unpack(packed, Self.text.count, dictionary) == Self.text)
            for wrong in [1, Self.text.count - 1, Self.text.count + 1, 1 << 20, 1 << 20 + 1, 0, -1, .min, .max] {
                #expect(unpack(packed, wrong, dictionary) == nil)
            }
            #expect(unpack(packed, Self.text.count, .none) != Self.text)
            for count in 0..<packed.count {
                #expect(unpack(UnsafeRawBufferPointer(rebasing: packed[..<count]), Self.text.count, dictionary) == nil)
            }
            #expect(unpack(packed, Self.text.count, dictionary) == Self.text)
        }
    }

    @Test("unpack in one room as in memory of their own, whatever was there before", arguments: UInt64(1)...20)
    func room(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let dictionaries = (0..<3).map { _ in Fixture.dictionary(using: &generator) } + [.none]
        let room = UnpackingRoom()
        for _ in 0..<30 {
            let dictionary = dictionaries[generator.int(0...3)]
            let text = dictionary.bytes.suffix(generator.int(0...500)) + Self.text.prefix(generator.int(20...900))
            guard let packed = LZ4.compress(Array(text), dictionary: dictionary.bytes, level: 3) else { continue }
            let limit = generator.int(1...2_000)
            let unpacked = packed.withUnsafeBytes {
                LZ4.decompress($0, rawLength: text.count, dictionary: dictionary, upTo: limit, in: room)
            }
            #expect(unpacked.map { Array($0) } == Array(text.prefix(limit)))
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
