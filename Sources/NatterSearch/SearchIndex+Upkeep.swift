internal import NatterLanguage
internal import NatterSQLite

extension SearchIndex {
    /// Does some of the work that makes searches faster and the file smaller: joins parts of the index. Additions do as
    /// much as they must on their own, so this may be left out.
    ///
    /// - Parameter pages: how many pages of 4 KiB to write, about.
    /// - Returns: whether there may be more to do.
    public func mergeStep(pages: Int = 256) throws -> Bool {
        try SearchIndexError.translate {
            let before = connection.totalChangedRows
            let merge = try connection.statement("INSERT INTO posting(posting, rank) VALUES('merge', ?1)")
            try merge.run(max(1, pages))
            return connection.totalChangedRows &- before >= 2
        }
    }

    /// Joins all parts to one, which takes time and, until the WAL is checkpointed, as much room again.
    public func optimize() throws {
        try SearchIndexError.translate {
            try connection.execute("INSERT INTO posting(posting) VALUES('optimize')")
        }
    }

    /// Moves what the WAL holds into the file; a large WAL makes the next opening slow.
    public func checkpoint(truncating: Bool = false) throws {
        try SearchIndexError.translate { try connection.checkpoint(truncating: truncating) }
    }

    /// Reads the whole file. Only for an index that is open for writing.
    ///
    /// - Throws: `corrupt` if anything is wrong in it.
    public func integrityCheck() throws {
        try SearchIndexError.translate {
            let check = try connection.statement("PRAGMA integrity_check(1)")
            guard try check.step(), check.text(0) == "ok" else {
                throw SQLiteError(reason: .corrupt, message: Phrase(verbatim: check.text(0)), path: path)
            }
            try connection.execute("INSERT INTO posting(posting) VALUES('integrity-check')")
            let ranges = try connection.statement(
                """
                SELECT count(*) FROM conversation WHERE head - first + 1 IS NOT
                    (SELECT sum(count) FROM range WHERE conversation = conversation.id)
                """)
            guard try ranges.step(), ranges.int(0) == 0 else {
                throw SQLiteError(reason: .corrupt, message: "ranges with holes", path: path)
            }
        }
    }
}
