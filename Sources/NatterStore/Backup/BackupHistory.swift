internal import NatterModel
internal import NatterSQLite
internal import NatterSystem

/// Whether a store goes on where an earlier backup of it ends. A store that was restored from a still older backup does
/// not, although it has the same id: then files of the same name begin alike and hold other messages further on, and
/// what is new must not be appended to them.
///
/// Only rows are compared: the epoch of the last commit, and the last block of each segment. A file of the store may be
/// damaged where the earlier backup is whole, and that is no other history.
enum BackupHistory {
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
            let before = try Connection(path: former, role: .reader, disk: disk)
            let now = try Connection(path: copy, role: .reader, disk: disk)
            guard try epoch(of: commit, before) == epoch(of: commit, now) else { return false }
            // SQLite takes the other columns from the row with the highest number.
            let ends = try before.statement(
                """
                SELECT c.id,b.segment_seq,b.generation,max(b.first_seq),b.count,b.offset,b.length,b.revision,b.low_time,
                    b.high_time,b.last_commit
                FROM block b JOIN conversation c ON c.number=b.conversation
                GROUP BY b.conversation,b.segment_seq,b.generation
                """)
            while try ends.step() {
                let block = (3...10).map { ends.int64($0) }
                let found = try lastBlock(
                    upTo: block[0], of: ends.blob(0), segment: ends.int64(1), generation: ends.int64(2), now)
                // Sealing is no commit, so the same commits may lie in other segments.
                guard found == nil || found == block else { return false }
            }
            return true
        } catch {
            // Nobody knows what a damaged backup holds. It is made anew.
            guard error.path == former else { throw error }
            return false
        }
    }

    private static func epoch(of commit: Commit, _ connection: Connection) throws(SQLiteError) -> UInt64? {
        try connection.row(
            "SELECT value FROM epoch WHERE first_commit<=? ORDER BY run DESC LIMIT 1", commit.rawValue
        ) { $0.uint64(0) }
    }

    /// The columns of a segment's last block that does not begin behind a seq; nil if there is none.
    private static func lastBlock(
        upTo seq: Int64, of conversation: [UInt8], segment: Int64, generation: Int64, _ connection: Connection
    ) throws(SQLiteError) -> [Int64]? {
        try connection.row(
            """
            SELECT b.first_seq,b.count,b.offset,b.length,b.revision,b.low_time,b.high_time,b.last_commit
            FROM block b JOIN conversation c ON c.number=b.conversation
            WHERE c.id=?1 AND b.first_seq BETWEEN ?2 AND ?4 AND b.segment_seq=?2 AND b.generation=?3
            ORDER BY b.first_seq DESC LIMIT 1
            """, conversation, segment, generation, seq
        ) { row in (0...7).map { row.int64($0) } }
    }
}
