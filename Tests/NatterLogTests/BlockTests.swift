import NatterSystem
import NatterModel
import NatterLog
import Testing
import TestSupport

@Suite("a block")
struct BlockTests {
    @Test("gives back its messages", arguments: UInt64(1)...150)
    func roundTrip(seed: UInt64) throws {
        // Given messages of every sort, of which a part is sealed
        var generator = SeededGenerator(seed: seed)
        let records = Fixture.records(using: &generator)
        let dictionary = Fixture.dictionary(using: &generator)
        let start = generator.int(0...(records.count - 1))
        let range = start..<min(records.count, start + records.blockCount(from: start, targetBytes: 400_000))
        let before = Digest(of: generator.bytes(8))
        let effort = [Block.Effort.best, .brisk, .light][generator.int(0...2)]
        // When they are packed, written as bytes and read back
        let isProvisional = generator.once(in: 2)
        let sealed = try Block(
            sealing: records, range, of: Fixture.conversation, hashBefore: before, dictionary: dictionary,
            isProvisional: isProvisional, effort: effort)
        let bytes = sealed.bytes
        let header = try BlockHeader(decoding: bytes)
        let block = Block(header: header, stored: Array(bytes[BlockHeader.byteCount...]))
        // Then nothing is lost, added or moved, but for the commits of one that a single reader gets
        let expected = range.map { index in
            var record = records[index]
            if isProvisional { record.commit = .zero }
            return record
        }
        #expect(try block.verify(with: dictionary).all == expected)
        // And the header says what is in it
        #expect(header == sealed.header && header.isProvisional == isProvisional)
        #expect(header.firstSeq == records[range.lowerBound].seq && header.lastSeq == records[range.upperBound - 1].seq)
        #expect(header.count == range.count && header.totalLength == bytes.count && header.revision == 0)
        #expect(header.lowestTime == range.map { records[$0].time }.min())
        #expect(header.highestTime == range.map { records[$0].time }.max())
        #expect(header.lastCommit == expected.last?.commit)
        #expect(header.conversationPrefix == Fixture.conversation.high)
        #expect(header.dictionary == (header.codec == .raw ? .none : dictionary.id))
    }

    @Test("is opened only if it has what its reader wants", arguments: UInt64(1)...12)
    func wishes(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var records = Records(firstSeq: Seq(1))
        // So many names that they may be longer than what is looked at first.
        let senders = (0..<generator.int(1...120)).map { Array("\($0)".utf8) + Fixture.text(50, using: &generator) }
        for sender in senders {
            records.append(
                time: .zero, sender: sender, text: Fixture.text(generator.int(0...300), using: &generator),
                commit: .zero)
        }
        let dictionary = Fixture.dictionary(using: &generator)
        let block = try Block(sealing: records, of: Fixture.conversation, hashBefore: .zero, dictionary: dictionary)
        for sender in [senders[0], senders[senders.count / 2], senders[senders.count - 1]] {
            let found = try block.open(with: dictionary, wish: BlockWish(sender: { $0 == sender }))
            #expect(found?.all == records.all)
        }
        // Where the names take more than is looked at, it is opened all the same.
        if senders.reduce(0, { $0 + $1.count + 1 }) < 4_000 {
            #expect(try block.open(with: dictionary, wish: BlockWish(sender: { $0 == [1] })) == nil)
        }
        let texts = records.all.flatMap(\.text)
        #expect(try block.open(with: dictionary, wish: BlockWish(text: { !$0.elementsEqual(texts) })) == nil)
        #expect(try block.open(with: dictionary, wish: BlockWish(text: { _ in true }))?.all == records.all)
    }

