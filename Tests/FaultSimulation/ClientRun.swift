internal import NatterConversation
package import NatterClient
package import NatterSystem
package import NatterModel
internal import NatterStore
internal import NatterProtocol
internal import StoreSupport
package import SystemSupport

/// The client's part of a run: a replica on its own disk, synced from the frames of a store's answers.
package final class ClientRun {
    package static let user = "alice"

    package let disk: SimulatedDisk
    package let location: ReplicaLocation
    private let clock: TestClock
    /// The last seqs after each sync, by the number of disk operations so far.
    package private(set) var heads: [Promises.Dated<[String: Seq]>] = []

    package init(store: StoreID, clock: TestClock) {
        self.clock = clock
        disk = SimulatedDisk(clock: clock)
        location = ReplicaLocation(home: "/home", store: store, user: ClientRun.user)
    }

    /// - Parameters:
    ///   - limitBytes: how long an answer is at most, about.
    ///   - between: called after the first answer.
    package func sync(
        from driver: StoreDriver, as token: Token, limitBytes: Int = 16 << 20, between: () throws -> Void = {}
    ) throws {
        _ = try ClientRun.sync(
            location, disk: disk, clock: clock, from: driver, as: token, limitBytes: limitBytes, between: between)
        let seqs = try ClientRun.contents(location, disk: disk).compactMapValues(\.last?.seq)
        heads.append(.init(operations: disk.operationCount, value: seqs))
    }

    package func index() throws -> Bool { try ReplicaIndexing.run(at: location, disk: disk) }

    /// Syncs until the replica has everything.
    package static func sync(
        _ location: ReplicaLocation, disk: SimulatedDisk, clock: TestClock, from driver: StoreDriver,
        as token: Token, limitBytes: Int = 16 << 20, between: () throws -> Void = {}
    ) throws -> SyncReport {
        let writer = ReplicaWriter(location, disk: disk, clock: clock, portionBytes: 2_000)
        var isWhole = false
        var isFirst = true
        while true {
            defer { isFirst = false }
            if !isFirst { try between() }
            let start = try writer.start()
            writer.begin(from: start, isWhole: isWhole)
            let cursor = isWhole ? nil : start.cursor
            do {
                let position = try cursor.map { text throws(Violation) -> SyncPosition in
                    guard let cursor = StoreCursor(text) else { throw Violation("the cursor '\(text)' is none") }
                    return .cursor(cursor)
                }
                let answer = try driver.store.changes(
                    since: position ?? .start, for: driver.principal(token), form: .blocks, limitBytes: limitBytes)
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
                case .messages(let run): messages += try replica.changed(run, folds: false) ?? run.messages()
                case .missing(_, _, .notKept): break
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
    private let promises: Promises

    package init(_ run: StoreRun) throws {
        (client, driver, clock) = (run.client, run.driver, run.clock)
        token = try run.token(ClientRun.user)
        history = try driver.export(as: token).filter { !$0.value.isEmpty }
        promises = run.promises.withLock { $0 }
    }

    /// - Parameter mayGoBack: whether a process that ended before it synced may have left what the power took: the next sync brings
    ///   it again.
    /// - Throws: `Violation` if a message is lost, shown twice or invented; any error that stops the replica.
    package func judge(_ state: PowerLoss.State, mayGoBack: Bool = false) throws {
        let disk = SimulatedDisk(state.image, clock: clock, records: false)
        // The replica contains a prefix of the server's history, and everything that finished syncs fetched.
        let before = try ClientRun.contents(client.location, disk: disk)
        for (name, messages) in before {
            let known = Dictionary(uniqueKeysWithValues: (history[name] ?? []).map { ($0.seq, $0) })
            var next = messages.first?.seq
            for message in messages {
                // The server may have dropped what the replica had not got yet.
                let isKept = history[name].map { message.seq > $0[0].seq } ?? false
                try demand(message.seq == next || !isKept, "'\(name)' has a hole")
                next = message.seq.next
                // The server may have dropped it.
                guard let server = known[message.seq] else {
                    try demand(promises.may(.retention, message), "'\(name)' has what the server has not")
                    continue
                }
                // The server may have erased it, or told of its deletion or an edit later.
                let hasText = !server.isErased && !server.isDeleted
                try demand(
                    (message.cursor, message.time, message.kind) == (server.cursor, server.time, server.kind)
                        && (!hasText || (message.sender, message.text) == (server.sender, server.text)),
                    "'\(name)' is no beginning of the server's history")
            }
        }
        let promised = client.heads.last { $0.operations <= state.operations }?.value ?? [:]
        for (name, seq) in promised where !mayGoBack {
            try demand(before[name]?.last?.seq ?? .zero >= seq, "'\(name)' has lost messages that a sync had brought")
        }
        // The next sync completes the replica, and no message is new twice.
        let report = try ClientRun.sync(client.location, disk: disk, clock: clock, from: driver, as: token)
        let after = try ClientRun.contents(client.location, disk: disk)
        for (name, messages) in history {
            // It keeps what the server has dropped.
            let found = after[name]?.filter { $0.seq >= messages[0].seq } ?? []
            let differing = zip(found, messages).first { $0 != $1 }
            try demand(
                found == messages,
                "a sync brings \(found.count) of \(messages.count) of '\(name)'; \(differing.map { "\($0)" } ?? "")")
        }
        let new = history.reduce(0) { count, pair in
            count + pair.value.count { $0.seq > before[pair.key]?.last?.seq ?? .zero }
        }
        try demand(report.messageCount == new, "\(report.messageCount) messages were new, and not \(new)")
        try demand(report.diverged.isEmpty, "the replica was taken for one of another history")
        try disk.mustNotHold(promises.erasedTexts(), below: client.location.directory)
    }
}
