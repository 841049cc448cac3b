internal import CSQLite

/// SQLite's codes for what a disk would not do: macros that Swift cannot import.
enum IOErrorCode {
    static let read = SQLITE_IOERR | 1 << 8
    static let shortRead = SQLITE_IOERR | 2 << 8
    static let write = SQLITE_IOERR | 3 << 8
    static let sync = SQLITE_IOERR | 4 << 8
    static let directorySync = SQLITE_IOERR | 5 << 8
    static let truncate = SQLITE_IOERR | 6 << 8
    static let size = SQLITE_IOERR | 7 << 8
    static let delete = SQLITE_IOERR | 10 << 8
    static let access = SQLITE_IOERR | 13 << 8
    static let deleteMissing = SQLITE_IOERR | 23 << 8
    /// Those of calls that change nothing.
    static let looks: Set<Int32> = [read, shortRead, size, access]
}
