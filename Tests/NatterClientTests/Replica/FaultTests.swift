import NatterConversation
@testable import NatterClient
import NatterLog
import NatterModel
@testable import NatterStore
import NatterSystem
import NatterProtocol
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@Suite("What may happen to a replica")
struct FaultTests {
    @Test(
        "a server restored from a backup: differing messages are set aside, and fetched again",
        arguments: [false, true])
    func restored(isSealed: Bool) throws {
        // Given a backup of a server, and a replica with later messages
        let server = try TestStore(users: ["alice", "bob"])
        let home = try TemporaryDirectory()
        let location = server.location(home, "alice")
        try server.mustPost((1...200).map { "both \($0) \($0 &* 7_919)" }, to: "general", by: "alice")
        try server.mustPost(["only here"], to: "@bob", by: "alice")
        let copy = try TemporaryDirectory()
        try server.reopen { try Files.copy($0, to: copy.path + "/data") }
        try server.mustPost((1...200).map { "lost \($0)" }, to: "general", by: "alice")
        if isSealed { try server.seal("general", as: "alice") }
        try server.sync("alice", location)
        let lost = try contents(location)["general"]
        // When the backup is restored and the server gets other messages
        try server.reopen { path in
            Files.remove(path)
            try Files.copy(copy.path + "/data", to: path)
        }
        let behind = try server.sync("alice", location)
        #expect(behind.diverged.map(\.name) == ["general"])
        #expect(behind.diverged.first?.head == lost?.last?.seq)
        #expect(try contents(location) == server.export(for: "alice"))
        try server.mustPost((1...500).map { "anew \($0)" }, to: "general", by: "bob")
        // Then the replica has the server's messages, and the rest is set aside
        #expect(try server.sync("alice", location).diverged.isEmpty)
        #expect(try contents(location) == server.export(for: "alice"))
        #expect(home.files().contains { $0.contains("/diverged/") })
    }

    @Test(
        "what the server had dropped by its age before it was restored is set aside with the rest, and not offered as lost"
    )
    func restoredAfterRetention() throws {
        // Given a replica that keeps what the server has dropped, and more messages than the backup
        let server = try TestStore(users: ["alice"])
        let home = try TemporaryDirectory()
        let location = server.location(home, "alice")
        try server.mustPost(["old", "older"], to: "general", by: "alice")
        try server.seal()
        server.clock.advance(milliseconds: 80 * 86_400_000)
        try server.mustPost(["kept"], to: "general", by: "alice")
        try server.seal()
        try server.sync("alice", location)
        _ = try waitFor { server.store.setRetention(Retention(days: 70), of: "general", by: "test", $0) }.get()
        let copy = try TemporaryDirectory()
        try server.reopen { try Files.copy($0, to: copy.path + "/data") }
        try server.mustPost(["lost"], to: "general", by: "alice")
        try server.sync("alice", location)
        // When the backup is restored
        try server.reopen { path in
            Files.remove(path)
            try Files.copy(copy.path + "/data", to: path)
        }
        try server.sync("alice", location)
        // Then all that nobody else has is listed, and only what the server has lost is offered
        let aside = try #require(try DivergedHistory.all(at: location).first)
        let replica = try #require(try Replica.open(at: location))
        let general = try #require(try replica.conversation(named: "general"))
        var offered: [String] = []
        let listed = try aside.list(against: replica, general, own: "alice") { offered = $0.map(\.text) }
        #expect(offered == ["lost"])
        #expect(listed.count == 3)
    }

    @Test("a server restored from a backup that has overtaken the replica")
    func overtaken() throws {
        // Given a replica with messages that the server has lost
        let server = try TestStore(users: ["alice", "bob"])
        let location = server.location(of: "alice")
        try server.mustPost((1...20).map { "both \($0)" }, to: "general", by: "alice")
        let copy = try TemporaryDirectory()
        try server.reopen { try Files.copy($0, to: copy.path + "/data") }
        try server.mustPost((1...20).map { "lost \($0)" }, to: "general", by: "alice")
        try server.sync("alice", location)
        // When it has more than the replica before that syncs again
        try server.reopen { path in
            Files.remove(path)
            try Files.copy(copy.path + "/data", to: path)
        }
        for round in 1...50 { try server.mustPost(["anew \(round)", "and \(round)"], to: "general", by: "bob") }
        let report = try server.sync("alice", location)
        // Then that is found, too
        #expect(report.diverged.count == 1)
        #expect(try contents(location) == server.export(for: "alice"))
    }

