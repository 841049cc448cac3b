internal import NatterArchive
internal import NatterSQLite
internal import NatterLanguage
internal import NatterLog
internal import NatterModel

/// All that the journal of a database holds, read for a repair: past batches that are damaged, too.
struct JournalContents {
    /// What it has of each conversation, by seq, each once.
    private(set) var records: [Int64: [Record]] = [:]
    /// Batches that can't be read: the row's number, its bytes.
    private(set) var damaged: [(row: Int64, bytes: [UInt8], reason: Phrase)] = []
    /// The highest seq of each conversation that a damaged batch can be seen to have given.
    private(set) var given: [Int64: Seq] = [:]
    private(set) var lastCommit = Commit.zero
    /// The commit of the first damaged batch.
    private(set) var firstDamaged: Commit?

    init() {}

    /// - Parameter sealed: where the log of each conversation ends, as the index has it.
    init(_ connection: Connection, sealed: [Int64: Seq]) throws {
        var tops = sealed
        let rows = try connection.statement("SELECT number,data FROM batch ORDER BY number")
        while try rows.step() {
            let number = rows.int64(0)
            let commit = Commit(UInt64(bitPattern: number) / 2)
            lastCommit = max(lastCommit, commit)
            var found: [Batch.Entry] = []
            do {
                try rows.withBlob(1) { bytes in try Batch.decode(bytes) { found.append($0) } }
                for entry in found {
                    records[entry.conversation, default: []].append(entry.record)
                    tops[entry.conversation] = max(tops[entry.conversation] ?? .zero, entry.record.seq)
                }
            } catch {
                let reason = (error as? FormatViolation)?.reason ?? Phrase(describing: error)
                damaged.append((number, rows.blob(1), reason))
                firstDamaged = firstDamaged ?? commit
                // What it says can't be believed; but a number that follows on the last one was probably given.
                rows.withBlob(1) { bytes in
                    for (conversation, seq) in Batch.seqs(inDamaged: bytes) where seq == tops[conversation]?.next {
                        tops[conversation] = seq
                        given[conversation] = seq
                    }
                }
            }
        }
        records = records.mapValues { records in
            var unique: [Record] = []
            for record in records.sorted(by: { $0.seq < $1.seq }) where record.seq != unique.last?.seq {
                unique.append(record)
            }
            return unique
        }
    }

    /// What it has of a range.
    func records(of conversation: Int64, _ range: ClosedRange<Seq>) -> [Record] {
        (records[conversation] ?? []).filter { range.contains($0.seq) }
    }

    func top(of conversation: Int64) -> Seq {
        max(records[conversation]?.last?.seq ?? .zero, given[conversation] ?? .zero)
    }
}
