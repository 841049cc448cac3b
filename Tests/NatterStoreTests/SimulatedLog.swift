import NatterConversation
import NatterModel
import NatterSystem
import SystemSupport
import TestSupport

@testable import NatterStore

/// A log that several stores share, as a database cluster would keep it: an entry is taken only right behind the entry that its
/// author saw last. Rows and blocks are in one set of files on a disk in memory, written together with the entry.
///
/// A seed decides which proposals and answers are lost, and which proposals come into effect only later.
final class SimulatedLog: Sendable {
    static let directory = "/store"

    /// How many of a hundred proposals have each trouble.
    struct Troubles: Sendable {
        var lostProposals: UInt64 = 0
        var lostAnswers: UInt64 = 0
        var lateCommits: UInt64 = 0

        static let none = Troubles()
        static let all = Troubles(lostProposals: 8, lostAnswers: 12, lateCommits: 8)
    }

    struct Row: Sendable {
        let data: [UInt8]
        let author: LogEntry.Author
        let before: LogPlace
        let place: LogPlace
    }

    private struct State {
        var rows: [Row] = []
        var late: [(entry: LogEntry, blocks: [WrittenBlocks])] = []
        var disk: SimulatedDisk
        var database: FileEngine
        var identity: LoadedState
        var generator: SeededGenerator
        var troubles: Troubles
        var marked: (rows: Int, image: DiskImage)?
        var hints: [Hint] = []
    }

    private struct Hint: Sendable {
        let call: @Sendable (UInt64?) -> Void
    }

    private let clock: any WallClock
    private let state: Monitor<State>

    init(seed: UInt64 = 1, troubles: Troubles = .none, clock: any WallClock = TestClock(stepMilliseconds: 1)) throws {
        self.clock = clock
        let disk = SimulatedDisk(clock: clock, records: false)
        let (database, loaded) = try SimulatedLog.open(disk, clock)
        state = Monitor(
            State(
                disk: disk, database: database, identity: loaded, generator: SeededGenerator(seed: seed),
                troubles: troubles))
    }

    private static func open(_ disk: SimulatedDisk, _ clock: any WallClock) throws -> (FileEngine, LoadedState) {
        let database = try FileEngine(directory, disk: disk, clock: clock, options: Store.Options())
        return (database, try database.load())
    }

    var disk: SimulatedDisk { state.withLock { $0.disk } }
    var database: FileEngine { state.withLock { $0.database } }
    var head: LogPlace { state.withLock { $0.rows.last?.place ?? .start } }
    var rows: [Row] { state.withLock { $0.rows } }

    func set(_ troubles: Troubles) { state.withLock { $0.troubles = troubles } }

    /// Has `hint` called after each entry, on a thread of the author's.
    func onNews(_ hint: @escaping @Sendable (UInt64?) -> Void) { state.withLock { $0.hints.append(Hint(call: hint)) } }

    /// All that the rows and the journal say now.
    func load() throws -> LoadedState {
        try state.withLock { state in
            var loader = StateLoader(try state.database.makeReader().connection)
            var loaded = state.identity
            loaded.state = try loader.loadRows(loaded.state.store)
            try loader.loadJournal(&loaded.state)
            try loader.loadDeletions(loaded.state)
            loaded.state.commit = loaded.state.conversations.values.reduce(loaded.state.commit) {
                max($0, $1.lastCommit)
            }
            loaded.state.place = state.rows.last?.place ?? .start
            loaded.keys = loader.keys
            return loaded
        }
    }

    func entries(after place: LogPlace, limit: Int) throws -> [LogEntry] {
        try state.withLock { try SimulatedLog.entries(after: place, limit: limit, $0) }
    }

    private static func entries(after place: LogPlace, limit: Int, _ state: State) throws -> [LogEntry] {
        let known = place.number == 0 ? .start : state.rows.dropFirst(Int(place.number) - 1).first?.place
        guard known == place else { throw HistoryWentBack() }
        return try state.rows.dropFirst(Int(place.number)).prefix(limit).map {
            try LogEntry(decoding: $0.data, before: $0.before, author: $0.author)
        }
    }

    func append(_ entry: LogEntry, with blocks: [WrittenBlocks]) throws -> Appended {
        let (answer, number, hints) = try state.withLock { state -> (Appended, UInt64?, [Hint]) in
            // An entry that was under way may come into effect now, or later.
            while !state.late.isEmpty, Bool.random(using: &state.generator) {
                let late = state.late.removeFirst()
                _ = try SimulatedLog.insert(late.entry, late.blocks, &state)
            }
            var draw = UInt64.random(in: 0..<100, using: &state.generator)
            func falls(_ share: UInt64) -> Bool {
                defer { draw = draw >= share ? draw - share : 100 }
                return draw < share
            }
            if falls(state.troubles.lostProposals) { return (.unknown, nil, []) }
            if falls(state.troubles.lateCommits) {
                state.late.append((entry, blocks))
                return (.unknown, nil, [])
            }
            guard let place = try SimulatedLog.insert(entry, blocks, &state) else {
                return (.behind(try SimulatedLog.entries(after: entry.before, limit: .max, state)), nil, [])
            }
            // A look from time to time has no number, and finds a log that went back.
            let number = Bool.random(using: &state.generator) ? place.number : nil
            return (falls(state.troubles.lostAnswers) ? .unknown : .done(place), number, state.hints)
        }
        for hint in hints { hint.call(number) }
        return answer
    }

