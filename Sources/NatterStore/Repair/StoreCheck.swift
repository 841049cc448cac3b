internal import NatterConversation
public import NatterModel
internal import NatterLog
internal import NatterSQLite
public import NatterSystem

/// Reads and checks all of a data directory: the database as SQLite checks it, each byte of the log files, each message, the hash
/// chain, and whether index and files agree. Changes nothing and recovers nothing.
public final class StoreCheck {
    /// The extent of a check and its result.
    public struct Summary: Sendable, Equatable {
        public var conversations = 0
        public var messages: UInt64 = 0
        public var files = 0
        public var damages = 0
        /// Messages that a repair has already reported as lost. They do not count as damage.
        public var stated: [StoreDamage] = []
        /// Files of messages that are not what they must be. Each is one of the damages.
        var strayFiles: [StrayFile] = []
        /// Whether the logs, or some of them, were not checked, because the database can't be read.
        public var hasUncheckedLogs = false
    }

    let directory: String
    /// The path of the database.
    let database: String
    let disk: any Disk
    private let visit: (StoreDamage) -> Void
    private let report: (StoreProgress) throws -> Void
    private var progress = StoreProgress()
    /// Converts a path to the name that people use.
    private(set) var name: (String) -> String = { $0 }
    var summary = Summary()
    /// Paths of segment files and of files of messages that rows name.
    var knownFiles: Set<String> = []
    /// Where the log of each conversation ends, by the hexadecimal id.
    var sealedEnds: [String: Seq] = [:]
    private var files: Set<String>?
    /// Losses that repairs have recorded, by conversation.
    var losses: [Int64: [ClosedRange<Seq>]] = [:]
    /// Whether the store was closed properly. If not, the next start may still recover the ends of logs.
    var isClean = false
    /// The step of the database's schema; 0 without tables.
    private var version = 0
    private var conversations: [CheckedConversation] = []
    /// The journal's records by conversation.
    private var tails: [Int64: [Record]] = [:]

    private init(
        directory: String, database: String, disk: any Disk, report: @escaping (StoreProgress) throws -> Void,
        visit: @escaping (StoreDamage) -> Void
    ) {
        (self.directory, self.database, self.disk) = (directory, database, disk)
        (self.report, self.visit) = (report, visit)
    }

    /// Checks a directory and locks it meanwhile.
    ///
    /// - Parameters:
    ///   - progress: called after each file. An error of it ends the check.
    ///   - visit: gets each damage as it is found.
    /// - Throws: `StoreOpenError` if the directory is in use or belongs to a newer natter; errors of the disk.
    public static func run(
        _ directory: String, disk: any Disk = PosixDisk(),
        progress: @escaping (StoreProgress) throws -> Void = { _ in }, _ visit: @escaping (StoreDamage) -> Void
    ) throws -> Summary {
        try StoreRestore.requireFinished(in: directory, disk: disk)
        let lock = try Store.takeLock(directory, disk: disk)
        return try withExtendedLifetime(lock) { try check(directory, disk: disk, progress: progress, visit) }
    }

    /// Checks a directory that the caller has locked.
    ///
    /// - Parameters:
    ///   - database: its path, if it is not the usual one.
    ///   - files: the log files and files of messages that the index must know; nil for all.
    ///   - name: what people call a path, where it is not the path.
    static func check(
        _ directory: String, database: String? = nil, files: Set<String>? = nil, disk: any Disk,
        name: @escaping (String) -> String = { $0 }, progress: @escaping (StoreProgress) throws -> Void = { _ in },
        _ visit: @escaping (StoreDamage) -> Void
    ) throws -> Summary {
        let check = StoreCheck(
            directory: directory, database: database ?? Store.databasePath(directory), disk: disk, report: progress,
            visit: visit)
        (check.files, check.name) = (files, name)
        try check.run()
        return check.summary
    }

    func report(_ invariant: Invariant, _ damage: StoreDamage) {
        summary.damages += 1
        var damage = damage
        (damage.file, damage.invariant) = (name(damage.file), invariant)
        visit(damage)
    }

    private func report(_ invariant: Invariant, _ problem: Phrase) {
        report(invariant, StoreDamage(file: database, problem: problem))
    }

    /// Notes that a file was read.
    func advance(_ bytes: UInt64) throws {
        progress.bytes &+= bytes
        try report(progress)
    }

