internal import NatterConversation
public import NatterSystem
internal import NatterSQLite
public import NatterModel
internal import NatterLog

/// Rebuilds the index of a data directory from the logs and from the readable part of the database.
///
/// - `reindex` writes only rows, and files for the journal's records between two losses.
/// - `repair` also puts the log files in order. It copies blocks unchanged out of files that are damaged, duplicated
///   or misplaced into new ones, and moves the old files to `quarantine/`. Nothing that might be a message is deleted
///   or overwritten.
///
/// New files are durable before the rows that name them, and the rows before the old files are moved. So after a
/// crash at any moment, the next run finishes the work.
public final class StoreRebuild {
    public enum Purpose: Sendable {
        case reindex, repair
    }

    public struct Summary: Sendable, Equatable {
        public var conversations = 0
        public var messages: UInt64 = 0
        public var files = 0
        /// Numbers whose messages no longer exist. `newlyLostMessages` counts those that no earlier repair has
        /// reported.
        public var lostMessages: UInt64 = 0
        public var newlyLostMessages: UInt64 = 0
        /// Whether other acknowledged messages or erasures may be lost. Nothing tells which.
        public var hasUnknownLoss = false
        /// Whether rows of the database were lost that no log has, such as accounts, sessions or blocked users.
        public var hasLostRows = false
        /// Whether rows of accounts were lost: their names, except those of senders, could be registered by anybody.
        public var hasLostAccounts = false
        /// Whether there was a database. Without one, it is known to be gone before the index is made again.
        public var hadDatabase = true
    }

    /// The number of `general`, which a rebuild gives to no other conversation.
    private static let firstNumber: Int64 = 1

    let root: String
    let disk: any Disk
    let clock: any WallClock
    let purpose: Purpose
    let report: (Phrase) -> Void
    private var summary = Summary()
    private var quarantine: Quarantine { Quarantine(root: root, disk: disk) }

    private init(
        _ root: String, _ purpose: Purpose, disk: any Disk, clock: any WallClock, report: @escaping (Phrase) -> Void
    ) {
        (self.root, self.purpose, self.disk, self.clock, self.report) = (root, purpose, disk, clock, report)
    }

    /// - Parameter report: gets a line for each action and for each loss.
    /// - Throws: `StoreOpenError` if the directory is in use or belongs to a newer natter; errors of the disk and the
    ///   database.
    public static func run(
        _ directory: String, _ purpose: Purpose, disk: any Disk = PosixDisk(), clock: any WallClock = SystemClock(),
        report: @escaping (Phrase) -> Void = { _ in }
    ) throws -> Summary {
        try BackupManifest.requireNone(in: directory, disk: disk)
        try StoreRestore.requireFinished(in: directory, disk: disk)
        let lock = try Store.takeLock(directory, disk: disk)
        return try withExtendedLifetime(lock) {
            try rebuild(directory, purpose, disk: disk, clock: clock, report: report)
        }
    }

    /// Rebuilds a directory that the caller has locked.
    static func rebuild(
        _ directory: String, _ purpose: Purpose, disk: any Disk, clock: any WallClock,
        report: @escaping (Phrase) -> Void
    ) throws -> Summary {
        let rebuild = StoreRebuild(directory, purpose, disk: disk, clock: clock, report: report)
        do {
            try rebuild.run()
        } catch let error as SQLiteError where error.reason == .newerSchema {
            throw StoreOpenError.newer(error.phrase)
        }
        return rebuild.summary
    }

    private func run() throws {
        let database = try RebuiltDatabase(root, disk: disk, report: report)
        let obsolete = try write(database)
        try database.finish(quarantine)
        try setAside(obsolete)
        try keepReadableErasures()
        let epoch = try Epoch.last(on: Connection(path: database.path, role: .reader, disk: disk))
        try disk.makeDirectories(root + "/logs")
        try StoreRecovery.writeMark(epoch ?? Epoch(rawValue: 0), in: root, disk: disk)
    }

    /// Files to move and bytes to cut after the rows are committed.
    private struct Obsolete {
        var files: [(path: String, label: String)] = []
        /// Files that hold nothing of a log.
        var strays: [String] = []
        var cuts: [(path: String, offset: UInt64, length: UInt64, label: String)] = []
    }

    // MARK: The rows

