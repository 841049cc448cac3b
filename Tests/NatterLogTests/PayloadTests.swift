import NatterSystem
import NatterModel
import Testing
import TestSupport

@testable import NatterLog

/// A block of three messages put together by hand, so that each rule of the decoder can be broken alone.
struct Payload {
    var columns: [(id: UInt8, bytes: [UInt8])] = [
        (1, [1, 65, 2, 66, 67]),  // "A", "BC"
        (2, [0, 1, 0]),
        (3, [0, 2, 1]),  // +0, +1, -1
        (4, [1, 0, 3]),
        (5, Array("aяb".utf8)),
        (12, [0, 3, 0] + (0..<16)),  // one run, from place 0
    ]
    var count = 3
    var firstSeq = Seq(10)
    var lowestTime: Int64 = 1_000
    var highestTime: Int64 = 1_001
    var lastCommit = Commit.zero
    var tail: [UInt8] = []

    func with(_ id: UInt8, _ bytes: [UInt8]?) -> Payload {
        var changed = self
        changed.columns.removeAll { $0.id == id }
        if let bytes {
            let place = changed.columns.firstIndex { $0.id > id } ?? changed.columns.count
            changed.columns.insert((id, bytes), at: place)
        }
        return changed
    }

    func set<Value>(_ field: WritableKeyPath<Payload, Value>, _ value: Value) -> Payload {
        var changed = self
        changed[keyPath: field] = value
        return changed
    }

    var raw: [UInt8] {
        var bytes: [UInt8] = []
        for (id, content) in columns {
            bytes.append(id)
            LEB128.append(UInt64(content.count), to: &bytes)
            bytes += content
        }
        return bytes + tail
    }

    func block(_ raw: [UInt8]? = nil) -> Block {
        let raw = raw ?? self.raw
        return Block(
            header: BlockHeader(
                codec: .raw, isProvisional: false, count: count, firstSeq: firstSeq, revision: 0, rawLength: raw.count,
                storedLength: raw.count, storedChecksum: Checksum.crc32c(raw),
                baseTime: Timestamp(milliseconds: 1_000), lowestTime: Timestamp(milliseconds: lowestTime),
                highestTime: Timestamp(milliseconds: highestTime), conversationPrefix: Fixture.conversation.high,
                dictionary: .none, hashBefore: .zero, hashAfter: .zero, lastCommit: lastCommit,
                hasRelations: columns.contains { $0.id == 8 }),
            stored: raw)
    }

    func open() throws(FormatViolation) -> Records { try block().open(with: .none) }
    var violation: String? { failure { () throws(FormatViolation) in _ = try open() }?.reason.english }
}

@Suite("the columns of a block")
struct PayloadTests {
    private let valid = Payload()

    @Test("by hand are read as they were meant")
    func byHand() throws {
        let records = try valid.open()
        #expect(records.all.map { String(decoding: $0.text, as: UTF8.self) } == ["a", "", "яb"])
        #expect(records.all.map { String(decoding: $0.sender, as: UTF8.self) } == ["A", "BC", "A"])
        #expect(records.all.map(\.time.milliseconds) == [1_000, 1_001, 1_000])
        #expect(records.all.map(\.seq) == [Seq(10), Seq(11), Seq(12)])
        #expect(records.all.allSatisfy { $0.kind == .text && !$0.isImported && $0.about == nil && $0.commit == .zero })
    }

    @Test("that are optional are read too")
    func optional() throws {
        var payload = valid.with(6, [0, 2, 200]).with(7, [1, 0, 1]).with(8, [0, 1, 11]).with(128, [5, 0, 2])
        payload.lastCommit = Commit(7)
        let records = try payload.open()
        #expect(records.all.map(\.kind.rawValue) == [0, 2, 200])
        #expect(records.all.map(\.isImported) == [true, false, true])
        #expect(records.all.map(\.about) == [nil, Seq(10), Seq(1)])
        #expect(records.all.map(\.commit) == [Commit(5), Commit(5), Commit(7)])
    }

