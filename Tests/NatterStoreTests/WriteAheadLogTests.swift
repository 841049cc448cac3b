import NatterSQLite
import NatterSystem
import StoreSupport
import Testing
import TestSupport

@testable import NatterStore

@Suite("the write-ahead log of a server")
struct WriteAheadLogTests {
    private let disk = PosixDisk()

    /// Reads a database from several threads, so that a transaction is open at every moment: a reader ends its own only
    /// when the next one has begun.
    private final class SteadyReaders {
        private let turn = Monitor((begun: 0, isOver: false))
        private var threads: [SystemThread] = []

        init(_ path: String) throws {
            let count = 3
            for number in 0..<count {
                threads.append(
                    try SystemThread(name: "reader") { [turn] in
                        guard let reader = try? Connection(path: path, role: .reader) else { return }
                        var own = number
                        while turn.wait(until: { $0.isOver || $0.begun >= own ? $0.isOver : nil }) == false {
                            try? reader.snapshot {
                                _ = try reader.statement("SELECT count(*) FROM meta").step()
                                turn.signal { $0.begun = max($0.begun, own + 1) }
                                _ = turn.wait(until: { $0.isOver || $0.begun >= own + 2 ? true : nil })
                            }
                            own += count
                        }
                    })
            }
            guard turn.wait(timeoutMilliseconds: 60_000, for: { $0.begun >= count }) else {
                throw Failure("not every reader reads")
            }
        }

        deinit {
            turn.signal { $0.isOver = true }
            for thread in threads { thread.join() }
        }
    }

    @Test("readers that come and go without a pause don't keep the log from beginning anew")
    func bounded() throws {
        let directory = try TemporaryDirectory()
        let step = 200_000
        let live = try TestStore(
            open: { options in
                var options = options
                options.checkpointBytes = step
                return try Store.open(directory.path, options: options)
            })
        try live.post(["first"])
        let readers = try SteadyReaders(directory.path + "/store.db")
        let text = String(repeating: "long ", count: 12_000)
        for _ in 0..<120 { try live.post([text]) }
        withExtendedLifetime(readers) {}
        let size = try #require(try disk.information(directory.path + "/store.db-wal")).size
        #expect(size < UInt64(10 * step), "the log has \(size) bytes after \(120 * 60_000) of messages")
    }
}