    private func write(_ database: RebuiltDatabase) throws -> Obsolete {
        let connection = database.connection
        if !database.isNew {
            try RetiredFiles(directory: root, disk: disk).finish(on: connection)
            try ImportStaging(root: root, disk: disk).recover(connection, report: report)
        }
        let survey = try LogSurvey(root, store: database.storeID(), disk: disk, connection: connection)
        (summary.hasLostRows, summary.hasLostAccounts) = (database.hasLostRows, database.hasLostAccounts)
        if database.hasUnknownLoss {
            (summary.hasUnknownLoss, summary.hadDatabase) = (true, !database.wasMissing)
            report(
                "messages that were only in '\(database.path)' may be lost; nothing tells which; a backup may have them"
            )
        }
        let mark = StoreRecovery.readMark(in: root, disk)
        if let loss = try StoreRecovery.lossOfLaterRuns(than: Epoch.last(on: connection), mark, in: root) {
            summary.hasUnknownLoss = true
            report(loss)
        }
        let store = try database.identify(survey.store)
        let known = try CheckedConversation.all(on: connection)
        let journal = try JournalContents(
            connection,
            sealed: Dictionary(
                known.map { ($0.identity.number, $0.sealedSeq) }, uniquingKeysWith: { first, _ in first }))
        let former = max(journal.lastCommit, try StateLoader.lastCommit(on: connection))
        return try connection.transaction {
            let people = try RebuiltPeople(
                connection, now: clock.now(), journal: journal,
                erased: RememberedErasures(root, disk).accounts())
            try people.addSenders(journal.senders)
            var logs: [(identity: ConversationIdentity, label: String, log: RebuiltLog)] = []
            for conversation in known {
                let identity = try withUsers(conversation.identity, store, survey, journal, people, connection)
                let log = try rebuild(identity, conversation, store, survey, journal, connection)
                logs.append((identity, conversation.label, log))
            }
            // `general` is the first conversation of a store. Nothing tells the number that another one had in the journal.
            let general = ConversationID.derived(store: store, kind: .general, users: [])
            let firstIsFree = !known.contains { $0.identity.number == StoreRebuild.firstNumber }
            var ids = survey.conversations
            if firstIsFree, journal.records[StoreRebuild.firstNumber] != nil { ids.insert(general) }
            ids.subtract(known.map(\.identity.id))
            for id in ids.intersection([general]) + ids.subtracting([general]).sorted() {
                let number = id == general && firstIsFree ? StoreRebuild.firstNumber : nil
                let identity = try people.conversation(id, origin(id, store, survey), as: number)
                let log = try rebuild(identity, nil, store, survey, journal, connection)
                let label = CheckedConversation.label(of: identity)
                report("rebuilt conversation '\(label)' from its log")
                logs.append((identity, label, log))
            }
            let orphans = Set(journal.records.keys).subtracting(logs.map(\.identity.number))
            if !orphans.isEmpty {
                summary.hasUnknownLoss = true
                report(
                    "messages of the journal are lost, because nothing tells any more whose conversations they are of")
            }
            let events = unknownEvents(
                of: known, logs.map(\.log), journal, survey, hasLostMembers: database.hasLostMembers)
            // Nobody else may take the name of a member.
            if database.hasLostMembers {
                for (_, events) in events { try people.addAccounts(of: GroupHistory(events)) }
            }
            try record(logs, people, connection)
            try people.keepNumbers()
            try settle(events, store, connection)
            try keepDamagedBatches(journal, connection)
            // A file may be from before an erasure, so the next start looks whether all that was erased is.
            try connection.setMeta(.erasedFile, Store.unknownStamp)
            try settle(database, logs.map(\.log), journal, survey, former: former)
            return obsolete(logs.map { ($0.identity, $0.log) }, survey)
        }
    }

