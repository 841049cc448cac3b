import NatterSystem
import NatterLog
import NatterModel
import Testing
import TestSupport

@Suite("the hash chain")
struct HashChainTests {
    @Test("is the same however its messages are cut into blocks", arguments: UInt64(1)...40)
    func cuts(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let records = Fixture.records(using: &generator)
        let start = HashChain.start(of: Fixture.conversation)
        let whole = records.all.reduce(start) { HashChain.advance($0, over: $1) }
        #expect(HashChain.advance(start, over: records) == whole)
        for _ in 0..<3 {
            var (counts, rest) = ([Int](), records.count)
            while rest > 0 {
                counts.append(generator.int(1...rest))
                rest -= counts.last ?? rest
            }
            let blocks = try Fixture.blocks(
                records, cut: counts, dictionary: Fixture.dictionary(using: &generator), hashBefore: start,
                effort: .light)
            #expect(blocks.last?.header.hashAfter == whole)
            #expect(zip(blocks, blocks.dropFirst()).allSatisfy { $0.header.hashAfter == $1.header.hashBefore })
        }
    }

    @Test("covers everything that a message is, but not its commit, its number, and whether it is erased")
    func fields() throws {
        let record = Record(
            seq: Seq(5), time: Timestamp(milliseconds: 1_000), sender: Array("bob".utf8), text: Array("hi".utf8)[...],
            kind: .edit, isImported: false, about: Seq(3), commit: Commit(9), salt: .newRun())
        let changes: [(inout Record) -> Void] = [
            { $0.time = Timestamp(milliseconds: 1_001) }, { $0.sender = Array("bo".utf8) },
            { $0.text = Array("ho".utf8)[...] },
            { $0.text = [] }, { $0.kind = .delete }, { $0.isImported = true }, { $0.about = nil },
            { $0.about = Seq(4) }, { $0.via = Array("ci".utf8) }, { $0.written = Timestamp(milliseconds: 999) },
            { $0.salt = .newRun() }, { $0.salt = $0.salt.next ?? $0.salt },
            // Bytes of one field cannot be taken for the next field's.
            {
                $0.sender = Array("bobh".utf8)
                $0.text = Array("i".utf8)[...]
            },
        ]
        var digests: Set = [HashChain.digest(of: record)]
        for change in changes {
            var changed = record
            change(&changed)
            digests.insert(HashChain.digest(of: changed))
        }
        #expect(digests.count == changes.count + 1)
        var same = record
        same.commit = Commit(10)
        (same.seq, same.about) = (Seq(6), Seq(4))
        same.isErased = true
        #expect(HashChain.digest(of: same) == HashChain.digest(of: record))
        // The salt alone gives the same hash as the seed that it was made of, and an erased record keeps the hash.
        same.salt = try #require(record.salt.salt.map { .salt($0) })
        #expect(HashChain.digest(of: same) == HashChain.digest(of: record))
        same.salt = .erased(HashChain.digest(of: record))
        same.text = []
        #expect(HashChain.digest(of: same) == HashChain.digest(of: record))
    }

    // Computed with Python's hashlib from the words of natter-log(5).
    @Test("is what the manual says")
    func vector() {
        let record = Record(
            seq: Seq(300), time: Timestamp(milliseconds: 1_795_159_445_123), sender: Array("Маша".utf8),
            text: Array("привет".utf8)[...], kind: .edit, isImported: true, about: Seq(299),
            salt: .seed(SaltSeed(high: 0x0001_0203_0405_0607, low: 0x0809_0A0B_0C0D_0E0F), place: 7))
        let start = HashChain.start(of: Fixture.conversation)
        #expect(start.description == "39af4e465c3bb08ee5f6b9d7bc66951b48e1aa30e823a3596b3e7c2424f8b91d")
        #expect(
            HashChain.digest(of: record).description
                == "370435de1177eade92fcc9b7f9e7e675cfa74972d60c4ecefb215199b0303188")
        #expect(
            HashChain.advance(start, over: record).description
                == "5240e13f290838ed24630600ee986f52878f36b425485c9e324bf6ec64719d28")
    }
}
