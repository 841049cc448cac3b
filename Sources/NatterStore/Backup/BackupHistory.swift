internal import NatterModel
internal import NatterSQLite
internal import NatterSystem

/// Whether a store goes on where an earlier backup of it ends. A store that was restored from a still older backup does
/// not, although it has the same id: then files of the same name begin alike and hold other messages further on, and
/// what is new must not be appended to them.
///
/// Only rows are compared. A file of the store may be damaged where the earlier backup is whole, and that is no other
/// history.
struct BackupHistory {
    /// Where the file of a segment ends.
    private struct End: Equatable {
        /// Every column of its last block's row.
        let numbers: [Int64]
    }

    private struct Place: Hashable {
        let conversation: [UInt8]
        let segmentSeq: Int64
        let generation: Int64
    }

    /// The epoch of the commit with which the earlier backup ends.
    private let epoch: UInt64?
    private let ends: [Place: End]

    private init(_ connection: Connection, at commit: Commit) throws(SQLiteError) {
        let epochs = try connection.statement("SELECT value FROM epoch WHERE first_commit<=? ORDER BY run DESC LIMIT 1")
        try epochs.bind(commit.rawValue)
        epoch = try epochs.step() ? epochs.uint64(0) : nil
        // SQLite takes the other columns from the row with the highest number.
        let rows = try connection.statement(
            """
            SELECT c.id,b.segment_seq,b.generation,max(b.first_seq),b.count,b.offset,b.length,b.revision,b.low_time,
                b.high_time,b.last_commit
            FROM block b JOIN conversation c ON c.number=b.conversation
            GROUP BY b.conversation,b.segment_seq,b.generation
            """)
        var ends: [Place: End] = [:]
        while try rows.step() {
            let place = Place(conversation: rows.blob(0), segmentSeq: rows.int64(1), generation: rows.int64(2))
            ends[place] = End(numbers: (3...10).map { rows.int64($0) })
        }
        self.ends = ends
    }

    /// - Parameters:
    ///   - former: the database of the earlier backup.
    ///   - commit: the last commit in it.
    ///   - copy: the database of the backup that is being made.
    ///   - newest: the last commit in that.
    static func goesOn(
        from former: String, at commit: Commit, in copy: String, at newest: Commit, disk: any Disk
    ) throws -> Bool {
        guard newest >= commit else { return false }
        do throws(SQLiteError) {
            let before = try BackupHistory(Connection(path: former, role: .reader, disk: disk), at: commit)
            let connection = try Connection(path: copy, role: .reader, disk: disk)
            let now = try BackupHistory(connection, at: commit)
            guard before.epoch == now.epoch else { return false }
            // Sealing is no commit, so the same commits may lie in other blocks.
            for (place, end) in before.ends where now.ends[place] != nil {
                if try !has(end, of: place, connection) { return false }
            }
            return true
        } catch {
            // Nobody knows what a damaged backup holds. It is made anew.
            guard error.path == former else { throw error }
            return false
        }
    }

    /// Whether a database has the same block in the same place. More blocks may follow it.
    private static func has(_ end: End, of place: Place, _ connection: Connection) throws(SQLiteError) -> Bool {
        let row = try connection.statement(
            """
            SELECT b.first_seq,b.count,b.offset,b.length,b.revision,b.low_time,b.high_time,b.last_commit
            FROM block b JOIN conversation c ON c.number=b.conversation
            WHERE c.id=?1 AND b.first_seq=?2 AND b.segment_seq=?3 AND b.generation=?4
            """)
        defer { row.reset() }
        try row.bind(place.conversation, end.numbers[0], place.segmentSeq, place.generation)
        guard try row.step() else { return false }
        return end.numbers == (0...7).map { row.int64($0) }
    }
}