    /// - Returns: nil if others were first.
    private static func insert(
        _ entry: LogEntry, _ blocks: [WrittenBlocks], _ state: inout State
    ) throws -> LogPlace? {
        guard (state.rows.last?.place ?? .start) == entry.before else { return nil }
        let data = entry.encode()
        let place = entry.before.after(data)
        // The entry that others will read must be all that its author meant.
        let read = try LogEntry(decoding: data, before: entry.before, author: entry.author)
        _ = try state.database.append(read, with: blocks)
        state.rows.append(Row(data: data, author: entry.author, before: entry.before, place: place))
        return place
    }

    /// Remembers how everything is now.
    func mark() { state.withLock { $0.marked = ($0.rows.count, $0.disk.image) } }

    /// Puts everything back to how it was at the mark, as a restore of the cluster would.
    func goBack() throws {
        try state.withLock { state in
            guard let marked = state.marked else { return }
            state.late = []
            state.rows.removeLast(state.rows.count - marked.rows)
            state.disk = SimulatedDisk(marked.image, clock: clock, records: false)
            let (database, loaded) = try SimulatedLog.open(state.disk, clock)
            (state.database, state.identity) = (database, loaded)
        }
    }
}

/// One server's way to a simulated log.
final class SharedEngine: StoreEngine {
    let log: SimulatedLog
    let sealsTails: Bool
    let isShared = true
    private let hears: Bool
    private let isCut = Monitor(false)
    private let isFull = Monitor(false)
    private let refusals = Monitor(0)
    /// Whether the next entry is stored, but its answer is lost, and then its place is trimmed.
    private let sleeps = Monitor<Int>(0)
    /// How often something else still happens before blocks are proposed.
    private let overtaking = Monitor<(left: Int, body: @Sendable () -> Void)>((0, {}))

    /// - Parameter hears: whether hints of new entries reach it.
    init(_ log: SimulatedLog, sealsTails: Bool, hears: Bool = false) {
        (self.log, self.sealsTails, self.hears) = (log, sealsTails, hears)
    }

    var directory: String { SimulatedLog.directory }
    var disk: any Disk { log.disk }

    /// Nothing reaches the log any more, as if the process had ended.
    func cut() { isCut.withLock { $0 = true } }

    /// Whether there is no room for blocks, only for messages.
    func setFull(_ isNow: Bool) { isFull.withLock { $0 = isNow } }

    /// Loses the answer to the next entry, which stands where the log is trimmed before it is proposed again: as of a server
    /// that stands still for minutes.
    func sleep() { sleeps.withLock { $0 = 2 } }

    /// Refuses the next proposals, as while another session locks the log.
    func refuse(times: Int) { refusals.withLock { $0 = times } }

    /// Lets others be first in the log, the next times that blocks are proposed.
    func overtake(times: Int, _ body: @escaping @Sendable () -> Void) { overtaking.withLock { $0 = (times, body) } }

    private func checkReach() throws(StoreError) {
        if isCut.withLock({ $0 }) { throw .outcomeUnknown }
    }

    func load() throws -> LoadedState { try log.load() }

    func append(_ entry: LogEntry, with blocks: [WrittenBlocks]) throws -> Appended {
        try checkReach()
        if !blocks.isEmpty, isFull.withLock({ $0 }) { throw StoreError.diskFull }
        try refusals.withLock { left throws(StoreError) in
            guard left > 0 else { return }
            left -= 1
            throw .databaseLocked
        }
        let overtaker = overtaking.withLock { overtaking -> (@Sendable () -> Void)? in
            guard !blocks.isEmpty, overtaking.left > 0 else { return nil }
            overtaking.left -= 1
            return overtaking.body
        }
        overtaker?()
        let left = sleeps.withLock { left in
            defer { left = max(0, left - 1) }
            return left
        }
        if left == 1 { throw HistoryWentBack() }
        let answer = try log.append(entry, with: blocks)
        return left == 2 ? .unknown : answer
    }

    func entries(after place: LogPlace, limit: Int) throws -> [LogEntry] {
        try checkReach()
        return try log.entries(after: place, limit: limit)
    }

    func head() throws -> LogPlace { log.head }
    func onNews(_ hint: @escaping @Sendable (UInt64?) -> Void) { if hears { log.onNews(hint) } }
    func find(_ keys: [RecentKey]) throws -> [RecentKey: FoundKey] { try log.database.find(keys) }
    func trim(
        below floor: Commit, moving keys: [MovedKey], now: Timestamp, at place: LogPlace
    ) throws -> (bytes: Int, floor: Commit) {
        try checkReach()
        do { _ = try log.entries(after: place, limit: 0) } catch is HistoryWentBack { throw StoreError.busy }
        return try log.database.trim(below: floor, moving: keys, now: now, at: place)
    }
    func makeReader() throws -> ArchiveReader { try log.database.makeReader() }
    func checkpointIfDue() throws {}
    func close(isClean: Bool) {}
}
