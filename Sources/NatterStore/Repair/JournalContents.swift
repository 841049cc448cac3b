internal import NatterSQLite
internal import NatterModel
internal import NatterLog

/// Everything that the journal of a database holds, read for a repair. Damaged batches do not stop the reading.
struct JournalContents {
    /// The records of each conversation, by seq and without duplicates.
    private(set) var records: [Int64: [Record]] = [:]
    /// Batches that can't be read, with the number and the bytes of their row.
    private(set) var damaged: [(row: Int64, commit: Commit, bytes: [UInt8], reason: Phrase)] = []
    /// The highest seq of each conversation that a damaged batch seems to have assigned.
    private(set) var given: [Int64: Seq] = [:]
    private(set) var lastCommit = Commit.zero
    /// The commit of the first damaged batch.
    private(set) var firstDamaged: Commit?
    /// The names of those who sent messages, and the number of the account if the id of one of them tells it.
    private(set) var senders: [String: Int64?] = [:]

    /// - Parameter sealed: where the log of each conversation ends, according to the index.
    init(_ connection: Connection, sealed: [Int64: Seq]) throws {
        var tops = sealed
        let rows = try connection.statement("SELECT number,data FROM batch ORDER BY number")
        while try rows.step() {
            let number = rows.int64(0)
            let commit = Commit(UInt64(bitPattern: number) / 2)
            lastCommit = max(lastCommit, commit)
            var found: [Batch.Entry] = []
            do {
                try rows.withBlob(1) { bytes in try SealedBatch.decode(bytes) { found.append($0) } }
                for entry in found {
                    records[entry.conversation, default: []].append(entry.record)
                    note(entry)
                    tops[entry.conversation] = max(tops[entry.conversation] ?? .zero, entry.record.seq)
                }
            } catch {
                let reason = (error as? FormatViolation)?.reason ?? Phrase(describing: error)
                damaged.append((number, commit, rows.blob(1), reason))
                firstDamaged = firstDamaged ?? commit
                // A damaged batch can't be trusted. But if a number continues the last one, it was probably assigned.
                rows.withBlob(1) { bytes in
                    for (conversation, seq) in SealedBatch.seqs(inDamaged: bytes) where seq == tops[conversation]?.next
                    {
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

    private mutating func note(_ entry: Batch.Entry) {
        let record = entry.record
        guard !record.isImported, !record.isErased, let first = record.sender.first, first != ErasedAccount.mark else {
            return
        }
        let name = String(decoding: record.sender, as: UTF8.self)
        if let account = entry.key?.recent.account, account > 0, account < 1 << 62 {
            senders[name] = account
        } else if senders[name] == nil {
            senders[name] = .some(nil)
        }
    }

    /// The conversations that have messages here.
    var conversations: Set<Int64> { Set(records.keys).union(given.keys) }

    func records(of conversation: Int64, _ range: ClosedRange<Seq>) -> [Record] {
        let all = records[conversation] ?? []
        let start = all.indices.partitionPoint { all[$0].seq >= range.lowerBound }
        return Array(all[start...].prefix { $0.seq <= range.upperBound })
    }

    func top(of conversation: Int64) -> Seq {
        max(records[conversation]?.last?.seq ?? .zero, given[conversation] ?? .zero)
    }
}
