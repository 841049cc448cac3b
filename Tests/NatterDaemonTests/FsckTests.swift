import NatterCLI
import NatterModel
import NatterWire
import Testing

@testable import NatterDaemon
@testable import NatterStore

@Suite("natterd fsck")
struct FsckTests {
    private final class Replies: OperationChannel {
        var sizes: [Int] = []
        func reply(_ reply: OperationReply) { sizes.append(WireJSON.encode(reply).count) }
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
}