    @Test("a crash while differing messages are set aside does not bring them back")
    func crashAside() throws {
        // Given a replica with log files of messages that the server has lost since
        let server = try TestStore(users: ["alice", "bob"])
        let home = SimulatedDisk(clock: SystemClock(), records: false)
        let location = ReplicaLocation(home: "/home", store: server.store.id, user: "alice")
        try server.mustPost((1...20).map { "both \($0) \($0 &* 7_919)" }, to: "general", by: "alice")
        let copy = try TemporaryDirectory()
        try server.reopen { try Files.copy($0, to: copy.path + "/data") }
        let filling = String(repeating: "some text to fill a block with, ", count: 20)
        try server.mustPost((1...200).map { "lost \($0) \(filling)" }, to: "general", by: "alice")
        try server.seal("general", as: "alice")
        try server.sync("alice", location, disk: home)
        try server.reopen { path in
            Files.remove(path)
            try Files.copy(copy.path + "/data", to: path)
        }
        var limit = 0
        var hasCrashed = true
        while hasCrashed {
            // When a process dies at any call of the sync that finds it, and another syncs
            let disk = SimulatedDisk(home.image, clock: SystemClock(), records: false)
            disk.set(fault: DiskFault(DiskFault.changes, number: limit + 1, code: 5, lasts: true))
            do { try server.sync("alice", location, disk: disk) } catch is ReplicaError {}
            hasCrashed = disk.hasFailed
            disk.set(fault: nil)
            try server.sync("alice", location, disk: disk)
            // Then the replica has the server's messages, and the rest is set aside
            #expect(try contents(location, disk: disk) == server.export(for: "alice"), "after \(limit) calls")
            #expect(
                disk.image.files().keys.contains { $0.contains("/diverged/") && $0.hasSuffix(".log") },
                "after \(limit) calls")
            limit += 1
        }
        #expect(limit > 20)
    }

    @Test("messages that the server can't give are stated, and filled in later")
    func damage() throws {
        // Given a server with a damaged block in the middle of its log
        let server = try TestStore(users: ["alice"])
        let location = server.location(of: "alice")
        let filling = String(repeating: "some text to fill a block with, ", count: 20)
        for round in 0..<3 {
            try server.mustPost((0..<90).map { "\(round) \($0) \(filling)" }, to: "general", by: "alice")
            try server.seal("general", as: "alice")
        }
        let whole = try server.export(for: "alice")
        let log = try #require(Files.below(server.directory).first { $0.hasSuffix(".log") })
        let file = try PosixDisk().open(log, .readWrite)
        let offset = try file.size() / 2
        let kept = try file.read(count: 8, at: offset)
        try server.reopen { _ in try file.write([UInt8](repeating: 0xAA, count: 8), at: offset) }
        // When it is synced
        let report = try server.sync("alice", location)
        // Then the range is recorded, and reading says so
        let damage = try #require(report.damaged.first)
        let replica = try #require(try Replica.open(at: location))
        var general = try #require(try replica.conversation(named: "general"))
        #expect(try replica.gaps(of: general) == [damage.range])
        #expect(try read(replica, general).missing == [damage.range])
        #expect(try read(replica, general).count + report.missingCount == 270)
        #expect(report.messageCount + report.missingCount == 270)
        // When more comes, and then the server has them again
        try server.mustPost(["later"], to: "general", by: "alice")
        try server.sync("alice", location)
        try server.reopen { _ in try file.write(kept, at: offset) }
        let writer = ReplicaWriter(location)
        func blocks(_ range: ClosedRange<Seq>) throws -> [Block] {
            var query = PageQuery(conversation: "general", limit: 1_000)
            (query.after, query.before) = (range.lowerBound.previous, range.upperBound.next)
            return try server.store.blocks(query, for: server.user("alice")).map {
                try Block(SyncFrame(.provisional, $0))
            }
        }
        let lost = (whole["general"] ?? []).filter { damage.range.contains($0.seq) }
        let half = damage.range.lowerBound...Seq(damage.range.lowerBound.rawValue + UInt64(lost.count / 2))
        general = try #require(try replica.conversation(named: "general"))
        #expect(try writer.fill(damage.range, of: general, with: try blocks(half)) > 0)
        let rest = half.upperBound.next...damage.range.upperBound
        general = try #require(try replica.conversation(named: "general"))
        #expect(try replica.gaps(of: general) == [rest])
        // Blocks of another history are not taken
        let first = try #require(try blocks(rest).first)
        var forged = Records(firstSeq: first.header.firstSeq)
        let genuine = try first.open(with: .none)
        for index in 0..<genuine.count {
            var record = genuine[index]
            if forged.isEmpty { record.text = Array("forged".utf8)[...] }
            forged.append(record)
        }
        let forgery = try Block(
            sealing: forged, of: general.id, hashBefore: first.header.hashBefore, dictionary: .none,
            isProvisional: true)
        #expect(try writer.fill(rest, of: general, with: [forgery]) == 0)
        #expect(try writer.fill(rest, of: general, with: try blocks(rest)) > 0)
        // Then nothing is missing
        #expect(try contents(location) == server.export(for: "alice"))
        #expect(try replica.conversation(named: "general")?.gapCount == 0)
    }

    @Test("concurrent syncs of one replica")
    func several() throws {
        // Given a server with new messages, and eight clients that sync and read
        let server = try TestStore(users: ["alice", "bob"])
        let location = server.location(of: "alice")
        let failures = Monitor<[String]>([])

        let counts = Monitor(0)
        let threads = try (0..<8).map { number in
            try SystemThread(name: "reader-\(number)") {
                do {
                    for _ in 0..<12 {
                        let report = try server.sync("alice", location, limit: 60_000, portionBytes: 20_000)
                        counts.signal { $0 += report.messageCount }
                        if !report.diverged.isEmpty { throw Failure("diverged") }
                        _ = try ReplicaIndexing.run(at: location, budgetMilliseconds: 2)
                        for (name, messages) in try contents(location) {
                            let seqs = messages.map(\.seq.rawValue)
                            if seqs != Array(1...UInt64(seqs.count)) { throw Failure("a hole in \(name)") }
                        }
                    }
                } catch {
                    failures.signal { $0.append("\(error)") }
                }
            }
        }
        // When they do so while messages come
        for round in 0..<60 {
            try server.mustPost(
                (0..<8).map { "\(round) \($0) " + String(repeating: "x y z ", count: 60) }, to: "general", by: "bob")
            try server.mustPost(["\(round)"], to: "@alice", by: "bob")
            if round % 7 == 0 { try server.seal("general", as: "alice") }
        }
        for thread in threads { thread.join() }
        // Then each read was a prefix of the server's history, and at the end all messages are there once
        #expect(failures.withLock { $0 } == [])
        let last = try server.sync("alice", location)
        let expected = try server.export(for: "alice")
        #expect(try contents(location) == expected)
        #expect(counts.withLock { $0 } + last.messageCount == expected.values.reduce(0) { $0 + $1.count })
        _ = try ReplicaIndexing.run(at: location)
        var found = 0
        try ReplicaSearch.run(try ReplicaQuery("y"), in: try #require(try Replica.open(at: location))) { _ in
            found += 1
        }
        #expect(found == 480)
    }

    @Test("every flipped bit of a log file is found by a look at all of it, and stated by readers")
    func verify() throws {
        // Given a sound replica
        let server = try TestStore(users: ["alice"])
        let home = try TemporaryDirectory()
        let location = server.location(home, "alice")
        let filling = String(repeating: "some text to fill a block with, ", count: 20)
        try server.mustPost((0..<300).map { "\($0) \(filling)" }, to: "general", by: "alice")
        try server.seal("general", as: "alice")
        try server.mustPost(["tail"], to: "general", by: "alice")
        try server.sync("alice", location)
        let replica = try #require(try Replica.open(at: location))
        let general = try #require(try replica.conversation(named: "general"))
        let sound = try replica.verify(general)
        #expect(sound.damaged.isEmpty && sound.messageCount == 301 && sound.agreesWithServer == true)
        // When one bit of a log file flips
        let log = try #require(home.files().first { $0.hasSuffix(".log") })
        let file = try PosixDisk().open(log, .readWrite)
        let size = try file.size()
        for offset in stride(from: UInt64(0), to: size, by: 997) {
            let former = try file.read(count: 1, at: offset)
            try file.write([former[0] ^ 0x10], at: offset)
            // Then a reader that has nothing cached says so
            let fresh = try #require(try Replica.open(at: location))
            let found = try fresh.verify(general)
            #expect(!found.damaged.isEmpty, "byte \(offset)")
            #expect(found.agreesWithServer == nil, "byte \(offset)")
            try file.write(former, at: offset)
        }
        #expect(try replica.verify(general).damaged.isEmpty)
    }

    private func read(
        _ replica: Replica, _ conversation: ReplicaConversation
    ) throws -> (count: Int, missing: [ClosedRange<Seq>]) {
        var count = 0
        var missing: [ClosedRange<Seq>] = []
        try replica.forward(conversation, MessageFilter()) { piece in
            switch piece {
            case .messages(let run): count += run.positions.count
            case .missing(_, let range, _): missing.append(range)
            }
            return true
        }
        return (count, missing)
    }
}

extension SyncReport {
    /// How many messages the server could not give.
    var missingCount: Int {
        damaged.reduce(0) { $0 + $1.range.upperBound.distance(after: $1.range.lowerBound.previous) }
    }
}