    @Test("that are needed are there", arguments: [1, 2, 3, 4, 5, 12] as [UInt8])
    func missing(id: UInt8) { #expect(valid.with(id, nil).violation == "column \(id) is missing") }

    @Test("that nobody knows are refused below 128, skipped from there on")
    func unknown() throws {
        for id in [100, 110, 120, 127] as [UInt8] {
            #expect(valid.with(id, [1, 2, 3]).violation == "column \(id) is unknown")
        }
        for id in [129, 200, 255] as [UInt8] {
            #expect(try valid.with(id, [1, 2, 3]).open().all == valid.open().all)
            #expect(try valid.with(id, []).open().all == valid.open().all)
        }
        var zero = valid
        zero.columns.insert((0, []), at: 0)
        #expect(zero.violation == "columns are out of order")
    }

    @Test("stand in the order of their ids, each once")
    func order() {
        for index in 0..<4 {
            var swapped = valid
            swapped.columns.swapAt(index, index + 1)
            #expect(swapped.violation == "columns are out of order")
            var doubled = valid
            doubled.columns.insert(doubled.columns[index], at: index)
            #expect(doubled.violation == "columns are out of order")
        }
    }

    @Test("of salts have exactly as many as there are messages, and an erased message has only its hash")
    func salts() throws {
        let seed = [UInt8](0..<16)
        let salt = [UInt8](repeating: 7, count: 16)
        let digest = [UInt8](repeating: 9, count: 32)
        for bytes in [
            [0, 2, 0] + seed, [0, 4, 0] + seed, [0, 3, 254] + seed, [0, 3, 0] + seed.dropLast(), [3, 3, 0] + seed,
            [1, 3] + salt + salt, [0, 0, 0] + seed + [0, 3, 0] + seed, [1, 2] + salt + salt,
        ] as [[UInt8]] {
            #expect(valid.with(12, bytes).violation?.hasPrefix("the salts are") == true, "\(bytes)")
        }
        let cut = valid.with(12, [0, 1, 5] + seed + [1, 2] + salt + salt)
        #expect(
            try cut.open().all.map(\.salt) == [
                .seed(SaltSeed(bytes: seed) ?? .random(), place: 5),
                .salt(Salt(high: 0x0707_0707_0707_0707, low: 0x0707_0707_0707_0707)),
                .salt(Salt(high: 0x0707_0707_0707_0707, low: 0x0707_0707_0707_0707)),
            ])
        // Message 2 of 3 is erased: empty sender, empty text, flag and hash.
        let erased = Payload(columns: [
            (1, [1, 65, 0]), (2, [0, 1, 0]), (3, [0, 2, 1]), (4, [1, 0, 3]), (5, Array("aяb".utf8)), (7, [0, 2, 0]),
            (12, [0, 1, 0] + seed + [2, 1] + digest + [1, 1] + salt),
        ])
        let records = try erased.open().all
        #expect(records[1].salt == Digest(bytes: digest).map { .erased($0) })
        #expect(HashChain.digest(of: records[1]).bytes == digest)
        #expect(erased.with(7, nil).violation == "a message has only its hash, but is not erased")
        #expect(erased.with(7, [2, 2, 0]).violation == "an erased message has a text")
        #expect(erased.with(1, [1, 65, 1, 66]).violation == "an erased message has a sender")
        #expect(erased.with(4, [0, 1, 3]).violation == "an erased message has a text")
    }

