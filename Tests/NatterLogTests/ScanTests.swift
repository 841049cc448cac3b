import NatterSystem
import NatterModel
import NatterLog
import SystemSupport
import Testing
import TestSupport

/// A small file of header, dictionary and three blocks, and its messages.
struct SmallSegment {
    let disk = SimulatedDisk(records: false)
    let records: Records
    let blocks: [Block]
    let hashBefore: Digest
    let bodyOffset: Int
    /// Where each block begins, and where the last one ends.
    let edges: [Int]
    var bytes: [UInt8]

    init(seed: UInt64 = 1) throws {
        var generator = SeededGenerator(seed: seed)
        let hashBefore = Digest(of: [9])
        let dictionary = LogDictionary(Array("the quick brown fox".utf8))
        var records = Records(firstSeq: Seq(41))
        for number in 0..<12 {
            records.append(
                time: Timestamp(milliseconds: 1_000 + Int64(number)), sender: Array("bob\(number % 3)".utf8),
                text: Array("the quick brown fox \(generator.int(0...99_999)) the quick brown fox".utf8),
                commit: Commit(UInt64(number)))
        }
        let blocks = try Fixture.blocks(records, cut: [5, 4, 3], dictionary: dictionary, hashBefore: hashBefore)
        let segment = try Segment.create(
            at: "/x",
            header: Fixture.header(firstSeq: records.firstSeq, hashBefore: hashBefore, dictionary: dictionary),
            dictionary: dictionary, on: disk)
        _ = try segment.append(blocks, at: segment.bodyOffset)
        (self.records, self.blocks, self.hashBefore, bodyOffset) = (
            records, blocks, hashBefore, Int(segment.bodyOffset)
        )
        var edges = [Int(segment.bodyOffset)]
        for block in blocks { edges.append((edges.last ?? 0) + block.header.totalLength) }
        self.edges = edges
        bytes = disk["/x"]
    }

    struct Finding {
        var end: SegmentEnd
        var places: [BlockPlace]
        var records: [Record]
        /// Blocks whose checksums are right but whose content is not.
        var isVerified: Bool
    }

    /// Opens and scans other bytes in the file's place.
    func scan(_ bytes: [UInt8]) throws -> Finding {
        disk["/x"] = bytes
        let segment = try Segment.open(at: "/x", on: disk)
        var finding = Finding(end: .clean, places: [], records: [], isVerified: true)
        finding.end = try segment.scan(
            from: segment.bodyOffset, expectedSeq: segment.header.firstSeq, expectedHash: segment.header.hashBefore
        ) { place, block in
            finding.places.append(place)
            if let records = try? block.verify(with: segment.dictionary) {
                finding.records += records.all
            } else {
                finding.isVerified = false
            }
            return true
        }
        return finding
    }

    func joined(_ blocks: [Block]) -> [UInt8] { bytes[..<bodyOffset] + blocks.flatMap(\.bytes) }
}

@Suite("a scan of a segment")
struct ScanTests {
    private let small: SmallSegment

    init() throws { small = try SmallSegment() }

    @Test("finds every block of a whole file")
    func whole() throws {
        let finding = try small.scan(small.bytes)
        #expect(finding.end == .clean && finding.isVerified && finding.records == small.records.all)
        #expect(finding.places.map { Int($0.offset) } == Array(small.edges.dropLast()))
        #expect(finding.places.map(\.header) == small.blocks.map(\.header))
        #expect(finding.places.last.map { Int($0.end) } == small.bytes.count)
    }

    @Test("stops when its reader has enough")
    func stop() throws {
        let segment = try Segment.open(at: "/x", on: small.disk)
        var count = 0
        let end = try segment.scan(from: segment.bodyOffset, expectedSeq: Seq(41)) { _, _ in
            count += 1
            return count < 2
        }
        #expect(end == .clean && count == 2)
    }

    @Test("notices every flipped bit, and shows no message that was not written")
    func flips() throws {
        let all = small.records.all
        for bit in 0..<small.bytes.count * 8 {
            var changed = small.bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            if bit / 8 < small.bodyOffset {
                #expect(throws: LogError.self, "bit \(bit)") { try small.scan(changed) }
                continue
            }
            let finding = try small.scan(changed)
            let block = small.edges.lastIndex { $0 <= bit / 8 } ?? 0
            guard case .damaged(UInt64(small.edges[block]), _, _) = finding.end else {
                Issue.record("bit \(bit): \(finding.end)")
                continue
            }
            // The records before the damage are served.
            #expect(finding.places.count == block && finding.isVerified && all.starts(with: finding.records))
        }
    }

