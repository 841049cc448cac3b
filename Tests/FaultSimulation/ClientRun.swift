internal import NatterArchive
package import NatterClient
package import NatterCrypto
package import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire
package import SystemSupport

/// The client's part of a run: a replica on its own disk, synced from the frames of a store's answers.
package final class ClientRun {
    package static let user = "alice"

    package let disk: SimulatedDisk
    package let location: ReplicaLocation
    private let clock: TestClock
    /// The message counts after each sync, by the number of disk operations so far.
    package private(set) var heads: [Promises.Dated<[String: Int]>] = []

    package init(store: StoreID, clock: TestClock) {
        self.clock = clock
        disk = SimulatedDisk(clock: clock)
        location = ReplicaLocation(home: "/home", store: store, user: ClientRun.user)
    }

    package func sync(from driver: StoreDriver, as token: Token) throws {
        _ = try ClientRun.sync(location, disk: disk, clock: clock, from: driver, as: token)
        let counts = try ClientRun.contents(location, disk: disk).mapValues(\.count)
        heads.append(.init(operations: disk.operationCount, value: counts))
    }

    package func index() throws -> Bool { try ReplicaIndexing.run(at: location, disk: disk) }

    /// Syncs until the replica has everything.
    package static func sync(
        _ location: ReplicaLocation, disk: SimulatedDisk, clock: TestClock, from driver: StoreDriver,
        as token: Token
    ) throws -> SyncReport {
        let writer = ReplicaWriter(location, disk: disk, clock: clock, portionBytes: 2_000)
        var isWhole = false
        while true {
            let start = try writer.start()
            writer.begin(from: start, isWhole: isWhole)
            let cursor = isWhole ? nil : start.cursor
            do {
                let position = try cursor.map { text throws(Violation) -> SyncPosition in
                    guard let cursor = StoreCursor(text) else { throw Violation("the cursor '\(text)' is none") }
                    return .cursor(cursor)
                }
                let answer = try driver.store.changes(
                    since: position ?? .start, for: driver.principal(token), form: .blocks, limitBytes: 16 << 20)
                for frame in try answer.frames() { try writer.apply(frame) }
            } catch let error as StoreError {
                guard case .cursorExpired = error, !isWhole else { throw error }
                isWhole = true
                continue
            }
            isWhole = writer.mustRestart
            if writer.end?.more == false, !isWhole { return writer.report }
        }
    }

    /// All messages of a replica by conversation. The result is empty before the first sync.
    package static func contents(_ location: ReplicaLocation, disk: SimulatedDisk) throws -> [String: [Message]] {
        guard let replica = try Replica.open(at: location, disk: disk) else { return [:] }
        var all: [String: [Message]] = [:]
        for conversation in try replica.conversations() {
            var messages: [Message] = []
            try replica.forward(conversation, MessageFilter()) { piece in
                switch piece {
                case .messages(let run): messages += run.messages()
                case .missing(_, let range, let reason):
                    throw Violation("\(range) of '\(conversation.name)' is missing: \(reason)")
                }
                return true
            }
            if !messages.isEmpty { all[conversation.name] = messages }
        }
        return all
    }
}

/// Judges a client's disk after a power loss.
package struct ClientJudge {
    private let client: ClientRun
    private let driver: StoreDriver
    private let token: Token
    private let clock: TestClock
    /// The server's messages at the end.
    private let history: [String: [Message]]

    package init(_ run: StoreRun) throws {
        (client, driver, clock) = (run.client, run.driver, run.clock)
        token = try run.token(ClientRun.user)
        history = try driver.export(as: token)
    }

    /// - Throws: `Violation` if a message is lost, shown twice or invented; any error that stops the replica.
    package func judge(_ state: PowerLoss.State) throws {
        let disk = SimulatedDisk(state.image, clock: clock, records: false)
        // The replica contains a prefix of the server's history, and everything that finished syncs fetched.
        let before = try ClientRun.contents(client.location, disk: disk)
        for (name, messages) in before {
            try demand(
                (history[name] ?? []).starts(with: messages), "'\(name)' is no beginning of the server's history")
        }
        let promised = client.heads.last { $0.operations <= state.operations }?.value ?? [:]
        for (name, count) in promised {
            try demand(before[name]?.count ?? 0 >= count, "'\(name)' has lost messages that a sync had brought")
        }
        // The next sync completes the replica, and no message is new twice.
        let report = try ClientRun.sync(client.location, disk: disk, clock: clock, from: driver, as: token)
        try demand(
            try ClientRun.contents(client.location, disk: disk) == history, "a sync does not bring all that there is")
        let count = { (all: [String: [Message]]) in all.values.reduce(0) { $0 + $1.count } }
        try demand(
            report.messageCount == count(history) - count(before),
            "\(report.messageCount) messages were new, of \(count(before)) there to \(count(history))")
        try demand(report.diverged.isEmpty, "the replica was taken for one of another history")
    }
}
