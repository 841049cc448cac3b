import NatterLog
import NatterModel
import NatterSQLite
import NatterSystem
import StoreSupport
import TestSupport
import Testing

@testable import NatterStore

@Suite("rows of the journal")
struct SealedBatchTests {
    private static func batch(_ count: Int) -> Batch {
        var batch = Batch()
        var salt = SaltSource.newRun()
        var former: SaltSource?
        for number in 1...count {
            let text = Array("message \(number) of a conversation that goes on for a while".utf8)
            batch.append(
                conversation: 5,
                Record(
                    seq: Seq(UInt64(number)), time: Timestamp(milliseconds: 1_795_000_000_000 + Int64(number)),
                    sender: Array("alice".utf8), text: text[...], commit: Commit(3), salt: salt),
                after: former, key: nil)
            former = salt
            salt = salt.next ?? .newRun()
        }
        return batch
    }

    private static func texts(_ bytes: [UInt8]) throws -> [String] {
        var texts: [String] = []
        try bytes.withUnsafeBytes { bytes in
            try SealedBatch.decode(bytes) { texts.append(String(decoding: $0.record.text, as: UTF8.self)) }
        }
        return texts
    }

    private static func plain(_ batch: Batch) -> [UInt8] {
        var bytes: [UInt8] = [3] + batch.bytes
        bytes.append(littleEndian: Checksum.crc32c(bytes))
        return bytes
    }

    @Test("a large batch takes less than half, a small one is left as it is, and both come out whole")
    func sizes() throws {
        for count in [1, 4, 200] {
            let batch = SealedBatchTests.batch(count)
            let sealed = SealedBatch(batch).bytes
            #expect(try SealedBatchTests.texts(sealed).count == count)
            #expect(try SealedBatchTests.texts(sealed) == SealedBatchTests.texts(SealedBatchTests.plain(batch)))
            #expect(count < 5 ? sealed == SealedBatchTests.plain(batch) : sealed.count * 2 < batch.bytes.count)
        }
        #expect(SealedBatch(Batch()).isEmpty)
    }

    @Test("texts that can't be compressed are kept as they are")
    func noise() throws {
        var generator = SeededGenerator(seed: 11)
        var batch = Batch()
        let text = (0..<4_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        batch.append(
            conversation: 5,
            Record(seq: Seq(1), time: .zero, sender: [97], text: text[...], commit: Commit(3), salt: .newRun()),
            after: nil, key: nil)
        #expect(SealedBatch(batch).bytes == SealedBatchTests.plain(batch))
    }

    @Test("every changed bit is noticed, and what a damaged row assigned is still found, unless its length is gone")
    func damage() throws {
        let sealed = SealedBatch(SealedBatchTests.batch(200)).bytes
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1 << UInt8(index % 8)
            #expect(throws: FormatViolation.self, "byte \(index)") { _ = try SealedBatchTests.texts(changed) }
            _ = changed.withUnsafeBytes { SealedBatch.seqs(inDamaged: $0) }
        }
        // A changed letter of a text, far behind the beginning
        var changed = sealed
        let digit = try #require(changed.indices.last { changed[$0] == UInt8(ascii: "2") && $0 > changed.count / 2 })
        changed[digit] ^= 1
        let seqs = changed.withUnsafeBytes { SealedBatch.seqs(inDamaged: $0) }.map(\.seq)
        #expect(seqs.prefix(100).elementsEqual((1...100).map { Seq($0) }), "\(seqs.count)")
    }

    @Test("noise with a good checksum is refused or decoded, and claims no memory that it can't fill")
    func random() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<20_000 {
            let count = Int.random(in: 1..<80, using: &generator)
            var bytes: [UInt8] = [UInt8.random(in: 3...5, using: &generator)]
            bytes += (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            bytes.append(littleEndian: Checksum.crc32c(bytes))
            _ = try? SealedBatchTests.texts(bytes)
            _ = bytes.withUnsafeBytes { SealedBatch.seqs(inDamaged: $0) }
        }
        // A row that says it stands for a gigabyte
        var bytes: [UInt8] = [4]
        LEB128.append(1 << 30, to: &bytes)
        bytes += [0x10, 65, 1, 0]
        bytes.append(littleEndian: Checksum.crc32c(bytes))
        #expect(throws: FormatViolation.self, "seed \(seed)") { _ = try SealedBatchTests.texts(bytes) }
    }
}