    /// The events of each group that its rows do not know, by its number: those of blocks behind what the database knew, or all
    /// if rows of members were lost and no message is.
    ///
    /// - Parameter logs: of the conversations `known`, in their order, and of others behind them.
    private func unknownEvents(
        of known: [CheckedConversation], _ logs: [RebuiltLog], _ journal: JournalContents, _ survey: LogSurvey,
        hasLostMembers: Bool
    ) -> [(number: Int64, events: [GroupHistory.Event])] {
        zip(known, logs).compactMap { conversation, log in
            let identity = conversation.identity
            guard identity.kind == .group else { return nil }
            let tail = journal.records[identity.number] ?? []
            // Among lost messages may be that somebody was removed.
            let needsAll = hasLostMembers && log.losses.isEmpty
            let end = needsAll ? .zero : max(conversation.sealedSeq, tail.last?.seq ?? .zero)
            let blocks = Set(log.blocks.map(\.firstSeq))
            let sealed = (survey.blocks[identity.id] ?? []).filter { blocks.contains($0.header.firstSeq) }
                .flatMap(\.events)
            let all = sealed + tail.compactMap { GroupHistory.Event($0) }
            // A block may be there twice, and the journal may have what is sealed.
            let events = Dictionary(all.map { ($0.seq, $0) }, uniquingKeysWith: { first, _ in first }).values
                .filter { $0.seq > end }.sorted { $0.seq < $1.seq }
            return events.isEmpty ? nil : (identity.number, events)
        }
    }

    private func settle(
        _ events: [(number: Int64, events: [GroupHistory.Event])], _ store: StoreID, _ connection: Connection
    ) throws {
        guard !events.isEmpty else { return }
        var state = try StateLoader(connection).loadRows(store)
        let adopted = AdoptedEvents()
        for (number, events) in events {
            if let conversation = state.conversations[number] { adopted.add(events, of: conversation) }
        }
        try adopted.settle(in: &state, on: connection, report: report)
    }

    private func rebuild(
        _ identity: ConversationIdentity, _ known: CheckedConversation?, _ store: StoreID, _ survey: LogSurvey,
        _ journal: JournalContents, _ connection: Connection
    ) throws -> RebuiltLog {
        try LogRebuild(
            root: root, disk: disk, clock: clock, store: store, survey: survey, journal: journal, identity: identity,
            known: known, knownSegments: ArchiveRows.segments(of: identity.number, on: connection),
            isRepair: purpose == .repair
        ).run()
    }

    /// Recreates the accounts of a personal conversation if the database has lost them.
    private func withUsers(
        _ identity: ConversationIdentity, _ store: StoreID, _ survey: LogSurvey, _ journal: JournalContents,
        _ people: RebuiltPeople, _ connection: Connection
    ) throws -> ConversationIdentity {
        guard identity.kind == .personal, identity.users.count < 2 else { return identity }
        var users = survey.headers(of: identity.id).first?.users ?? []
        if users.count != 2 {
            // Without a log file, the id tells which two they are, if both have accounts.
            let senders = (journal.records[identity.number] ?? []).map { String(decoding: $0.sender, as: UTF8.self) }
            users = try people.users(of: identity.id, in: store, knowing: Set(identity.users + senders)) ?? []
        }
        guard users.count == 2 else { return identity }
        let pair = try people.pair(users[0], users[1])
        try connection.run(
            "UPDATE conversation SET user_a=?, user_b=? WHERE number=?", pair.first.rawValue, pair.second.rawValue,
            identity.number)
        return ConversationIdentity(
            number: identity.number, id: identity.id, kind: .personal, name: identity.name, users: users)
    }

    private func origin(_ id: ConversationID, _ store: StoreID, _ survey: LogSurvey) -> RebuiltPeople.Origin {
        let blocks = (survey.blocks[id] ?? []).sorted { $0.header.firstSeq < $1.header.firstSeq }
        let history = GroupHistory(blocks.flatMap(\.events))
        if let newest = survey.headers(of: id).max(by: { ($0.firstSeq, $0.created) < ($1.firstSeq, $1.created) }) {
            return RebuiltPeople.Origin(
                kind: newest.kind, name: history.name ?? newest.name, users: newest.users, history: history)
        }
        // No header can be read. The id of `general` follows from the store's id. No other id says what it belongs
        // to.
        let isGeneral = id == ConversationID.derived(store: store, kind: .general, users: [])
        return RebuiltPeople.Origin(
            kind: isGeneral ? .general : .group, name: history.name ?? "recovered-\(id.description.prefix(8))",
            users: [],
            history: history)
    }

