import NatterCommandLine
import NatterModel
import NatterSystem
import NatterProtocol
import TestSupport
import Testing

@testable import NatterDaemon
@testable import NatterStore

@Suite("natterd fsck")
struct FsckTests {
    private final class Replies: OperationChannel {
        struct Gone: Error {}

        var sizes: [Int] = []
        /// How many replies it takes before its command is gone.
        var limit = Int.max

        func reply(_ reply: OperationReply) throws {
            guard sizes.count < limit else { throw Gone() }
            sizes.append(WireJSON.encode(reply).count)
        }
        func data(_ bytes: [UInt8]) {}
        func read(into buffer: UnsafeMutableRawBufferPointer) -> Int { 0 }
    }

    @Test("tells through a server of 20,000 losses that an earlier repair has recorded")
    func manyLosses() throws {
        var summary = StoreCheck.Summary()
        summary.stated = (1...20_000).map { number in
            StoreDamage(
                file: "data/store.db", conversation: "general", range: Seq(number)...Seq(number),
                problem: "lost, as a repair has stated")
        }
        let replies = Replies()
        #expect(try FsckCommand.run(replies, in: TemporaryDirectory().path) { _ in summary } == .success)
        #expect(replies.sizes.count == 20_001)
        #expect(replies.sizes.allSatisfy { $0 <= OperatorFrame.bodyLimit })
    }

    @Test("ends in a server whose command is gone, before it has read everything", arguments: [0, 1])
    func gone(limit: Int) throws {
        let replies = Replies()
        replies.limit = limit
        // By time, not by a number of files: the second reply comes when a step of time has passed, and a million
        // files may take less.
        let end = MonotonicClock.now() + 60_000
        var hasReadEverything = false
        #expect(throws: Replies.Gone.self) {
            try FsckCommand.run(replies, in: TemporaryDirectory().path) { _ in
                let progress = replies.progress()
                while MonotonicClock.now() < end {
                    try progress(StoreProgress(bytes: 1, totalBytes: 2))
                }
                hasReadEverything = true
                return StoreCheck.Summary()
            }
        }
        #expect(!hasReadEverything)
    }
}
