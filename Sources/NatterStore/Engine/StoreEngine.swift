internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterSQLite

/// The storage below a `Store`: an ordered log of entries, the rows that they write, and blocks.
///
/// An engine decides nothing. The store above it does numbering, authority, idempotency, the hash chain, sync,
/// reading and sealing. Only the writer's thread calls `append`, `lineUp`, `entries`, `trim` and `checkpointIfDue`. The
/// other functions are thread-safe.
protocol StoreEngine: AnyObject, Sendable {
    /// A directory of this process, for files that can be made again and for staged files.
    var directory: String { get }
    var disk: any Disk { get }
    /// Whether other stores append to the same log.
    var isShared: Bool { get }
    /// Whether this store seals tails. Any one of several servers may.
    var sealsTails: Bool { get }

    /// Recovers from a crash if necessary, and loads the whole state.
    func load() throws -> LoadedState

    /// Makes an entry durable if the log still ends where its author saw the end.
    ///
    /// - Parameter blocks: blocks that are already written and synced, and are recorded with the entry.
    /// - Throws: `StoreError` only if it is certain that nothing was written. After any other error, the content of
    ///   the disk is unknown.
    func append(_ entry: LogEntry, with blocks: [WrittenBlocks]) throws -> Appended

    /// Makes sure that what was read from the log up to a place survives whatever an acknowledged entry survives. Call before a
    /// request is told that it is in the log already. Does nothing unless that is in doubt.
    /// - Throws: `StoreError.outcomeUnknown`; `HistoryWentBack` if the log does not lead through that place.
    func confirm(_ place: LogPlace) throws

    /// Waits for this store's turn if stores propose entries at the same time, until the next `append` or
    /// `checkpointIfDue`.
    /// - Returns: entries after a place. There may be more.
    /// - Throws: `HistoryWentBack` if the log does not lead through that place.
    func lineUp(behind place: LogPlace) throws -> [LogEntry]

    /// All entries after a place, in order.
    /// - Throws: `HistoryWentBack` if the log does not lead through that place.
    func entries(after place: LogPlace, limit: Int) throws -> [LogEntry]

    /// The end of the log now. The store does not ask an engine that is not shared.
    func head() throws -> LogPlace

    /// Registers a function to call when other stores may have appended entries. A hint may be lost or come for no
    /// reason. It has the number of an entry, if that is known: a store that is behind it has nothing to do.
    func onNews(_ hint: @escaping @Sendable (UInt64?) -> Void)

    /// Why the log can't be used now, as far as the engine knows without asking; nil if it can.
    var trouble: StoreTrouble? { get }

    /// The messages that idempotency keys were used for, of those keys that have left the log.
    func find(_ keys: [RecentKey]) throws -> [RecentKey: FoundKey]

    /// Trims the log below a commit, or a part of that if it takes long, after storing the keys of what goes where `find` looks.
    ///
    /// - Parameter place: the end of the log as this store knows it.
    /// - Returns: how many bytes of messages were trimmed, and the commit that was reached.
    /// - Throws: `StoreError.busy`, with nothing changed, if the log does not lead through that place.
    func trim(
        below floor: Commit, moving keys: [MovedKey], now: Timestamp, at place: LogPlace
    ) throws -> (bytes: Int, floor: Commit)

    /// How many log files `load` found missing, or shorter than recorded.
    var shortLogCount: Int { get }

    /// Whether the rows are there for readers.
    var hasRows: Bool { get }

    /// A reader of rows and blocks. It is not thread-safe.
    func makeReader() throws -> ArchiveReader

    /// Makes the journal's other table the one that takes new rows.
    ///
    /// - Returns: false, with nothing done, if it still has rows of its own.
    func turnJournal() throws -> Bool

    /// Overwrites the table of the journal that takes no rows, so that nothing of them is left in the file.
    ///
    /// - Throws: `StoreError.busy` if a tail still needs one of them.
    func emptyFormerJournal() throws

    /// Changes rows that belong to the files of this engine, on the writer's thread and in one transaction. Does nothing if the
    /// engine has no files of its own.
    func changeFiles(_ body: (Connection) throws -> Void) throws

    /// Names new log files before they are written, so that they go unless an entry records them.
    func noteNew(_ paths: [String]) throws

    /// Forgets what the ids of these messages stood for in a table that several servers share.
    func forgetContent(of seqs: Set<Seq>, in conversation: Int64) throws

    /// Removes log files that no server reads any more. Call on the sealer's thread.
    ///
    /// - Parameter conversations: those whose unrecorded bytes may hold what was erased.
    func sweep(_ conversations: [ConversationID]) throws

    /// Moves all of the write-ahead log into the database, unless a reader is in the way.
    func emptyWriteAheadLog() throws

    /// How many bytes the write-ahead log has, as far as it was not given back. A checkpoint needs as many beside it at most.
    var logBytes: Int { get }

    /// Gives back to the disk, on the writer's thread, the write-ahead log and a part of the database's free pages.
    ///
    /// - Returns: the bytes of free pages that are left.
    func giveBack() throws -> Int

    /// Does upkeep between two entries, after their requests were answered.
    func checkpointIfDue() throws

    /// Releases everything. No function may be called afterwards.
    func close(isClean: Bool)
}

extension StoreEngine {
    func confirm(_ place: LogPlace) throws {}
    func lineUp(behind place: LogPlace) throws -> [LogEntry] { [] }
    var trouble: StoreTrouble? { nil }
    var shortLogCount: Int { 0 }
    var hasRows: Bool { true }
    func turnJournal() throws -> Bool { true }
    func emptyFormerJournal() throws {}
    func changeFiles(_ body: (Connection) throws -> Void) throws {}
    func noteNew(_ paths: [String]) throws {}
    func forgetContent(of seqs: Set<Seq>, in conversation: Int64) throws {}
    func sweep(_ conversations: [ConversationID]) throws {}

    func emptyWriteAheadLog() throws {}
    var logBytes: Int { 0 }
    func giveBack() throws -> Int { 0 }
}

enum Appended: Sendable {
    /// The entry is durable, and this place is behind it.
    case done(LogPlace)
    /// Other stores were first: these entries follow the place that the author saw. One of them may be the author's
    /// own, from an attempt whose answer was lost. If the log has moved, it may lack entries that other stores have
    /// acknowledged, as after another database has taken its place: only an entry that begins an epoch may be next.
    case behind([LogEntry], isMoved: Bool = false)
    /// The answer was lost. The entry may be proposed again, because the log accepts it at one place only.
    case unknown
}

/// The log no longer contains the place that a store has reached, because it was restored to an earlier state.
struct HistoryWentBack: Error {
    /// Why the engine has lost its copy of the rows, if that is all.
    var copyFailure: Phrase?
}

/// The result of `load`.
struct LoadedState {
    var keySecret: ShortHashKey
    var state: StoreState
    /// Keys that are still in the log, in order of arrival.
    var keys: [MovedKey]
}