    @Test("a text that is not UTF-8 is damage, whatever its reader wants")
    func damagedText() throws {
        var records = Records(firstSeq: Seq(1))
        records.append(time: .zero, sender: [65], text: [65, 0xFF], commit: .zero)
        let block = try Block(sealing: records, of: Fixture.conversation, hashBefore: .zero, dictionary: .none)
        for isWanted in [false, true] {
            #expect(throws: FormatViolation.self) {
                try block.open(with: .none, wish: BlockWish(text: { _ in isWanted }))
            }
        }
    }

    @Test("is packed if that makes it shorter")
    func codecs() throws {
        var generator = SeededGenerator(seed: 1)
        var records = Records(firstSeq: Seq(1))
        records.append(time: .zero, sender: Array("bob".utf8), text: Array("hi".utf8), commit: Commit(1))
        let short = try Block(
            sealing: records, of: Fixture.conversation, hashBefore: .zero, dictionary: LogDictionary([1, 2, 3]))
        #expect(short.header.codec == .raw && short.header.dictionary == .none)
        #expect(try short.verify(with: .none).all == records.all)
        records.append(
            time: .zero, sender: Array("bob".utf8), text: Array(String(repeating: "again ", count: 1_000).utf8),
            commit: Commit(1))
        let long = try Block(sealing: records, of: Fixture.conversation, hashBefore: .zero, dictionary: .none)
        #expect(long.header.codec == .lz4 && long.stored.count < 200)
        #expect(try long.verify(with: .none).all == records.all)
        // The dictionary's content need not be in the block.
        let text = Fixture.text(3_000, using: &generator)
        var known = Records(firstSeq: Seq(1))
        known.append(time: .zero, sender: Array("bob".utf8), text: text, commit: Commit(1))
        let dictionary = LogDictionary(text)
        let block = try Block(sealing: known, of: Fixture.conversation, hashBefore: .zero, dictionary: dictionary)
        #expect(block.header.dictionary == dictionary.id && block.stored.count < 100)
        #expect(try block.verify(with: dictionary).all == known.all)
    }

    @Test("that names a dictionary is read with that one alone")
    func wrongDictionary() throws {
        var generator = SeededGenerator(seed: 2)
        let records = Fixture.records(30...30, using: &generator)
        let dictionary = LogDictionary(Fixture.text(2_000, using: &generator))
        let block = try Block(sealing: records, of: Fixture.conversation, hashBefore: .zero, dictionary: dictionary)
        for other in [LogDictionary.none, LogDictionary(Fixture.text(2_000, using: &generator))] {
            #expect(
                failure { () throws(FormatViolation) in _ = try block.open(with: other) }
                    == FormatViolation("a block's dictionary is missing"))
        }
    }

    @Test("is the same bytes whatever lay around its messages", arguments: UInt64(1)...20)
    func canonical(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let records = Fixture.records(20...60, using: &generator)
        let range = 5..<15
        func seal(_ records: Records, _ range: Range<Int>) throws -> [UInt8] {
            try Block(sealing: records, range, of: Fixture.conversation, hashBefore: .zero, dictionary: .none).bytes
        }
        #expect(try seal(records, range) == seal(records.slice(range), 0..<10))
    }

    @Test("holds up to 65,535 messages")
    func most() throws {
        var records = Records(firstSeq: Seq(1))
        for _ in 0..<65_535 { records.append(time: .zero, sender: [65], text: [], commit: .zero) }
        #expect(records.blockCount(from: 0, targetBytes: .max) == 65_535)
        let block = try Block(
            sealing: records, of: Fixture.conversation, hashBefore: .zero, hashAfter: .zero, dictionary: .none)
        let read = try block.open(with: .none)
        #expect(read.count == 65_535 && read.lastSeq == Seq(65_535))
        // The hash given for the end was not the right one: only `verify` looks.
        #expect(failure { () throws(FormatViolation) in _ = try block.verify(with: .none) } != nil)
    }

    @Test("refuses more than fits into it, and whatever messages hold, it holds as many as they say")
    func full() throws {
        var generator = SeededGenerator(seed: 4)
        func seal(_ records: Records, _ range: Range<Int>? = nil) throws -> Block {
            try Block(
                sealing: records, range, of: Fixture.conversation, hashBefore: .zero, dictionary: .none, effort: .light)
        }
        // Given messages that are short, each from a sender and a program of its own
        var records = Records(firstSeq: Seq(1))
        for number in 0..<9_000 {
            let name = Array("\(number) ".utf8)
            records.append(
                time: Timestamp(milliseconds: Int64(generator.int(0...1_000_000_000))),
                sender: name + generator.bytes(50).map { $0 % 64 + 48 }, text: [65], kind: .text,
                via: name + generator.bytes(190).map { $0 % 64 + 48 }, written: .zero, commit: Commit(UInt64(number)),
                salt: .newRun())
        }
        #expect(throws: FormatViolation.self) { try seal(records) }
        #expect(throws: FormatViolation.self) { try seal(records, 0..<0) }
        // When they are cut as all logs are
        var part = Records(firstSeq: Seq(1))
        var start = 0
        while start < records.count {
            let count = records.blockCount(from: start, targetBytes: Block.targetRawBytes)
            // Then each piece fits, and one that grows message by message ends at the same places
            let block = try seal(records, start..<start + count)
            #expect(try block.open(with: .none).all == Array(records.all[start..<start + count]))
            for index in start..<start + count {
                #expect(index == start || part.hasRoom(for: records[index]))
                part.append(records[index])
            }
            start += count
            guard start < records.count else { break }
            #expect(!part.hasRoom(for: records[start]))
            part = Records(firstSeq: records[start].seq)
        }
        // And so do the most that fit into one, with every second one erased.
        var plain = Records(firstSeq: Seq(1))
        let delay = Timestamp(milliseconds: -4_000_000_000_000)
        while plain.isEmpty || plain.hasRoom(for: plain[0]) {
            plain.append(
                time: Timestamp(milliseconds: Int64(generator.int(0...4_000_000_000_000))), sender: [66], text: [],
                about: plain.isEmpty ? nil : Seq(1), via: [67], written: delay,
                commit: Commit(UInt64(plain.count) << 32))
        }
        let gone = Set(plain.all.map(\.seq).filter { $0.rawValue % 2 == 0 })
        _ = try seal(plain.erasing(gone, withdrawing: plain.seeds(of: gone)))
    }

    @Test("notices every other byte where its own were")
    func storedChecksum() throws {
        var generator = SeededGenerator(seed: 3)
        let records = Fixture.records(10...10, using: &generator)
        let block = try Block(sealing: records, of: Fixture.conversation, hashBefore: .zero, dictionary: .none)
        for stored in [[], block.stored + [0], block.stored.dropLast(), block.stored.reversed()] {
            let other = Block(header: block.header, stored: Array(stored))
            #expect(failure { () throws(FormatViolation) in try other.checkStored() } != nil)
            #expect(failure { () throws(FormatViolation) in _ = try other.open(with: .none) } != nil)
        }
    }
}

