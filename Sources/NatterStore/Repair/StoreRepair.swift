internal import NatterConversation
public import NatterModel
public import NatterSystem

/// Finds damage in a data directory, repairs what can be repaired, and checks again.
public enum StoreRepair {
    @dynamicMemberLookup
    public struct Summary: Sendable, Equatable {
        /// The result of the check before the repair.
        public var found: StoreCheck.Summary
        /// The result of the check after the repair.
        public var left: StoreCheck.Summary
        /// Of the repair; empty if nothing was damaged.
        fileprivate var rebuilt = StoreRebuild.Summary()

        public subscript<Value>(dynamicMember property: KeyPath<StoreRebuild.Summary, Value>) -> Value {
            rebuilt[keyPath: property]
        }
    }

    /// - Parameters:
    ///   - progress: called after each file of the first check, and anew of the second. An error of it ends the repair.
    ///   - report: gets a line for each action and for each loss.
    ///   - visit: gets each damage as it is found.
    /// - Throws: `StoreOpenError` if the directory is in use or belongs to a newer natter; errors of the disk and the
    ///   database.
    public static func run(
        _ directory: String, disk: any Disk = PosixDisk(), clock: any WallClock = SystemClock(),
        progress: @escaping (StoreProgress) throws -> Void = { _ in }, report: @escaping (Phrase) -> Void = { _ in },
        _ visit: @escaping (StoreDamage) -> Void
    ) throws -> Summary {
        try BackupManifest.requireNone(in: directory, disk: disk)
        try StoreRestore.requireFinished(in: directory, disk: disk)
        let lock = try Store.takeLock(directory, disk: disk)
        return try withExtendedLifetime(lock) {
            // A rebuild mends no file of a message.
            var needsRebuild = false
            let found = try StoreCheck.check(directory, disk: disk, progress: progress) { damage in
                if !damage.file.hasPrefix("\(directory)/\(BlobPath.directory)/") { needsRebuild = true }
                visit(damage)
            }
            var repair = Summary(found: found, left: found)
            if needsRebuild {
                repair.rebuilt = try StoreRebuild.rebuild(directory, .repair, disk: disk, clock: clock, report: report)
                repair.left = try StoreCheck.check(directory, disk: disk, progress: progress) { damage in
                    report("still damaged: '\(damage.file)': \(damage.problem)")
                }
            }
            try setAside(&repair.left, in: directory, disk: disk, report: report)
            return repair
        }
    }
}
