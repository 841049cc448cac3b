import NatterSystem
import NatterLog
import NatterModel
import Testing
import TestSupport

@Suite("erasing")
struct ErasingTests {
    @Test("leaves hash, number, kind and time of what is erased, and everything of the rest", arguments: UInt64(1)...60)
    func stays(seed: UInt64) throws {
        // Given messages in several blocks' worth of runs
        var generator = SeededGenerator(seed: seed)
        let records = Fixture.records(1...400, using: &generator)
        let gone = Set(records.all.map(\.seq).filter { _ in generator.once(in: 6) })
        // When some are erased, and the block is written again
        let erased = records.erasing(gone, withdrawing: records.seeds(of: gone))
        let before = Digest(of: generator.bytes(8))
        let dictionary = Fixture.dictionary(using: &generator)
        let count = erased.blockCount(from: 0, targetBytes: 400_000)
        let block = try Block(
            sealing: erased, 0..<count, of: Fixture.conversation, hashBefore: before, dictionary: dictionary,
            revision: 3)
        let read = try block.verify(with: dictionary)
        // Then the chain is the same, so every reader's hashes and cursors stay right
        #expect(
            block.header.hashAfter == HashChain.advance(before, over: records, 0..<count) && block.header.revision == 3)
        for index in 0..<count {
            let (was, now) = (records[index], read[index])
            #expect((was.seq, was.time, was.kind, was.about) == (now.seq, now.time, now.kind, now.about))
            #expect(read.isErased(at: index) == gone.contains(was.seq))
            if gone.contains(was.seq) {
                #expect(now.sender.isEmpty && now.text.isEmpty && now.via == nil && now.written == nil)
                #expect(now.salt == .erased(HashChain.digest(of: was)))
            } else {
                #expect((was.sender, was.text, was.via, was.written) == (now.sender, now.text, now.via, now.written))
                #expect(now.salt.salt == was.salt.salt)
            }
        }
        // Nothing that is kept makes the salt of an erased message again.
        #expect(!erased.uses(records.seeds(of: gone)))
        // Erasing it once more changes nothing.
        #expect(erased.erasing(gone, withdrawing: erased.seeds(of: gone)).all == erased.all)
    }

    @Test("withdraws the seed of a run from the block behind, too")
    func neighbour() throws {
        // Given one run in two blocks
        var records = Records(firstSeq: Seq(1))
        for number in 0..<20 {
            records.append(
                time: .zero, sender: Array("bob".utf8), text: Array("\(number)".utf8), commit: Commit(1),
                salt: records.isEmpty ? .newRun() : nil)
        }
        let (first, second) = (records.slice(0..<10), records.slice(10..<20))
        // When a message of the first is erased
        let seeds = first.seeds(of: [Seq(4)])
        #expect(second.uses(seeds))
        // Then the second block keeps salts instead of the seed
        let kept = second.erasing([], withdrawing: seeds)
        #expect(!kept.uses(seeds))
        #expect(HashChain.digests(of: kept) == HashChain.digests(of: second))
        #expect(kept.all.map(\.text) == second.all.map(\.text))
    }

    @Test("leaves nothing by which a guess can be tried")
    func guesses() throws {
        // Given a text that is easy to guess, erased
        var records = Records(firstSeq: Seq(1))
        for text in ["hello", "yes!", "bye"] {
            records.append(
                time: .zero, sender: Array("bob".utf8), text: Array(text.utf8), commit: Commit(1),
                salt: records.isEmpty ? .newRun() : nil)
        }
        let erased = records.erasing([Seq(2)], withdrawing: records.seeds(of: [Seq(2)]))
        let block = try Block(sealing: erased, of: Fixture.conversation, hashBefore: .zero, dictionary: .none)
        let bytes = block.bytes
        // Then each 16 bytes that are left, as a salt or as a seed, do not turn the right text into the hash that stays
        let digest = try #require(erased.digest(of: Seq(2)))
        var guess = records[1]
        for start in 0...bytes.count - Salt.byteCount {
            let part = bytes[start..<start + Salt.byteCount]
            let (salt, seed) = (try #require(Salt(bytes: part)), try #require(SaltSeed(bytes: part)))
            guess.salt = .salt(salt)
            #expect(HashChain.digest(of: guess) != digest)
            for place in UInt8(0)...2 {
                guess.salt = .seed(seed, place: place)
                #expect(HashChain.digest(of: guess) != digest)
            }
        }
        #expect(HashChain.content(of: guess) != digest)
    }
}