    @Test("takes a file that was cut at any byte for what it is: whole blocks and an unfinished write")
    func cuts() throws {
        for count in 0..<small.bytes.count {
            let cut = Array(small.bytes[..<count])
            if count < small.bodyOffset {
                #expect(throws: LogError.self) { try small.scan(cut) }
                continue
            }
            let finding = try small.scan(cut)
            let whole = small.edges.lastIndex { $0 <= count } ?? 0
            let edge = small.edges[whole]
            #expect(
                finding.end
                    == (edge == count ? .clean : .torn(offset: UInt64(edge), length: UInt64(count - edge))))
            #expect(finding.places.count == whole && finding.isVerified)
            #expect(small.records.all.starts(with: finding.records))
        }
    }

    @Test(
        "takes zeros at the end for an unfinished write",
        arguments: [1, 3, 4, 159, 160, 161, 4_096, 1 << 20 + 160, 1 << 20 + 161, 3 << 20])
    func zeros(count: Int) throws {
        let finding = try small.scan(small.bytes + [UInt8](repeating: 0, count: count))
        #expect(finding.end == .torn(offset: UInt64(small.bytes.count), length: UInt64(count)))
        #expect(finding.records == small.records.all)
        if count == 3 << 20 {
            let endless = small.bytes + [UInt8](repeating: 0, count: Int(Segment.maximumBytes) + 1)
            guard case .damaged = try small.scan(endless).end else {
                Issue.record("zeros without end passed for one write")
                return
            }
        }
        // A single other byte among them is not explained by that.
        var dirty = small.bytes + [UInt8](repeating: 0, count: count)
        dirty[dirty.count - 1] = 1
        guard case .damaged = try small.scan(dirty).end else {
            Issue.record("a foreign byte passed for zeros")
            return
        }
    }

    @Test("never takes a block for whole of which a part is zeros")
    func lostPages() throws {
        for count in small.edges[2]..<small.edges[3] {
            let bytes = small.bytes[..<count] + [UInt8](repeating: 0, count: small.bytes.count - count)
            if Array(bytes) == small.bytes { continue }
            let finding = try small.scan(Array(bytes))
            #expect(finding.end != .clean && finding.places.count == 2)
        }
    }

    @Test("notices blocks in another order, twice, or missing")
    func order() throws {
        let blocks = small.blocks
        for (order, whole) in [
            ([1, 0, 2], 0), ([0, 2, 1], 1), ([0, 0, 1, 2], 1), ([0, 1, 1, 2], 2), ([0, 2], 1), ([1, 2], 0),
        ] {
            let finding = try small.scan(small.joined(order.map { blocks[$0] }))
            guard
                case .damaged(UInt64(small.edges[whole]), _, "a block does not follow the one before it") = finding.end
            else {
                Issue.record("\(order): \(finding.end)")
                continue
            }
            #expect(finding.places.count == whole)
        }
    }

    @Test("notices a block of another conversation, of another history, or made for one answer")
    func foreign() throws {
        let dictionary = LogDictionary(Array("the quick brown fox".utf8))
        let second = small.records.slice(5..<9)
        let hash = small.blocks[0].header.hashAfter
        let others: [(Block, Phrase)] = [
            (
                try Block(sealing: second, of: Fixture.stranger, hashBefore: hash, dictionary: dictionary),
                "a block of another conversation is in the file"
            ),
            (
                try Block(sealing: second, of: Fixture.conversation, hashBefore: .zero, dictionary: dictionary),
                "a block does not follow the one before it"
            ),
            (
                try Block(
                    sealing: second, of: Fixture.conversation, hashBefore: hash, dictionary: dictionary,
                    isProvisional: true), "a provisional block is in a file"
            ),
        ]
        for (other, reason) in others {
            let finding = try small.scan(small.joined([small.blocks[0], other, small.blocks[2]]))
            guard case .damaged(UInt64(small.edges[1]), _, reason) = finding.end else {
                Issue.record("\(finding.end)")
                continue
            }
            #expect(finding.places.count == 1)
        }
    }

    @Test("notices by its hash a block whose checksums were put right")
    func forged() throws {
        let dictionary = LogDictionary(Array("the quick brown fox".utf8))
        var forged = Records(firstSeq: Seq(46))
        for record in small.records.slice(5..<9).all {
            var record = record
            if record.seq == Seq(47) { record.text = Array("another text".utf8)[...] }
            forged.append(record)
        }
        let block = try Block(
            sealing: forged, of: Fixture.conversation, hashBefore: small.blocks[0].header.hashAfter,
            hashAfter: small.blocks[1].header.hashAfter, dictionary: dictionary)
        let finding = try small.scan(small.joined([small.blocks[0], block, small.blocks[2]]))
        #expect(finding.end == .clean && !finding.isVerified)
    }
}
