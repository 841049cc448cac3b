internal import NatterArchive
internal import NatterCrypto
internal import NatterModel
internal import NatterSystem

/// What a `Store` keeps its data in: an ordered log of entries, the rows that they write, and blocks.
///
/// An engine decides nothing. Numbering, authority, idempotency, the hash chain, sync, reading and the sealing policy are the
/// store's, above it. Only the thread of the store's writer calls `append`, `entries`, `trim` and `checkpointIfDue`; the
/// others are called from any thread.
protocol StoreEngine: AnyObject, Sendable {
    /// A directory of this process for what can be made again, and for files on their way in.
    var directory: String { get }
    var disk: any Disk { get }
    /// Whether other stores append to the same log.
    var isShared: Bool { get }
    /// Whether this store seals tails. Of several stores that append to the same files only one may.
    var sealsTails: Bool { get }

    /// Reads all that memory holds, after bringing in order what a crash may have left.
    func load() throws -> LoadedState

    /// Makes an entry durable if the log still ends where its author saw it end.
    ///
    /// - Parameter blocks: written to files and synced, to be recorded with the entry.
    /// - Throws: `StoreError` if nothing was written, for certain. Any other error means that the content of the disk is
    ///   not known.
    func append(_ entry: LogEntry, with blocks: [WrittenBlocks]) throws -> Appended

    /// The entries behind a place, in order, none left out.
    /// - Throws: `HistoryWentBack` if the log does not lead through that place.
    func entries(after place: LogPlace, limit: Int) throws -> [LogEntry]

    /// The end of the log now. An engine that nobody shares need not be asked.
    func head() throws -> LogPlace

    /// Has `hint` called when there may be new entries of others. A hint may be lost or come without reason.
    func onNews(_ hint: @escaping @Sendable () -> Void)

    /// What an idempotency key was used for, if it was moved out of the log.
    func find(_ key: RecentKey) throws -> FoundKey?

    /// Cuts off the log below a commit, once the keys have moved to where `find` looks.
    /// - Returns: how many bytes of messages were cut off.
    func trim(below floor: Commit, moving keys: [MovedKey], now: Timestamp) throws -> Int

    /// A reader of rows and blocks, for one thread at a time.
    func makeReader() throws -> ArchiveReader

    /// Upkeep between two entries, after they were answered.
    func checkpointIfDue() throws

    /// Lets everything go. Nothing may be asked of the engine afterwards.
    func close(isClean: Bool)
}

enum Appended: Sendable {
    /// The entry is durable and stands before this place.
    case done(LogPlace)
    /// Others were first: these entries come behind the place that the author saw. One of them may be the author's own, of an
    /// attempt whose answer was lost.
    case behind([LogEntry])
    /// The answer was lost. The same entry may be proposed again: it can stand in one place only.
    case unknown
}

/// The log no longer leads through the place that a store has reached: it was restored to an earlier state.
struct HistoryWentBack: Error {}

/// What a store begins with.
struct LoadedState {
    var id: StoreID
    var keySecret: ShortHashKey
    var state: StoreState
    var place: LogPlace
    /// Keys that are still in the log, in order of arrival.
    var keys: [MovedKey]
}

/// An idempotency key as it is looked up.
struct RecentKey: Hashable, Sendable {
    let account: Int64
    let hash: UInt64
}

/// The message that a key was used for, and the hash of its content.
struct FoundKey: Equatable, Sendable {
    let conversation: Int64
    let seq: Seq
    let content: UInt64
}

/// A key with what it was used for, and the commit of that.
struct MovedKey: Sendable {
    let key: RecentKey
    let found: FoundKey
    let commit: Commit
}
