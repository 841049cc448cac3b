internal import NatterArchive
internal import NatterSQLite
internal import NatterLanguage
internal import NatterSystem

extension Store {
    /// Checks all data while the store is in use: a copy of the database, as it is at one moment, against the log files.
    ///
    /// Files that appear meanwhile are not looked at: who writes them has not recorded them yet.
    ///
    /// - Parameter visit: gets each damage as it is found.
    public func check(_ visit: @escaping (StoreDamage) -> Void) throws -> StoreCheck.Summary {
        var random = SystemRandomNumberGenerator()
        let copy = Store.databasePath(directory) + ".check-\(random.next() as UInt32)"
        defer {
            for end in ["", "-wal", "-shm"] where (try? disk.information(copy + end)) != .some(nil) {
                try? disk.remove(copy + end)
            }
        }
        let files = try StoreCheck.logFiles(directory, disk)
        do { try withReader { try $0.connection.copy(to: copy, disk: disk) } } catch let error as SQLiteError
            where error.reason == .corrupt
        {
            visit(
                StoreDamage(
                    file: Store.databasePath(directory), problem: "the database can't be read: \(error.message)"))
            return StoreCheck.Summary(damages: 1)
        }
        return try StoreCheck.check(directory, database: copy, files: files, disk: disk) { damage in
            var damage = damage
            if damage.file == copy { damage.file = Store.databasePath(self.directory) }
            visit(damage)
        }
    }
}
