import NatterSystem
import NatterModel
import Testing
import TestSupport

@testable import NatterLog

@Suite("blocks that chance has changed")
struct FuzzTests {
    private struct Model {
        let block: Block
        let dictionary: LogDictionary
        let records: [Record]
        /// The columns, not packed.
        let raw: [UInt8]

        init(using generator: inout SeededGenerator) throws {
            let records = Fixture.records(1...12, using: &generator)
            let dictionary = LogDictionary(Fixture.text(200, using: &generator))
            block = try Block(sealing: records, of: Fixture.conversation, hashBefore: .zero, dictionary: dictionary)
            self.dictionary = dictionary
            self.records = records.all
            raw = BlockPayload.encode(records, 0..<records.count, baseTime: block.header.baseTime.milliseconds)
        }
    }

    private func change(_ bytes: inout [UInt8], using generator: inout SeededGenerator) {
        for _ in 0..<generator.int(1...3) {
            let place = generator.int(0...max(0, bytes.count - 1))
            guard place < bytes.count else { return bytes.append(1) }
            switch generator.int(0...6) {
            case 0: bytes[place] ^= 1 << UInt8(generator.int(0...7))
            case 1: bytes[place] = [0, 1, 0x7F, 0x80, 0xFF][generator.int(0...4)]
            case 2: bytes.remove(at: place)
            case 3: bytes.insert(UInt8(generator.int(0...255)), at: place)
            case 4: bytes.removeSubrange(place..<min(bytes.count, place + generator.int(1...40)))
            case 5: bytes.insert(contentsOf: generator.bytes(generator.int(1...10)), at: place)
            default: bytes.swapAt(place, generator.int(0...(bytes.count - 1)))
            }
        }
    }

    private func read(_ bytes: [UInt8], with dictionary: LogDictionary) throws(FormatViolation) -> Records {
        let header = try BlockHeader(decoding: bytes)
        return try Block(header: header, stored: Array(bytes[BlockHeader.byteCount...])).verify(with: dictionary)
    }

    /// Every reader of records relies on this.
    private func checkWellFormed(_ records: Records, _ header: BlockHeader) throws {
        #expect(records.count == header.count && records.firstSeq == header.firstSeq)
        for record in records.all {
            #expect(String(validating: record.text, as: UTF8.self) != nil && record.text.count <= 65_536)
            #expect(String(validating: record.sender, as: UTF8.self) != nil)
            #expect(record.time >= header.lowestTime && record.time <= header.highestTime)
            #expect(record.about.map { $0 < record.seq && $0 > .zero } ?? true)
        }
        let again = try Block(sealing: records, of: Fixture.conversation, hashBefore: .zero, dictionary: .none)
        #expect(try again.verify(with: .none).all == records.all)
    }

    @Test("are refused, or give the messages that they were made of", arguments: UInt64(1)...20)
    func plain(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<20 {
            let model = try Model(using: &generator)
            let bytes = model.block.bytes
            for _ in 0..<50 {
                var changed = bytes
                change(&changed, using: &generator)
                if let records = try? read(changed, with: model.dictionary) {
                    #expect(changed == bytes && records.all == model.records)
                }
            }
        }
    }

    @Test("and whose checksums were put right again are refused or well-formed", arguments: UInt64(1)...20)
    func checksumsPutRight(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<20 {
            let model = try Model(using: &generator)
            for _ in 0..<50 {
                // Either the packed bytes are changed, or the columns below them.
                var header = model.block.header
                var stored = model.block.stored
                if generator.once(in: 2) {
                    (header.codec, header.dictionary, stored) = (.raw, .none, model.raw)
                    change(&stored, using: &generator)
                    header.rawLength = stored.count
                } else {
                    change(&stored, using: &generator)
                }
                (header.storedLength, header.storedChecksum) = (stored.count, Checksum.crc32c(stored))
                var bytes = header.encode()
                if generator.once(in: 4) {
                    bytes.removeLast(4)
                    bytes[generator.int(4...79)] = UInt8(generator.int(0...255))
                    bytes.append(littleEndian: Checksum.crc32c(bytes))
                }
                guard let header = try? BlockHeader(decoding: bytes),
                    let records = try? Block(header: header, stored: stored).open(with: model.dictionary)
                else { continue }
                try checkWellFormed(records, header)
            }
        }
    }

    @Test("at any byte of the columns, by any bit, are refused or well-formed", arguments: UInt64(1)...4)
    func everyBit(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var records = Records(firstSeq: Seq(3))
        for number in 0..<4 {
            records.append(
                time: Timestamp(milliseconds: Int64(number * 70)), sender: Array("я\(number % 2)".utf8),
                // Not empty: the hash does not cover whether an empty message was erased.
                text: Fixture.text(generator.int(1...12), using: &generator), kind: .edit, isImported: true,
                about: Seq(UInt64(number + 1)), commit: Commit(UInt64(number * 200)))
        }
        let model = try Block(sealing: records, of: Fixture.conversation, hashBefore: .zero, dictionary: .none)
        let raw = BlockPayload.encode(records, 0..<4, baseTime: 0)
        for bit in 0..<raw.count * 8 {
            var stored = raw
            stored[bit / 8] ^= 1 << UInt8(bit % 8)
            var header = model.header
            (header.codec, header.rawLength, header.storedLength) = (.raw, raw.count, raw.count)
            header.storedChecksum = Checksum.crc32c(stored)
            let block = Block(header: header, stored: stored)
            if let records = try? block.open(with: .none) { try checkWellFormed(records, header) }
            // Bytes that pass the rules are not the hashed ones.
            #expect(failure { () throws(FormatViolation) in _ = try block.verify(with: .none) } != nil, "bit \(bit)")
        }
    }
}
