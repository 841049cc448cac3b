import NatterSystem
import NatterModel
import NatterLog
import SystemSupport
import Testing
import TestSupport

@Suite("a segment file")
struct SegmentTests {
    private static let header = Fixture.header(firstSeq: Seq(7), hashBefore: Digest(of: [1]))

    private func decode(_ bytes: [UInt8]) throws(LogError) -> SegmentHeader {
        try bytes.withUnsafeBytesTyped { bytes throws(LogError) in
            try SegmentHeader.decode(bytes, path: "x").header
        }
    }

    private func error(_ bytes: [UInt8]) -> LogError? {
        failure { () throws(LogError) in _ = try decode(bytes) }
    }

    /// The header with some bytes changed and the checksum put right again.
    private func changed(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
        var bytes = Array(Self.header.encode().dropLast(4))
        change(&bytes)
        bytes.append(littleEndian: Checksum.crc32c(bytes))
        return bytes
    }

    private func damaged(_ reason: Phrase) -> LogError { .damaged(path: "x", offset: 0, reason: reason) }

    @Test("has a header that round-trips", arguments: ConversationKind.allCases)
    func roundTrip(kind: ConversationKind) throws {
        var header = Self.header
        header.kind = kind
        header.dictionary = DictionaryID(high: 3, low: 4)
        header.name = kind == .personal ? "" : String(repeating: "я", count: 32)
        header.users = kind == .personal ? [String(repeating: "a", count: 64), "боб"] : []
        let bytes = header.encode()
        #expect(bytes.count <= SegmentHeader.maximumBytes)
        #expect(try decode(bytes) == header)
        #expect(try decode(bytes + [UInt8](repeating: 0xFF, count: 300)) == header)
    }