@Suite("records")
struct RecordsTests {
    @Test("are found by seq")
    func index() {
        var generator = SeededGenerator(seed: 1)
        let records = Fixture.records(10...10, using: &generator)
        #expect(records.index(of: records.firstSeq) == 0 && records.index(of: records.lastSeq) == 9)
        #expect(records.index(of: records.firstSeq.previous) == nil && records.index(of: records.lastSeq.next) == nil)
        #expect(records.index(of: .zero) == nil && records.index(of: Seq(.max)) == nil)
        #expect(records[records.lastSeq] == records[9])
        #expect(Records(firstSeq: Seq(5)).lastSeq == Seq(4))
    }

    @Test("can be cut and joined", arguments: UInt64(1)...30)
    func slices(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let records = Fixture.records(using: &generator)
        let cut = generator.int(0...records.count)
        var joined = records.slice(0..<cut)
        joined.append(contentsOf: records.slice(cut..<records.count))
        #expect(joined.all == records.all)
        #expect(records.slice(cut..<records.count).all == Array(records.all[cut...]))
    }

    @Test("fall into blocks that cover all of them", arguments: UInt64(1)...30)
    func blockCounts(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let records = Fixture.records(using: &generator)
        var start = 0
        while start < records.count {
            let count = records.blockCount(from: start, targetBytes: 2_000)
            #expect(count > 0)
            let bytes = (start..<start + count).reduce(0) { $0 + records[$1].text.count + 8 }
            #expect(count == 1 || bytes <= 2_000)
            start += count
        }
        #expect(start == records.count && records.blockCount(from: start, targetBytes: 2_000) == 0)
    }

    @Test("tell how many belong to a commit, and what was said last")
    func commitsAndText() {
        var records = Records(firstSeq: Seq(1))
        for (text, commit) in [("one", 3), ("two", 3), ("three", 7)] {
            records.append(time: .zero, sender: [65], text: Array(text.utf8), commit: Commit(UInt64(commit)))
        }
        #expect([0, 2, 3, 6, 7, 100].map { records.count(upTo: Commit($0)) } == [0, 0, 2, 2, 3, 3])
        #expect(
            [4, 5, 7, 8, 100].map { Array(records.lastText(limit: $0)) }
                == ["", "three", "three", "twothree", "onetwothree"].map { Array($0.utf8) })
        #expect(Records(firstSeq: Seq(1)).lastText(limit: 10).isEmpty)
    }
}