    private func run() throws {
        // SQLite would remove the WAL of a database of 0 bytes, although it may hold all data.
        let hasContent = try (disk.information(database)?.size ?? 0) > 0
        let leftovers = hasContent ? try SideFiles(database, disk) : nil
        do {
            let connection = hasContent ? try Connection(path: database, role: .reader, disk: disk) : nil
            if let connection { version = try StoreSchema.current.check(connection) }
            for invariant in Invariant.allCases { try check(invariant, connection) }
        } catch let error as SQLiteError where error.reason == .newerSchema {
            throw StoreOpenError.newer(error.phrase)
        } catch let error as SQLiteError where error.reason == .corrupt {
            // Nothing tells which log files belong to it.
            summary.hasUncheckedLogs = try Store.hasLogs(directory, disk)
            report(.databaseIsWhole, "the database can't be read: \(error.message)")
        }
        try leftovers?.remove()
    }

    // MARK: Invariants

    private func check(_ invariant: Invariant, _ connection: Connection?) throws {
        switch invariant {
        case .erasuresAreRemembered:
            for damage in try RememberedErasures(directory, disk).damages() { report(invariant, damage) }
        case .databaseIsWhole:
            for problem in try connection?.problems() ?? [] { report(invariant, problem) }
        case .databaseIsNewest, .journalIsWhole, .usersAreKnown, .logsAreWhole, .tailsFollowLogs,
            .tailsHaveConversations, .filesOfMessagesAreWhole, .rowsLoad:
            if let connection, version > 0 { try check(invariant, rowsOf: connection) }
        case .filesAreKnown:
            try checkUnknownFiles()
            try checkUnknownBlobs()
        case .databaseIsThere:
            // A new directory has neither, and a first start that was killed leaves an empty database. If there are logs, the record
            // of which messages count is lost.
            guard version == 0, try Store.hasLogs(directory, disk) else { return }
            let isThere = try disk.information(database) != nil
            report(invariant, isThere ? "the database is empty" : "the database is missing")
        // Here, its messages are in a copy's journal.
        case .sharedLogIsWhole: break
        }
    }

    private func check(_ invariant: Invariant, rowsOf connection: Connection) throws {
        switch invariant {
        case .databaseIsNewest:
            let mark = StoreRecovery.readMark(in: directory, disk)
            if let loss = try StoreRecovery.lossOfLaterRuns(than: Epoch.last(on: connection), mark, in: directory) {
                report(invariant, loss)
            }
        case .journalIsWhole:
            try load(connection)
            let contents = try JournalContents(connection, sealed: [:])
            for damaged in contents.damaged {
                report(
                    invariant,
                    "the journal's batch of commit \(damaged.commit.rawValue) can't be read: \(damaged.reason)")
            }
            tails = contents.records
        case .usersAreKnown:
            for conversation in conversations {
                summary.conversations += 1
                for invariant in Invariant.ofConversation { try check(invariant, conversation, connection) }
            }
        case .tailsHaveConversations:
            for number in Set(tails.keys).subtracting(conversations.map(\.identity.number)).sorted() {
                let count = tails[number]?.count ?? 0
                report(
                    invariant,
                    .plural(
                        count, "the journal has \(count) message of conversation \(number), whose row is lost",
                        "the journal has \(count) messages of conversation \(number), whose row is lost"))
            }
        case .filesOfMessagesAreWhole:
            if version >= StoreSchema.fileStep { try FileCheck(self, conversations, connection).run(tails) }
        case .rowsLoad: try checkLoading(connection)
        default: break
        }
    }

    private func check(_ invariant: Invariant, _ conversation: CheckedConversation, _ connection: Connection) throws {
        switch invariant {
        case .usersAreKnown:
            guard conversation.identity.kind == .personal, conversation.identity.users.count < 2 else { return }
            report(
                invariant,
                "the personal conversation '\(conversation.label)' is of an account that is lost; make that account again with 'natterd user add', then run 'natterd fsck --repair'"
            )
        case .logsAreWhole: try LogCheck(self, conversation, connection).run()
        case .tailsFollowLogs: check(tails[conversation.identity.number] ?? [], of: conversation)
        default: break
        }
    }