    private func record(
        _ logs: [(identity: ConversationIdentity, label: String, log: RebuiltLog)], _ people: RebuiltPeople,
        _ connection: Connection
    ) throws {
        let stated = try LossRows.all(on: connection)
        let counts = try sentCounts(connection)
        // Nobody gets a deleted text again because its deletion is lost.
        let lost = try logs.map {
            try RelationRows.all(in: $0.log.losses, of: $0.identity.number, on: connection)
        }
        try connection.execute("DELETE FROM segment; DELETE FROM block; DELETE FROM sent; DELETE FROM relation")
        for ((identity, label, log), lost) in zip(logs, lost) {
            for dictionary in log.dictionaries { try ArchiveRows.put(dictionary, on: connection) }
            for row in log.segments { try ArchiveRows.put(row, on: connection) }
            for row in log.blocks { try ArchiveRows.insert(row, on: connection) }
            for relation in log.content.relations where relation.about >= log.first {
                try RelationRows.insert(relation, of: identity.number, on: connection)
            }
            for (relation, author) in lost where relation.about >= log.first {
                try RelationRows.insert(relation, of: identity.number, author: author, on: connection)
            }
            try connection.run(
                """
                UPDATE conversation SET first_seq=?, sealed_seq=?, sealed_hash=?, sealed_commit=?,
                sealed_time=max(coalesce(sealed_time,0),?) WHERE number=?
                """, log.first.rawValue, log.sealedSeq.rawValue, log.sealedHash.bytes, log.sealedCommit.rawValue,
                (log.content.serverTime ?? .zero).milliseconds, identity.number)
            try recordSenders(log, identity, counts[identity.number] ?? [:], people, connection)
            try recordLosses(log.losses, identity, label, stated[identity.number] ?? [], connection)
            summary.conversations += 1
            summary.messages += log.blocks.reduce(0) { $0 + UInt64($1.count) }
            summary.files += log.segments.count
        }
        if !people.made.isEmpty {
            // Their passwords and sessions at least.
            if summary.hadDatabase { summary.hasLostRows = true }
            let names = people.made.joined(separator: ", ")
            report(
                .plural(
                    people.made.count,
                    "recreated \(people.made.count) account without a password ('natterd user passwd NAME' sets one): \(names)",
                    "recreated \(people.made.count) accounts without passwords ('natterd user passwd NAME' sets one): \(names)"
                ))
        }
    }

    private typealias SentCount = (all: Int, dropped: Int)

    private func sentCounts(_ connection: Connection) throws(SQLiteError) -> [Int64: [String: SentCount]] {
        var counts: [Int64: [String: SentCount]] = [:]
        let rows = try connection.statement("SELECT conversation,sender,count,dropped FROM sent")
        while try rows.step() {
            counts[rows.int64(0), default: [:]][rows.text(1)] = (Int(try rows.ordinal(2)), Int(try rows.ordinal(3)))
        }
        return counts
    }

    private func recordSenders(
        _ log: RebuiltLog, _ identity: ConversationIdentity, _ former: [String: SentCount], _ people: RebuiltPeople,
        _ connection: Connection
    ) throws(SQLiteError) {
        // After a loss the former count may be higher, because it includes the lost messages.
        let insert = try connection.statement("INSERT INTO sent VALUES (?,?,?,?)")
        let erased = try ErasedTexts.counts(
            log.first...max(log.first, log.sealedSeq), in: identity.number, connection)
        let sent = log.content.sent.merging(erased, uniquingKeysWith: +)
        for sender in Set(sent.keys).union(former.keys) {
            let known = former[sender] ?? (0, 0)
            let found = (sent[sender] ?? 0) + known.dropped
            guard found > 0 || sent[sender] != nil || !log.losses.isEmpty else { continue }
            if !sender.isEmpty { _ = try people.account(sender) }
            try insert.run(identity.number, sender, log.losses.isEmpty ? found : max(found, known.all), known.dropped)
        }
    }

    private func recordLosses(
        _ losses: [ClosedRange<Seq>], _ identity: ConversationIdentity, _ label: String, _ stated: [ClosedRange<Seq>],
        _ connection: Connection
    ) throws(SQLiteError) {
        let losses = losses.sorted { $0.lowerBound < $1.lowerBound }
        try LossRows.replace(losses, of: identity.number, at: clock.now(), on: connection)
        for loss in losses {
            let count = UInt64(loss.upperBound.distance(after: loss.lowerBound) + 1)
            summary.lostMessages += count
            if LossRows.covers(stated, loss) { continue }
            summary.newlyLostMessages += count
            report("messages \(loss.lowerBound) to \(loss.upperBound) of '\(label)' are lost")
        }
    }

