internal import NatterSystem
internal import NatterModel
internal import NatterLog
internal import NatterSQLite

/// Reads the journal's rows in order. Another thread decodes them and hashes the messages while the caller takes those before
/// in: together that is most of a start.
final class JournalReader: Sendable {
    struct Row: Sendable {
        let commit: Commit
        /// Whether it has tails that were written again.
        let isMoved: Bool
        /// Before compression.
        let byteCount: Int
        var entries: [Entry] = []
    }

    struct Entry: Sendable {
        let value: Batch.Entry
        /// H of its record.
        let digest: Digest
    }

    /// Rows that go to the other thread together, because a row may have one message only.
    private struct Portion: Sendable {
        var rows: [(number: UInt64, bytes: [UInt8])] = []
        var byteCount = 0
    }

    private struct State {
        var waiting: [Portion] = []
        var decoded: [Result<[Row], StoreOpenError>] = []
        var isComplete = false
    }

    private static let portionBytes = 64 << 10
    /// How many portions may be on their way.
    private static let limit = 8

    private let state = Monitor(State())
    private let path: String

    private init(path: String) { self.path = path }

    /// Visits all rows. If one can't be read, the store is not opened. It holds acknowledged messages, and their numbers would
    /// be assigned again.
    static func visit(_ connection: Connection, _ body: (Row) throws -> Void) throws {
        let reader = JournalReader(path: connection.path)
        let thread = try SystemThread(name: "natter-journal") { reader.run() }
        defer {
            reader.state.signal { $0.isComplete = true }
            thread.join()
        }
        var (portion, sent) = (Portion(), 0)
        func receive() throws {
            sent -= 1
            for row in try reader.next() { try body(row) }
        }
        func send() throws {
            guard !portion.rows.isEmpty else { return }
            if sent == limit { try receive() }
            sent += 1
            reader.state.signal { $0.waiting.append(portion) }
            portion = Portion()
        }
        let rows = try connection.statement("SELECT number,data FROM batch ORDER BY number")
        while try rows.step() {
            portion.rows.append((rows.uint64(0), rows.blob(1)))
            portion.byteCount += portion.rows.last?.bytes.count ?? 0
            if portion.byteCount >= portionBytes { try send() }
        }
        try send()
        while sent > 0 { try receive() }
    }

    private func next() throws -> [Row] {
        try state.wait { $0.decoded.isEmpty ? nil : $0.decoded.removeFirst() }?.get() ?? []
    }

    private func run() {
        func take(_ state: inout State) -> Portion? { state.waiting.isEmpty ? nil : state.waiting.removeFirst() }
        while let portion = state.next(take, unless: { $0.isComplete }) {
            let result = Result { () throws(StoreOpenError) in try decode(portion) }
            state.signal { $0.decoded.append(result) }
        }
    }

    private func decode(_ portion: Portion) throws(StoreOpenError) -> [Row] {
        var rows: [Row] = []
        for (number, bytes) in portion.rows {
            let commit = Commit(number / 2)
            let isMoved = number == Batch.rowNumber(of: commit, isMoved: true)
            var row = Row(
                commit: commit, isMoved: isMoved,
                byteCount: bytes.withUnsafeBytes { SealedBatch.rawByteCount(prefix: $0, of: $0.count) })
            do {
                try bytes.withUnsafeBytes { bytes in
                    try SealedBatch.decode(bytes) {
                        row.entries.append(Entry(value: $0, digest: HashChain.digest(of: $0.record)))
                    }
                }
            } catch {
                throw .damaged(
                    "the journal's batch \(commit) in '\(path)' is damaged: \(error); 'natterd fsck' tells more, and a "
                        + "backup has it whole")
            }
            rows.append(row)
        }
        return rows
    }
}