    /// Reads what the checks of conversations need.
    private func load(_ connection: Connection) throws {
        let size = try disk.information(database)?.size ?? 0
        progress.totalBytes = try size &+ ArchiveRows.segmentBytes(on: connection)
        if version >= StoreSchema.fileStep {
            progress.totalBytes &+= try FileRows.wanted(on: connection).reduce(0) { $0 &+ $1.size }
        }
        try advance(size)
        conversations = try CheckedConversation.all(on: connection)
        for conversation in conversations {
            sealedEnds[conversation.identity.id.description] = conversation.sealedSeq
        }
        isClean = try connection.hasMeta(.clean)
        losses = try LossRows.all(on: connection)
        // The next start removes them.
        if version >= StoreSchema.retiredStep {
            knownFiles.formUnion(try RetiredFiles.all(on: connection).map { directory + "/" + $0 })
        }
    }

    /// Reads the rows as a start does, which refuses numbers that no row can have.
    private func checkLoading(_ connection: Connection) throws {
        // Damages that were found already may be the reason.
        guard summary.damages == 0 else { return }
        do { _ = try StateLoader(connection).loadRows(StoreID(high: 0, low: 0)) } catch let error as SQLiteError {
            // The next start makes columns that an earlier version had not.
            if error.reason == .corrupt { report(.rowsLoad, error.message) }
        } catch StoreOpenError.damaged(let problem) {
            report(.rowsLoad, problem)
        }
    }

    /// Whether a range is recorded as lost. If it is, the summary mentions it.
    func isStated(_ range: ClosedRange<Seq>, of conversation: CheckedConversation) -> Bool {
        guard LossRows.covers(losses[conversation.identity.number] ?? [], range) else { return false }
        summary.stated.append(
            StoreDamage(
                file: name(database), conversation: conversation.label, range: range,
                problem: "lost, as a repair has stated"))
        return true
    }

    /// Checks that the journal continues where the log ends, without a gap.
    private func check(_ tail: [Record], of conversation: CheckedConversation) {
        var head = conversation.sealedSeq
        for record in tail where record.seq > head {
            if record.seq > head.next {
                report(
                    .tailsFollowLogs,
                    StoreDamage(
                        file: database, conversation: conversation.label, range: head.next...record.seq.previous,
                        problem: "the journal does not hold messages that are in no log yet"))
            }
            head = record.seq
            summary.messages += 1
        }
    }

    // MARK: Unknown files

    static func logFiles(_ directory: String, _ disk: any Disk) throws -> Set<String> {
        try files(below: directory + "/logs", disk)
    }

    /// The files in a directory and in those inside it. Follows no links.
    static func files(below directory: String, _ disk: any Disk) throws -> Set<String> {
        guard try disk.information(directory)?.isDirectory == true else { return [] }
        var files: Set<String> = []
        for name in try disk.list(directory) {
            let inner = directory + "/" + name
            guard let found = try disk.information(inner) else { continue }
            if found.isDirectory { files.formUnion(try self.files(below: inner, disk)) } else { files.insert(inner) }
        }
        return files
    }

    private func checkUnknownFiles() throws {
        let logs = directory + "/logs"
        guard try disk.information(logs) != nil else { return }
        for upper in try disk.list(logs) where upper != "epoch" && upper != "epoch.new" {
            let path = logs + "/" + upper
            guard try disk.information(path)?.isDirectory == true else {
                reportUnknown(path)
                continue
            }
            for id in try disk.list(path) {
                guard try disk.information(path + "/" + id)?.isDirectory == true else {
                    reportUnknown(path + "/" + id)
                    continue
                }
                for name in try disk.list(path + "/" + id) {
                    let file = "\(path)/\(id)/\(name)"
                    if !knownFiles.contains(file), !isAboutToBeAdopted(file, id) { reportUnknown(file) }
                }
            }
        }
    }

    private func checkUnknownBlobs() throws {
        // Without rows nothing tells which are known.
        guard version >= StoreSchema.fileStep else { return }
        let received = "\(directory)/\(BlobPath.received)/"
        let blobs = try StoreCheck.files(below: "\(directory)/\(BlobPath.directory)", disk)
        for path in blobs.subtracting(knownFiles).sorted()
        where !path.hasPrefix(received) && files?.contains(path) != false {
            summary.files += 1
            summary.strayFiles.append(StrayFile(path: path, conversation: nil))
            report(.filesAreKnown, StoreDamage(file: path, problem: "no message names this file"))
        }
    }

    private func reportUnknown(_ path: String) {
        if let files, !files.contains(path) { return }
        summary.files += 1
        report(.filesAreKnown, StoreDamage(file: path, problem: "the index does not know this file"))
    }

