internal import NatterArchive
public import NatterLanguage
public import NatterSystem

/// Finds what is damaged in a data directory, puts it right as far as that can be done, and looks again.
public enum StoreRepair {
    public struct Summary: Sendable, Equatable {
        /// As it was found.
        public var found: StoreCheck.Summary
        /// As it is now.
        public var left: StoreCheck.Summary
        /// Messages that are lost and of which nobody had said so before.
        public var newlyLostMessages: UInt64
        /// Whether acknowledged commits were lost of which nobody can tell what they held.
        public var hasUnknownLoss = false
    }

    /// - Parameters:
    ///   - report: gets a line for each thing that was done, and for each loss.
    ///   - visit: gets each damage as it is found.
    /// - Throws: `StoreOpenError` where the directory is in use or of a newer natter; errors of the disk and the database.
    public static func run(
        _ directory: String, disk: any Disk = PosixDisk(), clock: any WallClock = SystemClock(),
        report: @escaping (Phrase) -> Void = { _ in }, _ visit: @escaping (StoreDamage) -> Void
    ) throws -> Summary {
        let lock = try Store.takeLock(directory, disk: disk)
        return try withExtendedLifetime(lock) {
            let found = try StoreCheck.check(directory, disk: disk, visit)
            guard found.damages > 0 else { return Summary(found: found, left: found, newlyLostMessages: 0) }
            let hasUnknownLoss = try keepDamagedWAL(directory, disk, report)
            let rebuilt = try StoreRebuild.rebuild(directory, .repair, disk: disk, clock: clock, report: report)
            let left = try StoreCheck.check(directory, disk: disk) { damage in
                report("still damaged: '\(damage.file)': \(damage.problem)")
            }
            return Summary(
                found: found, left: left, newlyLostMessages: rebuilt.newlyLostMessages,
                hasUnknownLoss: hasUnknownLoss)
        }
    }

    /// Keeps a copy of a write-ahead log of which SQLite reads a part only, before it is overwritten.
    private static func keepDamagedWAL(
        _ directory: String, _ disk: any Disk, _ report: (Phrase) -> Void
    ) throws -> Bool {
        let database = Store.databasePath(directory)
        guard let offset = try Store.walDamage(database, disk) else { return false }
        let copy = try Quarantine(root: directory, disk: disk).copy(database + "-wal")
        report("commits behind byte \(offset) of '\(database)-wal' are lost; the file as it was is in '\(copy)'")
        return true
    }
}
