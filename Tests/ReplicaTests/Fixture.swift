import FaultSimulation
import Glibc
import NatterArchive
@testable import NatterClient
import NatterCrypto
import NatterModel
@testable import NatterStore
import NatterSystem
import NatterWire
import Testing

import struct Foundation.UUID

/// Random numbers that are the same for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

    mutating func next() -> UInt64 {
        state = state &+ 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// A directory of its own, gone with the value.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = "/tmp/natter-replica-\(UUID().uuidString)"
        try PosixDisk().makeDirectories(path)
    }

    deinit { TemporaryDirectory.remove(path) }

    static func remove(_ path: String) {
        let disk = PosixDisk()
        guard let found = try? disk.information(path) else { return }
        if found.isDirectory {
            for name in (try? disk.list(path)) ?? [] { remove(path + "/" + name) }
            rmdir(path)
        } else {
            try? disk.remove(path)
        }
    }

    /// Every regular file below, by its path from here.
    func files(below: String = "") -> [String] {
        let disk = PosixDisk()
        var found: [String] = []
        for name in (try? disk.list(path + below)) ?? [] {
            let inner = below + "/" + name
            guard let information = try? disk.information(path + inner) else { continue }
            if information.isDirectory { found += files(below: inner) } else { found.append(inner) }
        }
        return found
    }
}

/// A server's store with users, without a server.
final class TestServer {
    let directory: TemporaryDirectory
    private var opened: Store?
    private var principals: [String: Principal] = [:]

    init(users: [String]) throws {
        directory = try TemporaryDirectory()
        opened = try Store.open(directory.path + "/data")
        for name in users { try register(name) }
    }

    deinit { opened?.close() }

    var store: Store {
        guard let opened else { preconditionFailure("the store is open but for a moment of `reopen`") }
        return opened
    }

    private func register(_ name: String) throws {
        let account: AccountID = try wait {
            store.register(UserName(trusted: name), password: PasswordHash(stored: "none"), $0)
        }
        let token: Token = try wait { store.addSession(of: account, expires: nil, $0) }
        principals[name] = store.principal(of: token, address: "127.0.0.1")
    }

    func token(_ name: String) throws -> Token {
        let account = try principal(name).account
        return try wait { store.addSession(of: account, expires: nil, $0) }
    }

    func principal(_ name: String) throws -> Principal { try #require(principals[name]) }

    /// Sends texts, and returns once they are durable.
    func post(_ texts: [String], to conversation: String, by user: String) throws {
        let principal = try principal(user)
        let done = Monitor<[PostOutcome]?>(nil)
        store.post(
            texts.map { NewMessage(conversation: conversation, text: $0, key: nil) }, by: principal,
            stopAtRefusal: false
        ) { outcomes in done.signal { $0 = outcomes } }
        for outcome in done.wait(until: { $0 }) ?? [] {
            guard case .posted = outcome else { throw TestFailure("not posted: \(outcome)") }
        }
    }

    /// Packs a conversation's whole tail into its log.
    func seal(_ conversation: String, for user: String) throws {
        let done = Monitor<Bool>(false)
        try store.seal(conversation, for: principal(user)) { _ in done.signal { $0 = true } }
        _ = done.wait { $0 ? true : nil }
    }

    func location(_ home: TemporaryDirectory, _ user: String) -> ReplicaLocation {
        ReplicaLocation(home: home.path, store: store.id, user: user)
    }

    /// The frames of an answer, as the server's handler makes them.
    func answer(_ cursor: String?, for user: String, limit: Int = 16 << 20) throws -> [SyncFrame] {
        let position: SyncPosition
        if let cursor { position = .cursor(try #require(StoreCursor(cursor))) } else { position = .start }
        let answer = try store.changes(
            since: position, for: principal(user), form: .blocks, limitBytes: limit)
        return try answer.frames()
    }

    /// Syncs until there is no more.
    @discardableResult
    func sync(
        _ user: String, _ location: ReplicaLocation, limit: Int = 16 << 20, portionBytes: Int = 4 << 20,
        disk: any Disk = PosixDisk()
    ) throws -> SyncReport {
        let writer = ReplicaWriter(location, disk: disk, portionBytes: portionBytes)
        var isWhole = false
        while true {
            let start = try writer.start()
            writer.begin(from: start, isWhole: isWhole)
            let frames: [SyncFrame]
            do {
                frames = try answer(isWhole ? nil : start.cursor, for: user, limit: limit)
            } catch StoreError.cursorExpired {
                isWhole = true
                continue
            }
            for frame in frames { try writer.apply(frame) }
            isWhole = writer.mustRestart
            if writer.end?.more == false, !isWhole { return writer.report }
        }
    }

    /// Every conversation's messages as the server gives them page by page.
    func export(for user: String) throws -> [String: [Message]] {
        var all: [String: [Message]] = [:]
        for view in try store.conversations(of: principal(user), after: nil, limit: 1_000).conversations
        where view.head > .zero {
            var messages: [Message] = []
            while messages.count < Int(view.head.rawValue) {
                var query = PageQuery(conversation: view.name, limit: 1_000)
                query.after = messages.last?.seq ?? .zero
                messages += try store.messages(query, for: principal(user)).messages
            }
            all[view.name] = messages
        }
        return all
    }

    /// Stops the store and opens the directory again; `change` happens in between.
    func reopen(_ change: (String) throws -> Void = { _ in }) throws {
        opened?.close()
        opened = nil
        try change(directory.path + "/data")
        opened = try Store.open(directory.path + "/data")
    }

    private func wait<Value: Sendable>(_ body: (@escaping Completion<Value>) throws -> Void) throws -> Value {
        let box = Monitor<Result<Value, StoreError>?>(nil)
        try body { result in box.signal { $0 = result } }
        return try #require(box.wait(until: { $0 })).get()
    }
}

struct TestFailure: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
}

/// Everything that a replica holds, by conversation.
func contents(_ location: ReplicaLocation, disk: any Disk = PosixDisk()) throws -> [String: [Message]] {
    let replica = try #require(try Replica.open(at: location, disk: disk))
    var all: [String: [Message]] = [:]
    for conversation in try replica.conversations() {
        var messages: [Message] = []
        try replica.forward(conversation, MessageFilter()) { piece in
            switch piece {
            case .messages(let run): messages += run.messages()
            case .missing(_, let range, let reason): throw TestFailure("missing \(range): \(reason)")
            }
            return true
        }
        if !messages.isEmpty { all[conversation.name] = messages }
    }
    return all
}
