import NatterCLI
import NatterModel
import NatterWire
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
        #expect(try FsckCommand.run(replies) { _ in summary } == .success)
        #expect(replies.sizes.count == 20_001)
        #expect(replies.sizes.allSatisfy { $0 <= OperatorFrame.bodyLimit })
    }

    @Test("ends in a server whose command is gone, before it has read everything", arguments: [0, 1])
    func gone(limit: Int) throws {
        let replies = Replies()
        replies.limit = limit
        var files = 0
        #expect(throws: Replies.Gone.self) {
            try FsckCommand.run(replies) { _ in
                let progress = replies.progress()
                while files < 1_000_000 {
                    files += 1
                    try progress(StoreProgress(bytes: UInt64(files), totalBytes: 1_000_000))
                }
                return StoreCheck.Summary()
            }
        }
        #expect(files < 1_000_000)
    }
}