    // MARK: The rest of the database

    private func keepDamagedBatches(_ journal: JournalContents, _ connection: Connection) throws {
        guard purpose == .repair else { return }
        for (row, commit, bytes, reason) in journal.damaged {
            let path = try quarantine.keep(bytes, name: "store.db-batch-\(row)")
            report(
                "the journal's batch of commit \(commit.rawValue) can't be read: \(reason); its bytes are in '\(path)'")
            for table in JournalTables.names {
                try connection.statement("DELETE FROM \(table) WHERE number=?").run(row)
            }
        }
    }

    /// Makes sure that no commit number is given twice. Commits that may now have another content get a new epoch, so
    /// that old cursors are refused.
    private func settle(
        _ database: RebuiltDatabase, _ logs: [RebuiltLog], _ journal: JournalContents, _ survey: LogSurvey,
        former: Commit
    ) throws {
        let connection = database.connection
        let commit = logs.reduce(former) { max($0, $1.sealedCommit) }
        try connection.setMeta(.commit, commit.rawValue)
        try connection.setMeta(.clean, true)
        var first: Commit?
        if commit > former { first = former.next }
        if let damaged = journal.firstDamaged { first = min(first ?? damaged, damaged) }
        if database.isNew || logs.contains(where: \.hasOtherHistory) { first = Commit(1) }
        guard let first else { return }
        let stored = try connection.row("SELECT coalesce(max(run),0) FROM epoch") { $0.int64(0) } ?? 0
        let ofFiles = survey.files.compactMap { $0.header?.epoch.run }.max() ?? 0
        let epoch = Epoch.next(after: Epoch(run: max(UInt32(clamping: stored), ofFiles), random: 0))
        try Change.epochBegun(epoch, first: first).write(to: connection, at: first)
    }

    // MARK: Files

    private func obsolete(_ logs: [(identity: ConversationIdentity, log: RebuiltLog)], _ survey: LogSurvey) -> Obsolete
    {
        var obsolete = Obsolete()
        let kept = logs.reduce(into: Set<Int>()) { $0.formUnion($1.log.kept) }
        for (index, file) in survey.files.enumerated() where !kept.contains(index) {
            // The directory of a file bears the id of its conversation.
            let id = file.conversation ?? ConversationID(hex: Path.name(of: Path.directory(of: file.path)))
            obsolete.files.append((file.path, id?.description ?? ""))
        }
        obsolete.strays = survey.strays
        for (identity, log) in logs {
            for cut in log.cuts {
                obsolete.cuts.append(
                    (survey.files[cut.file].path, cut.offset, cut.length, identity.id.description))
            }
        }
        return obsolete
    }

    /// Keeps the lines that can be read. Erasures of the others are repeated only if the database knows them.
    private func keepReadableErasures() throws {
        let remembered = RememberedErasures(root, disk)
        guard purpose == .repair, try !remembered.damages().isEmpty else { return }
        let path = root + "/" + RememberedErasures.name
        let copy = try quarantine.copy(path)
        try remembered.keepReadable()
        summary.hasUnknownLoss = true
        report("'\(path)' keeps what could be read; the file as it was is in '\(copy)'; erase again what comes back")
    }

    private func setAside(_ obsolete: Obsolete) throws {
        guard purpose == .repair else {
            for path in obsolete.files.map(\.path) + obsolete.strays {
                report(
                    "'\(root)/\(path)' is no part of any log and is left as it is; 'natterd fsck --repair' sets it aside"
                )
            }
            return
        }
        for (path, label) in obsolete.files {
            let target = try quarantine.move(root + "/" + path, label: label)
            report("moved '\(root)/\(path)' to '\(target)'; what is whole of it was copied")
        }
        for path in obsolete.strays {
            let target = try quarantine.move(root + "/" + path)
            report("moved '\(root)/\(path)' to '\(target)'; it is no part of any log")
        }
        for (path, offset, length, label) in obsolete.cuts {
            let target = try quarantine.cut(root + "/" + path, from: offset, length: length, label: label)
            report(
                "moved \(length) bytes from byte \(offset) of '\(root)/\(path)' on, which were no block, to '\(target)'"
            )
        }
    }
}