    @Test("are used up to the last byte, and not beyond")
    func cut() {
        let raw = valid.raw
        for count in 1..<raw.count {
            let block = valid.block(Array(raw.prefix(count)))
            #expect(failure { () throws(FormatViolation) in _ = try block.open(with: .none) } != nil, "\(count)")
        }
        for tail in [
            [0], [129], [200, 1], [129, 0, 0], [200, 0x80, 0x00],
            [129, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
        ] as [[UInt8]] {
            #expect(valid.set(\.tail, tail).violation != nil)
        }
        for id in [2, 3, 4] as [UInt8] {
            let bytes = valid.columns.first { $0.id == id }?.bytes ?? []
            #expect(valid.with(id, bytes + [0]).violation == "a column is longer than its messages")
            #expect(valid.with(id, bytes.dropLast()).violation != nil)
            #expect(valid.with(id, []).violation != nil)
        }
        for id in [6, 7, 8, 128] as [UInt8] {
            #expect(valid.with(id, [0, 0]).violation != nil)
            #expect(valid.with(id, [0, 0, 0, 0]).violation != nil)
            // There may be no commits: then the header's is that of all.
            #expect((valid.with(id, []).violation == nil) == (id == 128))
            #expect(valid.with(id, [0, 0, 0]).violation == nil)
        }
    }

    @Test("hold no number in two forms")
    func overlong() {
        let overlong: [UInt8] = [0x80, 0x00]
        #expect(valid.with(1, [0x81, 0x00, 65, 2, 66, 67]).violation == "the senders are malformed")
        #expect(valid.with(2, overlong + [1, 0]).violation == "a sender's number is out of range")
        #expect(valid.with(3, overlong + [2, 1]).violation == "the times are cut short")
        #expect(valid.with(4, [1] + overlong + [3]).violation == "a text's length is out of range")
        #expect(valid.with(8, overlong + [0, 0]).violation == "a message is about a seq that is out of range")
        #expect(valid.with(128, overlong + [0, 0]).violation == "the commits are cut short")
        var raw = valid.raw
        raw.replaceSubrange(1...1, with: [0x85, 0x00])
        #expect(
            failure { () throws(FormatViolation) in _ = try valid.block(raw).open(with: .none) }?.reason
                == "a column is cut short")
    }

    @Test("name senders that are there, numbered by their first message")
    func senders() {
        let outOfRange = "a sender's number is out of range"
        #expect(valid.with(2, [0, 2, 0]).violation == outOfRange)
        #expect(valid.with(2, [0, 0xFF, 0x01]).violation != nil)
        #expect(valid.with(2, [1, 0, 0]).violation == outOfRange)
        #expect(valid.with(2, [0, 0, 0]).violation == "a column is longer than its messages")
        #expect(valid.with(1, []).violation == outOfRange)
        #expect(valid.with(1, [1, 65, 1, 66, 1, 67]).violation == "a column is longer than its messages")
        #expect(valid.with(1, [1, 65, 1, 66, 1, 67, 1, 68]).violation == "the senders are malformed")
        #expect(valid.with(1, [1, 65, 3, 66, 67]).violation == "the senders are malformed")
        #expect(valid.with(1, [1, 65, 1, 65]).violation == "a sender occurs twice")
        #expect(valid.with(1, [1, 65, 2, 0xC3, 0x28]).violation == "a sender is not UTF-8")
        #expect(valid.with(1, [1, 0xFF, 1, 66]).violation == "a sender is not UTF-8")
    }

