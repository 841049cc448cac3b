internal import CSQLite
public import NatterSystem

extension Connection {
    /// Writes all of the database, as it is at one moment, into a new file, whatever others commit meanwhile.
    ///
    /// SQLite's own backup, because nobody may open the file beside it: closing any descriptor of a file lets go of all of
    /// a process's locks on it. One step, so that the copy is of one state and ends however busy the writer is; that pins the
    /// WAL for as long as it takes to write the file. Nothing is synced: that is up to the caller, as is removing what a
    /// failure has left.
    ///
    /// - Parameter target: nothing may be there yet. What comes to be there has mode 0600 and page checksums of its own.
    /// - Throws: `SQLiteError`; `corrupt` where a page can't be read, which leaves the copy without it.
    public func copy(to target: String, disk: any Disk) throws(SQLiteError) {
        let copy = try Connection(copyTarget: target, disk: disk)
        guard let backup = sqlite3_backup_init(copy.handle, "main", handle, "main") else {
            throw copy.error(sqlite3_errcode(copy.handle))
        }
        let code = sqlite3_backup_step(backup, -1)
        let finished = sqlite3_backup_finish(backup)
        guard code == SQLITE_DONE else { throw copy.error(code) }
        guard finished == SQLITE_OK else { throw copy.error(finished) }
    }
}
