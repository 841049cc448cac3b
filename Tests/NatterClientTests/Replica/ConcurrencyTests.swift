import Glibc
@testable import NatterClient
import NatterLog
import NatterModel
import NatterStore
import NatterSystem
import NatterProtocol
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@Suite("Two processes that sync at once")
struct ConcurrencyTests {
    @Test("a sync that continues from another's cursor does not remove what its answer left out")
    func missingAfterOther() throws {
        // Given a process that got the first page of everything
        let server = try TestStore(users: ["alice", "bob", "carol"])
        let location = server.location(of: "alice")
        for name in ["general", "@bob", "@carol"] {
            try server.mustPost((0..<40).map { "\($0) for \(name)" }, to: name, by: "alice")
        }
        let writer = ReplicaWriter(location)
        writer.begin(from: try writer.start())
        for frame in try server.answer(nil, for: "alice", limit: 1) { try writer.apply(frame) }
        #expect(writer.end?.more == true)
        // When another gets the rest before the first asks again
        try server.sync("alice", location)
        let start = try writer.start()
        writer.begin(from: start)
        for frame in try server.answer(start.cursor, for: "alice") { try writer.apply(frame) }
        // Then nothing is hidden
        #expect(writer.end?.more == false && writer.report.gone.isEmpty)
        let replica = try #require(try Replica.open(at: location))
        #expect(try replica.conversations().filter(\.isGone).isEmpty)
        #expect(try contents(location) == server.export(for: "alice"))
    }

    @Test("messages that arrive during a full answer are not removed")
    func missingDuringAnswer() throws {
        // Given a whole answer that is not applied yet
        let server = try TestStore(users: ["alice", "bob"])
        let location = server.location(of: "alice")
        try server.mustPost(["one"], to: "general", by: "alice")
        let writer = ReplicaWriter(location)
        writer.begin(from: try writer.start())
        let frames = try server.answer(nil, for: "alice")
        // When another process brings a conversation that is newer than it
        try server.mustPost(["two"], to: "@bob", by: "alice")
        try server.sync("alice", location)
        for frame in frames { try writer.apply(frame) }
        // Then that one stays
        #expect(writer.report.gone.isEmpty)
        let replica = try #require(try Replica.open(at: location))
        #expect(try replica.conversation(named: "@bob")?.isGone == false)
        #expect(try contents(location) == server.export(for: "alice"))
    }