    @Test("has a header that notices every flipped bit, and every cut")
    func flips() {
        let bytes = Self.header.encode()
        for bit in 0..<bytes.count * 8 {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            // A flipped bit never passes for a newer format, for which the remedy would be another one.
            guard case .damaged = error(changed) else {
                Issue.record("bit \(bit)")
                continue
            }
        }
        for count in 0..<bytes.count { #expect(error(Array(bytes.prefix(count))) != nil) }
    }

    @Test("of an unknown major is refused, of an unknown minor read")
    func versions() throws {
        #expect(error(changed { $0[8] = 2 }) == .newerFormat(path: "x", major: 2))
        #expect(error(changed { $0[9] = 1 }) == .newerFormat(path: "x", major: 257))
        #expect(error(changed { $0[8] = 0 }) == .newerFormat(path: "x", major: 0))
        #expect(try decode(changed { $0[10] = 9 }) == Self.header)
    }

    @Test("has fields that can be, also where the checksum is right")
    func rules() {
        let outOfRange = damaged("a field of the file's header is out of range")
        #expect(error(changed { $0.replaceSubrange(56..<64, with: [UInt8](repeating: 0, count: 8)) }) == outOfRange)
        #expect(error(changed { $0[120] = 3 }) == outOfRange)
        // It says whether the log begins here.
        #expect(error(changed { $0[121] = 2 }) == outOfRange)
        for place in 122..<128 { #expect(error(changed { $0[place] = 1 }) == outOfRange) }
        let malformed = damaged("a name in the file's header is malformed")
        #expect(error(changed { $0[129] = 0xFF }) == malformed)
        #expect(error(changed { $0[128] = 200 }) == malformed)
        let length = damaged("the length of the file's header is out of range")
        for value in [0, 16, 134, 200, 255] as [UInt8] { #expect(error(changed { $0[12] = value }) == length) }
        #expect(error(changed { $0[13] = 0xFF }) == length)
        #expect(error(changed { $0[15] = 0xFF }) == length)
        // A name less and a byte too much.
        #expect(
            error(
                changed {
                    $0.append(0)
                    $0[12] += 1
                }) == damaged("the file's header is longer than its fields"))
    }

    @Test("shows that it was copied as text")
    func textMode() {
        let bytes = Self.header.encode() + [13, 10, 10, 13]
        func replaced(_ old: [UInt8], by new: [UInt8]) -> [UInt8] {
            var (result, index) = ([UInt8](), 0)
            while index < bytes.count {
                if bytes[index...].starts(with: old) {
                    result += new
                    index += old.count
                } else {
                    result.append(bytes[index])
                    index += 1
                }
            }
            return result
        }
        let copies: [[UInt8]] = [
            replaced([13, 10], by: [10]), replaced([10], by: [13, 10]), replaced([13], by: [10]),
            replaced([13], by: []),
            bytes.map { $0 & 0x7F }, Array(bytes.prefix { $0 != 0x1A }),
            Array(String(decoding: bytes, as: UTF8.self).utf8), [0xEF, 0xBB, 0xBF] + bytes,
            Array(String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) })).utf8),
        ]
        for copy in copies { #expect(error(copy) == damaged("this is not a natter log")) }
    }

    @Test("has a name made of its conversation and its first seq")
    func names() {
        #expect(
            Segment.name(of: Fixture.conversation, firstSeq: Seq(4_711), generation: 0)
                == "logs/01/0123456789abcdeffedcba9876543210/0000000000001267-0000.log")
        #expect(
            Segment.name(of: Fixture.conversation, firstSeq: Seq(.max), generation: 0x1234)
                == "logs/01/0123456789abcdeffedcba9876543210/ffffffffffffffff-1234.log")
    }

    @Test("is durable and private as soon as it is there")
    func create() throws {
        let home = try TemporaryDirectory()
        let disk = PosixDisk()
        var generator = SeededGenerator(seed: 1)
        let dictionary = LogDictionary(Fixture.text(5_000, using: &generator))
        let header = Fixture.header(firstSeq: Seq(1), hashBefore: .zero, dictionary: dictionary)
        let path = home.path + "/" + Segment.name(of: Fixture.conversation, firstSeq: Seq(1), generation: 0)
        let segment = try Segment.create(at: path, header: header, dictionary: dictionary, on: disk)
        // Then the file is whole, and its owner's alone
        let found = try #require(try disk.information(path))
        #expect(found.mode == 0o600 && found.size == segment.bodyOffset)
        #expect(try disk.information(Path.directory(of: path))?.mode == 0o700)
        let opened = try Segment.open(at: path, on: disk)
        #expect(opened.header == header && opened.dictionary == dictionary && opened.bodyOffset == segment.bodyOffset)
        // And it cannot be created twice
        let again = failure { () throws(LogError) in
            _ = try Segment.create(at: path, header: header, dictionary: dictionary, on: disk)
        }
        #expect(again == .disk(DiskError(code: .fileExists, operation: "create", path: path)))
    }

    @Test("is synced before its directory, and that before it is used")
    func order() throws {
        let files = SimulatedDisk()
        try files.makeDirectories("/logs/a")
        let disk = FaultyDisk(over: files)
        _ = try Segment.create(
            at: "/logs/a/file", header: Fixture.header(firstSeq: Seq(1), hashBefore: .zero), dictionary: .none, on: disk
        )
        // The directory itself may be new, or left by a process that did not sync its name
        #expect(
            disk.calls == [
                "syncDirectory /logs", "create /logs/a/file", "write /logs/a/file", "sync /logs/a/file",
                "syncDirectory /logs/a",
            ])
    }

    @Test("is read by the index's copy if its dictionary is damaged")
    func spare() throws {
        var generator = SeededGenerator(seed: 2)
        let dictionary = LogDictionary(Fixture.text(300, using: &generator))
        let records = Fixture.records(20...20, using: &generator)
        let header = Fixture.header(firstSeq: records.firstSeq, hashBefore: .zero, dictionary: dictionary)
        let disk = SimulatedDisk(records: false)
        let segment = try Segment.create(at: "/x", header: header, dictionary: dictionary, on: disk)
        let block = try Fixture.blocks(records, cut: [20], dictionary: dictionary, hashBefore: .zero)[0]
        _ = try segment.append([block], at: segment.bodyOffset)
        let whole = disk["/x"]
        for bit in header.encode().count * 8..<Int(segment.bodyOffset) * 8 {
            var changed = whole
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            disk["/x"] = changed
            #expect(failure { () throws(LogError) in _ = try Segment.open(at: "/x", on: disk) } != nil, "bit \(bit)")
            let opened = try Segment.open(at: "/x", on: disk, spare: dictionary)
            #expect(opened.bodyOffset == segment.bodyOffset)
            #expect(try opened.block(at: opened.bodyOffset).open(with: opened.dictionary).all == records.all)
            #expect(
                failure { () throws(LogError) in _ = try Segment.open(at: "/x", on: disk, spare: LogDictionary.none) }
                    != nil)
        }
    }

    @Test("gives the block that the index names, or says that it is another")
    func indexed() throws {
        var generator = SeededGenerator(seed: 3)
        let records = Fixture.records(20...20, using: &generator)
        let disk = SimulatedDisk(records: false)
        let segment = try Segment.create(
            at: "/x", header: Fixture.header(firstSeq: records.firstSeq, hashBefore: .zero), dictionary: .none, on: disk
        )
        let block = try Fixture.blocks(records, cut: [20], hashBefore: .zero)[0]
        let (offset, length) = (segment.bodyOffset, block.header.totalLength)
        #expect(try segment.append([block], at: offset) == offset + UInt64(length))
        #expect(try segment.block(at: offset, length: length, firstSeq: records.firstSeq).bytes == block.bytes)
        #expect(try segment.block(at: offset).bytes == block.bytes)
        for (offset, length, seq) in [
            (offset, length - 1, records.firstSeq), (offset, length + 1, records.firstSeq),
            (offset, 0, records.firstSeq),
            (offset, -1, records.firstSeq), (offset, .min, records.firstSeq), (offset, .max, records.firstSeq),
            (offset, length, records.firstSeq.next), (offset + 1, length, records.firstSeq),
            (0, length, records.firstSeq),
            (offset + UInt64(length), length, records.firstSeq), (1 << 40, length, records.firstSeq),
        ] {
            let error = failure { () throws(LogError) in
                _ = try segment.block(at: offset, length: length, firstSeq: seq)
            }
            guard case .damaged("/x", offset, _) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }
}
