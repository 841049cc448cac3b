import FaultSimulation
import Glibc
import NatterConversation
@testable import NatterClient
import NatterModel
@testable import NatterStore
import NatterSystem
import NatterProtocol
import StoreSupport
import Testing
import TestSupport

extension TestStore {
    /// Posts texts, and fails if the store refuses any.
    func mustPost(_ texts: [String], to conversation: String, by user: String) throws {
        for outcome in try post(texts, to: conversation, by: user) {
            guard case .posted = outcome else { throw Failure("not posted: \(outcome)") }
        }
    }

    func location(_ home: TemporaryDirectory, _ user: String) -> ReplicaLocation {
        ReplicaLocation(home: home.path, store: store.id, user: user)
    }

    /// The replica's location in a home beside the store's data.
    func location(of user: String) -> ReplicaLocation {
        ReplicaLocation(home: Path.directory(of: directory) + "/home", store: store.id, user: user)
    }

    /// The frames of an answer, as the server's handler makes them.
    func answer(
        _ cursor: String?, for user: String, since earliest: Timestamp? = nil, limit: Int = 16 << 20
    ) throws -> [SyncFrame] {
        let position: SyncPosition
        if let cursor { position = .cursor(try #require(StoreCursor(cursor))) } else { position = .start }
        let answer = try store.changes(
            since: position, earliest: earliest, for: self.user(user), form: .blocks, limitBytes: limit)
        return try answer.frames()
    }

    /// Syncs until there is no more.
    @discardableResult
    func sync(
        _ user: String, _ location: ReplicaLocation, since earliest: Timestamp? = nil, limit: Int = 16 << 20,
        portionBytes: Int = 4 << 20, disk: any Disk = PosixDisk()
    ) throws -> SyncReport {
        let writer = ReplicaWriter(location, disk: disk, portionBytes: portionBytes)
        var isWhole = false
        while true {
            let start = try writer.start(earliest: earliest)
            writer.begin(from: start, isWhole: isWhole)
            let frames: [SyncFrame]
            do {
                frames = try answer(isWhole ? nil : start.cursor, for: user, since: start.earliest, limit: limit)
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
        for view in try store.conversations(of: self.user(user), after: nil, limit: 1_000).conversations
        where view.head > .zero {
            var messages: [Message] = []
            while messages.count < Int(view.head.rawValue) {
                var query = PageQuery(conversation: view.name, limit: 1_000)
                query.after = messages.last?.seq ?? .zero
                messages += try store.messages(query, for: self.user(user)).messages
            }
            all[view.name] = messages
        }
        return all
    }
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
            case .missing(_, let range, let reason): throw Failure("missing \(range): \(reason)")
            }
            return true
        }
        if !messages.isEmpty { all[conversation.name] = messages }
    }
    return all
}