    @Test("what a whole answer does not name is looked for again if another process has recorded something meanwhile")
    func missingLater() throws {
        // Given a replica with a group of which the server knows nothing, and a whole answer
        let server = try TestStore(users: ["alice", "bob"])
        let location = server.location(of: "alice")
        let alice = try server.user("alice")
        _ = try waitFor { server.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        try server.mustPost(["one"], to: "team", by: "alice")
        try server.sync("alice", location)
        let lost = try #require(try Replica.open(at: location)?.conversation(named: "team")?.id)
        func withoutLost(_ frames: [SyncFrame]) -> [SyncFrame] {
            var isLeftOut = false
            return frames.filter { frame in
                guard frame.kind == .line else { return !isLeftOut }
                isLeftOut =
                    if case .conversation(let line)? = try? SyncItem(line: frame.payload) { line.id == lost } else {
                        false
                    }
                return !isLeftOut
            }
        }
        let writer = ReplicaWriter(location)
        writer.begin(from: try writer.start(), isWhole: true)
        let frames = withoutLost(try server.answer(nil, for: "alice"))
        // When another process records something else before it is applied
        try server.mustPost(["two"], to: "general", by: "bob")
        try server.sync("alice", location)
        for frame in frames { try writer.apply(frame) }
        // Then the group stays for now, and everything is asked for again
        #expect(try writer.report.gone.isEmpty && writer.mustRestart && writer.start().cursor == nil)
        // and the next whole answer without it marks it
        writer.begin(from: try writer.start(), isWhole: true)
        for frame in withoutLost(try server.answer(nil, for: "alice")) { try writer.apply(frame) }
        #expect(writer.report.gone.map(\.name) == ["team"] && writer.end?.more == false)
    }

    @Test("a full sync marks a group that no page named, and sets aside what it has of a personal conversation")
    func missing() throws {
        // Given a replica with conversations of a history that the server lost, which it gives in pages
        let server = try TestStore(users: ["alice", "bob", "carol"])
        let location = server.location(of: "alice")
        let alice = try server.user("alice")
        _ = try waitFor { server.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        for name in ["general", "@bob", "@carol", "team"] {
            let rest = name == "@carol" ? String(repeating: " and so on", count: 300) : ""
            try server.mustPost((0..<40).map { "\($0) for \(name)\(rest)" }, to: name, by: "alice")
        }
        try server.sync("alice", location)
        let replica = try #require(try Replica.open(at: location))
        let lost = try ["@carol", "team"].map { try #require(try replica.conversation(named: $0)?.id) }
        func isLost(_ frame: SyncFrame) -> Bool {
            guard frame.kind == .line else { return false }
            if case .conversation(let line)? = try? SyncItem(line: frame.payload) { return lost.contains(line.id) }
            return false
        }
        var pages = 0
        func syncWhole() throws -> ReplicaWriter {
            let writer = ReplicaWriter(location)
            var isWhole = true
            repeat {
                let start = try writer.start()
                writer.begin(from: start, isWhole: isWhole)
                let frames = try server.answer(isWhole ? nil : start.cursor, for: "alice", limit: 1)
                isWhole = false
                pages += 1
                var isLeftOut = false
                for frame in frames {
                    if frame.kind == .line { isLeftOut = isLost(frame) }
                    if !isLeftOut { try writer.apply(frame) }
                }
            } while writer.end?.more == true
            return writer
        }
        // When everything is asked for again, page by page
        let writer = try syncWhole()
        // Then the group is marked, and the other is empty now; nothing else has changed
        #expect(pages > 1)
        #expect(writer.report.gone.map(\.name) == ["team"])
        #expect(writer.report.diverged.map(\.name) == ["@carol"] && writer.mustRestart)
        let rest = try #require(try Replica.open(at: location)).conversations()
        #expect(rest.filter { $0.head == .zero }.map(\.name) == ["@carol"])
        #expect(Set(rest.map(\.name)) == ["general", "@bob", "@carol"])
        // and the same happens again if the process was killed before it moved the log files, and not without them
        let aside = try #require(writer.report.diverged.first?.directory)
        let logs = location.directory + "/" + Segment.directory(of: lost[0])
        try PosixDisk().rename(aside + "/logs", to: logs)
        #expect(try Replica.open(at: location)?.cursor() == nil)
        #expect(try syncWhole().report.diverged.map(\.name) == ["@carol"])
        #expect(try PosixDisk().information(logs) == nil)
        #expect(try syncWhole().report.diverged.isEmpty)
    }

    @Test("an old answer does not undo a newer one, and is fetched again", arguments: [false, true])
    func stale(isCursorMoved: Bool) throws {
        // Given a replica, and an answer by which one still belongs to a conversation
        let server = try TestStore(users: ["alice", "bob"])
        let location = server.location(of: "alice")
        try server.mustPost(["one"], to: "general", by: "bob")
        try server.sync("alice", location)
        try server.mustPost(["two"], to: "general", by: "bob")
        let writer = ReplicaWriter(location)
        let start = try writer.start()
        writer.begin(from: start)
        let frames = try server.answer(start.cursor, for: "alice")
        // When another process records a newer one, by which that is over, before the first is applied
        let id = try #require(try Replica.open(at: location)?.conversation(named: "general")?.id)
        let gone = SyncFrame(
            .line,
            WireJSON.encode(SyncGone(conversation: "general", conversationID: id.description, reason: "removed")))
        let other = ReplicaWriter(location)
        other.begin(from: try other.start())
        try other.apply(gone)
        if isCursorMoved { try other.apply(SyncFrame(.line, WireJSON.encode(SyncEnd(cursor: "newer", more: false)))) }
        try other.flush()
        #expect(other.report.gone.map(\.reason) == ["removed"])
        for frame in frames { try writer.apply(frame) }
        // Then it stays over, the messages are taken, and the next answer begins where the newer one ended
        let replica = try #require(try Replica.open(at: location))
        #expect(try replica.conversation(named: "general")?.goneReason == "removed")
        #expect(try replica.conversation(named: "general")?.head == Seq(2))
        #expect(writer.end?.more == true && !writer.report.isComplete)
        #expect(try writer.start().cursor == (isCursorMoved ? "newer" : start.cursor))
        // When it is fetched again without interference, then it counts
        guard !isCursorMoved else { return }
        try server.sync("alice", location)
        #expect(try replica.conversation(named: "general")?.isGone == false)
        #expect(try writer.start().cursor != start.cursor)
    }

    @Test("a sync with a deadline waits for another no longer than that")
    func deadline() throws {
        // Given a process that is at the replica, and an answer for another that has little time
        let server = try TestStore(users: ["alice"])
        let location = server.location(of: "alice")
        try server.mustPost(["one"], to: "general", by: "alice")
        try server.sync("alice", location)
        try server.mustPost(["two"], to: "general", by: "alice")
        let held = try FileLock.take(location.lockPath)
        #expect(held != nil)
        let writer = ReplicaWriter(location)
        let began = MonotonicClock.now()
        writer.deadline = began + 100
        let start = try writer.start()
        writer.begin(from: start)
        // When it is applied, then that is given up in time
        #expect(throws: ReplicaError.locked(path: location.lockPath)) {
            for frame in try server.answer(start.cursor, for: "alice") { try writer.apply(frame) }
        }
        #expect(MonotonicClock.now() - began < Int64(ReplicaSession.lockMilliseconds))
        #expect(writer.lockMilliseconds == 0)
        withExtendedLifetime(held) {}
    }

    @Test("after waiting for the lock of a removed replica, nothing is written to it")
    func removed() throws {
        // Given a sync that has an answer and a removal, which both wait for another process
        let server = try TestStore(users: ["alice"])
        let location = server.location(of: "alice")
        try server.mustPost(["one"], to: "general", by: "alice")
        try server.sync("alice", location)
        try server.mustPost(["two"], to: "general", by: "alice")
        let answer = try server.answer(try ReplicaWriter(location).start().cursor, for: "alice")
        var held = try FileLock.take(location.lockPath)
        #expect(held != nil)
        let results = Monitor<[String]>([])
        let sync = try SystemThread(name: "sync") {
            let writer = ReplicaWriter(location)
            do {
                writer.begin(from: try writer.start())
                for frame in answer { try writer.apply(frame) }
                results.signal { $0.append("sync done") }
            } catch {
                results.signal { $0.append("sync failed") }
            }
        }
        let removal = try SystemThread(name: "removal") {
            do {
                try location.remove()
                results.signal { $0.append("removal done") }
            } catch {
                results.signal { $0.append("removal failed") }
            }
        }
        try awaitOpening(of: location.lockPath, count: 3)
        // When that one moves the replica away, and lets the lock go
        try PosixDisk().rename(location.directory, to: location.directory + ".removed")
        withExtendedLifetime(held) {}
        held = nil
        sync.join()
        removal.join()
        // Then the removal has nothing to do, and the sync does not bring a part of the replica back
        #expect(results.withLock { $0 }.sorted() == ["removal done", "sync failed"])
        #expect(try PosixDisk().information(location.directory) == nil)
    }

    @Test("a wait for a lock moves to the new file if the file was replaced")
    func replaced() throws {
        // Given one that waits for a lock
        let home = try TemporaryDirectory()
        let path = home.path + "/lock"
        var first = try FileLock.take(path)
        #expect(first != nil)
        let taken = Monitor<[Bool]>([])
        let waiter = try SystemThread(name: "waiter") {
            let lock = try? FileLock.take(path, timeoutMilliseconds: 3_000)
            taken.signal { $0.append(lock != nil) }
        }
        try awaitOpening(of: path, count: 2)
        // When the file is removed, another process locks the new one, and the first releases its lock
        try PosixDisk().remove(path)
        let second = try FileLock.take(path)
        withExtendedLifetime(first) {}
        first = nil
        waiter.join()
        // Then the waiter has nothing
        #expect(second != nil)
        #expect(taken.withLock { $0 } == [false])
        withExtendedLifetime(second) {}
    }

    /// Returns when this process has a file open that often.
    private func awaitOpening(of path: String, count: Int) throws {
        try eventually("a file opened \(count) times") { openCount(of: path) >= count }
    }

    /// How often this process has a file open.
    private func openCount(of path: String) -> Int {
        let names = (try? PosixDisk().list("/proc/self/fd")) ?? []
        return names.count { name in
            var target = [CChar](repeating: 0, count: 4_096)
            let count = readlink("/proc/self/fd/" + name, &target, target.count)
            return count > 0
                && String(decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) == path
        }
    }
}