    @Test("name senders as long as a name may be")
    func longSenders() throws {
        #expect(try valid.with(1, [64] + [UInt8](repeating: 65, count: 64) + [1, 66]).open().count == 3)
        #expect(
            valid.with(1, [65] + [UInt8](repeating: 65, count: 65) + [1, 66]).violation
                == "a sender's name is too long")
    }

    @Test("name labels as long as a label may be")
    func longLabels() throws {
        func labelled(_ length: UInt8) -> Payload {
            valid.with(9, [length, 1] + [UInt8](repeating: 65, count: 0x80 + Int(length & 0x7F))).with(10, [1, 0, 1])
        }
        #expect(try labelled(0xC8).open().count == 3)
        #expect(labelled(0xC9).violation == "a label is too long")
    }

    @Test("hold times within those of the header")
    func times() {
        let outOfRange = "a time is out of range"
        #expect(valid.set(\.highestTime, 1_000).violation == outOfRange)
        #expect(valid.set(\.lowestTime, 1_001).violation == outOfRange)
        let widest = valid.set(\.lowestTime, .min).set(\.highestTime, .max)
        #expect(widest.violation == nil)
        // Sums that overflow, up and down.
        let up: [UInt8] = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]
        #expect(widest.with(3, up + [1, 1]).violation == outOfRange)
        let down: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]
        #expect(widest.with(3, down + down + [0]).violation == outOfRange)
    }

    @Test("hold texts whose lengths are those of the text")
    func lengths() {
        #expect(valid.with(4, [1, 0, 4]).violation == "the texts are cut short")
        #expect(valid.with(4, [1, 0, 2]).violation == "a column is longer than its messages")
        #expect(valid.with(4, [0, 0, 0]).violation == "a column is longer than its messages")
        #expect(valid.with(5, nil).with(5, []).violation == "the texts are cut short")
        #expect(valid.with(5, []).with(4, [0, 0, 0]).violation == nil)
        let text = [UInt8](repeating: 65, count: 65_537)
        #expect(valid.with(5, text).with(4, [0x80, 0x80, 0x04, 1, 0]).violation == nil)
        #expect(valid.with(5, text).with(4, [0x81, 0x80, 0x04, 0, 0]).violation == "a text's length is out of range")
        #expect(
            valid.with(4, [1, 0] + [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]).violation
                == "a text's length is out of range")
    }

    @Test("hold texts that are UTF-8, each by itself")
    func utf8() {
        let inside = "a text begins inside a character"
        #expect(valid.with(4, [2, 0, 2]).violation == inside)
        #expect(valid.with(4, [2, 1, 1]).violation == inside)
        for bytes in [
            [0x61, 0xFF, 0x62, 0x63], [0x61, 0xC3, 0x28, 0x63], [0x61, 0xD1, 0x62, 0x63], [0x80, 0x61, 0x62, 0x63],
            [0x61, 0x62, 0x63, 0xD1], [0x61, 0xED, 0xA0, 0x80], [0x61, 0xE0, 0x80, 0x80], [0x61, 0x62, 0xC0, 0x80],
        ] as [[UInt8]] {
            #expect(valid.with(5, bytes).violation == "the text is not UTF-8")
        }
    }

    @Test("hold characters wherever they stand in a long text")
    func longUTF8() {
        func violation(behind letters: Int, _ bytes: some Sequence<UInt8>) -> String? {
            let text = [UInt8](repeating: 65, count: letters) + bytes + [UInt8](repeating: 66, count: 1_500 - letters)
            var lengths: [UInt8] = []
            for length in [text.count, 0, 0] { LEB128.append(UInt64(length), to: &lengths) }
            return valid.with(4, lengths).with(5, text).violation
        }
        for letters in Array(505...515) + Array(1_017...1_027) {
            for character in ["я", "€", "😀"] {
                #expect(violation(behind: letters, character.utf8) == nil)
                for bytes in [
                    Array(character.utf8.dropLast()), character.utf8.dropFirst() + [], character.utf8 + [0x80],
                ] {
                    #expect(violation(behind: letters, bytes) == "the text is not UTF-8")
                }
            }
        }
    }

    @Test("hold flags that are known")
    func flags() {
        for bit in 2..<8 { #expect(valid.with(7, [0, 1 << UInt8(bit), 0]).violation == "the flags are malformed") }
        #expect(valid.with(7, [2, 0, 0]).violation == "an erased message has a text")
    }

    @Test("say that a message is about an earlier one")
    func abouts() {
        #expect(valid.with(8, [9, 10, 11]).violation == nil)
        #expect(valid.with(8, [10, 0, 0]).violation == "a message is about a seq that is out of range")
        #expect(valid.with(8, [0, 0, 12]).violation == "a message is about a seq that is out of range")
    }

    @Test("hold commits that rise to the header's")
    func commits() {
        let other = "the last commit is not the header's"
        #expect(valid.set(\.lastCommit, Commit(1)).violation == other)
        #expect(valid.with(128, [1, 0, 0]).violation == other)
        #expect(valid.with(128, []).set(\.lastCommit, Commit(9)).violation == nil)
        #expect(valid.with(128, [1, 0, 1]).set(\.lastCommit, Commit(2)).violation == nil)
        let most: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]
        #expect(valid.with(128, most + [0, 1]).violation == "a commit is out of range")
        #expect(valid.with(128, most + [0, 0]).set(\.lastCommit, Commit(.max)).violation == nil)
    }

    @Test("say how many messages there are before memory is taken for them")
    func falseCount() {
        #expect(valid.set(\.count, 65_535).violation == "the senders' numbers are cut short")
        #expect(valid.set(\.count, 2).violation != nil)
        #expect(valid.set(\.count, 1).violation != nil)
    }
}
