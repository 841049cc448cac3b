import NatterSystem
import NatterLog
import NatterModel
import TestSupport

enum Fixture {
    static let conversation = ConversationID(high: 0x0123_4567_89AB_CDEF, low: 0xFEDC_BA98_7654_3210)
    static let stranger = ConversationID(high: 0x1111_1111_1111_1111, low: 0x2222_2222_2222_2222)
    private static let pieces = [
        "hello", " ", "world", "\n", "Привет", "é", "🦊", "\u{0}", "日本", "a", "the ", "and ", "\t", "?", "http://x.y/z",
        "\u{10FFFF}", "ё", "1234",
    ].map { Array($0.utf8) }

    static func text(_ count: Int, using generator: inout SeededGenerator) -> [UInt8] {
        var text: [UInt8] = []
        while true {
            let piece = pieces[generator.int(0...(pieces.count - 1))]
            if text.count + piece.count > count { break }
            text += piece
        }
        return text + [UInt8](repeating: UInt8(ascii: "x"), count: count - text.count)
    }

    /// Messages of every sort: kinds known and unknown, imported ones, empty and long ones, times that go back.
    static func records(
        _ counts: ClosedRange<Int> = 1...60, using generator: inout SeededGenerator
    ) -> Records {
        var records = Records(firstSeq: Seq(UInt64(generator.once(in: 3) ? 1 : generator.int(1...5_000_000_000))))
        let senders = (0..<generator.int(1...40)).map { number in
            Array("\(number)".utf8) + text(generator.int(0...62), using: &generator)
        }
        let isPlain = generator.once(in: 3)
        var time: Int64 = 1_795_159_445_123
        var commit = generator.once(in: 4) ? 0 : UInt64(generator.int(0...1_000_000))
        func newRun(_ generator: inout SeededGenerator) -> SaltSource {
            .seed(SaltSeed(using: &generator), place: UInt8(generator.int(0...255)))
        }
        var nextSalt = newRun(&generator)
        for _ in 0..<generator.int(counts) {
            let length =
                generator.once(in: 200)
                ? 65_536 : generator.once(in: 20) ? generator.int(0...5_000) : generator.int(0...120)
            let seq = records.lastSeq.next
            time += Int64(generator.int(-2_000...60_000))
            if !isPlain, generator.once(in: 50) {
                let range = Timestamp.range.lowerBound.milliseconds...Timestamp.range.upperBound.milliseconds
                time = Int64.random(
                    in: range.lowerBound + 10_000_000...range.upperBound - 10_000_000, using: &generator)
            }
            if commit > 0 { commit += UInt64(generator.int(0...3)) }
            records.append(
                time: Timestamp(milliseconds: time), sender: senders[generator.int(0...(senders.count - 1))],
                text: text(length, using: &generator),
                kind: isPlain
                    ? .text : MessageKind(rawValue: UInt8(generator.once(in: 5) ? generator.int(0...255) : 0)),
                isImported: !isPlain && generator.once(in: 5),
                about: isPlain || seq.rawValue < 2 || !generator.once(in: 5)
                    ? nil : Seq(UInt64.random(in: 1..<seq.rawValue, using: &generator)),
                commit: Commit(commit), salt: records.isEmpty ? nextSalt : nextSalt.next ?? newRun(&generator))
            nextSalt = records.salt(at: records.count - 1)
        }
        return records
    }

    static func dictionary(using generator: inout SeededGenerator) -> LogDictionary {
        generator.once(in: 3) ? .none : LogDictionary(text(generator.int(1...70_000), using: &generator))
    }

    static func header(
        firstSeq: Seq, hashBefore: Digest, dictionary: LogDictionary = .none,
        conversation: ConversationID = conversation
    ) -> SegmentHeader {
        SegmentHeader(
            store: StoreID(high: 0x5555_0000_0000_0001, low: 2), conversation: conversation,
            epoch: Epoch(run: 3, random: 0xABCD), firstSeq: firstSeq, hashBefore: hashBefore,
            created: Timestamp(milliseconds: 1_795_159_445_123), dictionary: dictionary.id, kind: .group,
            name: "кухня", users: [])
    }

    /// Records cut into blocks of these counts, one after the other.
    static func blocks(
        _ records: Records, cut counts: [Int], dictionary: LogDictionary = .none, hashBefore: Digest,
        conversation: ConversationID = conversation, effort: Block.Effort = .best
    ) throws -> [Block] {
        var (start, hash, blocks) = (0, hashBefore, [Block]())
        for count in counts {
            let block = try Block(
                sealing: records, start..<start + count, of: conversation, hashBefore: hash, dictionary: dictionary,
                effort: effort)
            blocks.append(block)
            (start, hash) = (start + count, block.header.hashAfter)
        }
        return blocks
    }
}

extension Records {
    var all: [Record] { (0..<count).map { self[$0] } }
}