    /// Whether a crash left this file unrecorded, so that the next start adopts it.
    private func isAboutToBeAdopted(_ path: String, _ id: String) -> Bool {
        guard !isClean, let sealedEnd = sealedEnds[id] else { return false }
        guard let segment = try? Segment.open(at: path, on: disk) else {
            // Not even the header was complete.
            return (try? Segment.isBegun(path, on: disk, with: sealedEnd.next)) == true
        }
        return segment.header.firstSeq == sealedEnd.next
    }
}

/// Files that SQLite creates beside a database when it is read. They are removed if they were not there before.
private struct SideFiles {
    private let paths: [String]
    private let wal: String
    private let disk: any Disk

    init(_ database: String, _ disk: any Disk) throws(DiskError) {
        wal = database + "-wal"
        self.disk = disk
        paths = try disk.information(wal) == nil ? [wal, database + "-shm"] : []
    }

    /// Call when no connection is open any more.
    func remove() throws(DiskError) {
        guard !paths.isEmpty, (try disk.information(wal)?.size ?? 0) == 0 else { return }
        for path in paths where try disk.information(path) != nil { try disk.remove(path) }
    }
}

extension Store {
    /// Checks all data while the store is in use: a copy of the database at one moment, against the log files.
    ///
    /// Log files that appear meanwhile are skipped, because they are not recorded yet.
    ///
    /// - Parameters:
    ///   - progress: called after each file. An error of it ends the check.
    ///   - visit: gets each damage as it is found.
    public func check(
        progress: @escaping (StoreProgress) throws -> Void = { _ in }, _ visit: @escaping (StoreDamage) -> Void
    ) throws -> StoreCheck.Summary {
        // The copy that a server has of PostgreSQL is as of its start.
        if let shared = sharedStore {
            do { return try shared.check(in: directory, progress: progress, visit) } catch StoreOpenError.locked {
                // Another check.
                throw StoreError.busy
            }
        }
        return try copying { try checkCopy(progress, visit) }
    }

    /// The prefix of the names of copies that a check makes of the database.
    private static let copyPrefix = "store.db.check-"

    /// Removes the copy that a killed check has left: a whole database, with texts that are erased since.
    static func removeCopies(in directory: String, _ disk: any Disk) throws(DiskError) {
        for name in try disk.list(directory) where name.hasPrefix(copyPrefix) {
            try disk.remove(directory + "/" + name)
        }
    }

    private func checkCopy(
        _ progress: @escaping (StoreProgress) throws -> Void, _ visit: @escaping (StoreDamage) -> Void
    ) throws -> StoreCheck.Summary {
        var random = SystemRandomNumberGenerator()
        let copy = directory + "/" + Store.copyPrefix + String(random.next() as UInt32)
        defer { try? disk.removeDatabase(copy) }
        // Before the copy, which has a row of each of them.
        let logs = try StoreCheck.logFiles(directory, disk)
        let files = try logs.union(StoreCheck.files(below: "\(directory)/\(BlobPath.directory)", disk))
        do { try withReader { try $0.connection.copy(to: copy, disk: disk) } } catch let error as SQLiteError
            where error.reason == .corrupt
        {
            visit(
                StoreDamage(
                    file: Store.databasePath(directory), problem: "the database can't be read: \(error.message)"))
            return StoreCheck.Summary(damages: 1, hasUncheckedLogs: !logs.isEmpty)
        }
        return try StoreCheck.check(directory, database: copy, files: files, disk: disk, progress: progress) { damage in
            var damage = damage
            if damage.file == copy { damage.file = Store.databasePath(self.directory) }
            visit(damage)
        }
    }
}

/// How far work on a whole store is.
public struct StoreProgress: Sendable, Equatable {
    public var bytes: UInt64 = 0
    public var totalBytes: UInt64 = 0
}

/// Something in a data directory that differs from what was written.
public struct StoreDamage: Sendable, Equatable {
    /// The path of the file.
    public var file: String
    /// Bytes from the start of the file; nil if the whole file is meant or the place is not known.
    public var offset: UInt64?
    /// `general`, a group's name, `@alice,@bob`, or the id if there is no name.
    public var conversation: String?
    /// The messages that are lost, or whose files are; nil if none are.
    public var range: ClosedRange<Seq>?
    public var problem: Phrase
    /// What does not hold; nil for a file of the service, or of a backup.
    var invariant: Invariant?

    public init(
        file: String, offset: UInt64? = nil, conversation: String? = nil, range: ClosedRange<Seq>? = nil,
        problem: Phrase
    ) {
        (self.file, self.offset, self.conversation) = (file, offset, conversation)
        (self.range, self.problem) = (range, problem)
    }
}
