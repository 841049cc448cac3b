import NatterConversation
@testable import NatterClient
import NatterSystem
import NatterLog
import NatterModel
@testable import NatterStore
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@Suite("Erasing and retention in a replica")
struct ReplicaErasingTests {
    static let secret = "Xylophonkonzert-7731"

    static func erase(
        _ seqs: ClosedRange<UInt64>, in conversation: String = "general", _ server: TestStore
    ) throws {
        _ = try waitFor {
            server.store.erase([Seq(seqs.lowerBound)...Seq(seqs.upperBound)], in: conversation, by: "alice", $0)
        }.get()
    }

    static func files(_ directory: String, holding text: String) -> [String] {
        Files.holding(piecesOf: text, below: directory)
    }

    static func paths(below directory: String, _ disk: any Disk) throws -> [String] {
        try disk.list(directory).flatMap { name -> [String] in
            let path = directory + "/" + name
            return try disk.information(path)?.isDirectory == true ? paths(below: path, disk) : [path]
        }
    }

    /// The files that hold the secret.
    static func left(on disk: any Disk) throws -> [String] {
        try paths(below: "/home", disk).filter { path in
            try disk.contents(of: path, limit: 1 << 30).firstRange(of: Array(secret.utf8)) != nil
        }
    }

    static func verify(_ location: ReplicaLocation, _ server: TestStore) throws {
        let replica = try #require(try Replica.open(at: location))
        let general = try #require(try replica.conversation(named: "general"))
        let found = try replica.verify(general)
        #expect(found.damaged.isEmpty)
        #expect(found.hash == (try server.store.conversation("general", for: server.user("alice")).hash))
    }

    /// A server with the secret among sealed messages with a dictionary, in small blocks and in the tail.
    static func server() throws -> TestStore {
        let server = try TestStore(users: ["alice", "bob"])
        try server.mustPost(["\(secret) in a small block"], to: "general", by: "bob")
        try server.seal()
        try server.mustPost((1...3_000).map { TestStore.text($0) }, to: "general", by: "alice")
        try server.seal()
        try server.mustPost(["\(secret) at the end of a log"], to: "general", by: "bob")
        try server.mustPost((1...2_000).map { TestStore.text($0, "later") }, to: "general", by: "alice")
        try server.seal()
        try server.mustPost(["before", "\(secret) in the tail", "after"], to: "general", by: "bob")
        return server
    }

    static let secrets: [UInt64] = [1, 3_002, 5_004]

    @Test("a tail of sealed and of unsealed messages in turns can be erased and sealed")
    func mixedTail() throws {
        // Given a replica that got small sealed blocks, and between them what was not sealed yet
        let server = try TestStore(users: ["alice", "bob"])
        let location = server.location(of: "alice")
        for (text, isSealed) in [("\(Self.secret) one", true), ("two", false), ("three", true)] {
            // Each is a block of its own.
            try server.seal()
            try server.mustPost([text], to: "general", by: "bob")
            if isSealed { try server.seal() }
            try server.sync("alice", location)
        }
        // When one is erased, and much more comes
        try Self.erase(1...1, server)
        try server.sync("alice", location)
        try server.mustPost((1...3_000).map { TestStore.text($0) }, to: "general", by: "bob")
        try server.sync("alice", location)
        // Then the replica has all of it
        try Self.verify(location, server)
        #expect(try contents(location) == server.export(for: "alice"))
    }

    @Test("a sync takes erased texts out of every file of the replica, and its hashes stay the server's")
    func everywhere() throws {
        let server = try Self.server()
        let home = try TemporaryDirectory()
        let location = server.location(home, "alice")
        try server.sync("alice", location)
        while try !ReplicaIndexing.run(at: location) {}
        #expect(Self.files(home.path, holding: Self.secret) != [])
        // When all of them are erased and the replica syncs
        for seq in Self.secrets { try Self.erase(seq...seq, server) }
        try server.mustPost(["new"], to: "general", by: "alice")
        let report = try server.sync("alice", location)
        #expect(report.messageCount == 1 && report.diverged.isEmpty)
        // Then nothing of the texts is left, and everything else is as on the server
        #expect(Self.files(home.path, holding: Self.secret) == [])
        #expect(Self.files(server.directory, holding: Self.secret) == [])
        let all = try contents(location)
        #expect(try all == server.export(for: "alice"))
        #expect(all["general"]?.filter(\.isErased).map(\.seq.rawValue) == Self.secrets)
        try Self.verify(location, server)
        // The next sync has nothing to do
        #expect(try server.sync("alice", location).messageCount == 0)
    }

    @Test(
        "an erasure in the middle of a sync, and one long before the next sync, reach the replica", arguments: [1, 7])
    func inTheMiddle(portions: Int) throws {
        let server = try Self.server()
        let home = try TemporaryDirectory()
        let location = server.location(home, "alice")
        // Given a replica that has a part of an answer when the texts are erased
        let writer = ReplicaWriter(location, portionBytes: 30_000)
        writer.begin(from: try writer.start())
        for frame in try server.answer(nil, for: "alice", limit: portions * 20_000) { try writer.apply(frame) }
        for seq in Self.secrets { try Self.erase(seq...seq, server) }
        // Then the following syncs bring the rest and the erasures
        try server.sync("alice", location, limit: 30_000)
        try server.sync("alice", location)
        #expect(try contents(location) == server.export(for: "alice"))
        #expect(Self.files(home.path, holding: Self.secret) == [])
        try Self.verify(location, server)
    }

    @Test("an erasure of what a broken answer had brought reaches the replica, also as a part of a block")
    func brokenAnswer() throws {
        let server = try TestStore(users: ["alice", "bob"])
        try server.mustPost(["one"], to: "general", by: "bob")
        let home = try TemporaryDirectory()
        let location = server.location(home, "alice")
        try server.sync("alice", location)
        // Given a replica that has recorded two messages of an answer whose end it did not get
        try server.mustPost(["\(Self.secret) of bob", "three"], to: "general", by: "bob")
        let writer = ReplicaWriter(location, portionBytes: 1)
        let start = try writer.start()
        writer.begin(from: start)
        for frame in try server.answer(start.cursor, for: "alice").dropLast() { try writer.apply(frame) }
        #expect(try contents(location)["general"]?.count == 3)
        // When one is erased, which seals all three into one block
        try Self.erase(2...2, server)
        // Then the next sync, which begins in the middle of that block, erases it
        try server.sync("alice", location)
        #expect(try contents(location) == server.export(for: "alice"))
        #expect(Self.files(home.path, holding: Self.secret) == [])
        try Self.verify(location, server)
    }

    @Test(
        "one error of the disk while a message is erased leaves its text nowhere after the next sync",
        arguments: [
            ("/replica.db", DiskFault.changes), ("/logs/", [DiskFault.Call.read]), ("/logs/", [DiskFault.Call.open]),
        ] as [(String, Set<DiskFault.Call>)])
    func oneError(part: String, calls: Set<DiskFault.Call>) throws {
        let server = try TestStore(users: ["alice", "bob"])
        try server.mustPost(["one", Self.secret, "three"], to: "general", by: "bob")
        if part == "/logs/" { try server.seal() }
        let first = try server.answer(nil, for: "alice")
        try Self.erase(2...2, server)
        var number = 1
        var isFailing = true
        while isFailing {
            let disk = SimulatedDisk(clock: SystemClock(), records: false)
            let location = ReplicaLocation(home: "/home", store: server.store.id, user: "alice")
            let writer = ReplicaWriter(location, disk: disk)
            writer.begin(from: try writer.start())
            for frame in first { try writer.apply(frame) }
            // When a call fails, and later ones do not
            disk.set(fault: DiskFault(calls, in: part, number: number, code: 5, lasts: false))
            do { try server.sync("alice", location, disk: disk) } catch let error as ReplicaError {
                guard disk.hasFailed else { throw error }
            }
            isFailing = disk.hasFailed
            disk.set(fault: nil)
            try server.sync("alice", location, disk: disk)
            #expect(try contents(location, disk: disk) == server.export(for: "alice"), "error \(number)")
            #expect(try Self.left(on: disk).isEmpty, "error \(number)")
            number += 1
        }
    }

    @Test("a crash at any call to the disk leaves a replica that the next sync completes", arguments: 0..<4)
    func crash(part: Int) throws {
        let server = try TestStore(users: ["alice", "bob"])
        try server.mustPost((1...700).map { TestStore.text($0) } + [Self.secret], to: "general", by: "bob")
        try server.seal()
        try server.mustPost(["a", "\(Self.secret) again", "b"], to: "general", by: "bob")
        let first = try server.answer(nil, for: "alice")
        try Self.erase(701...701, server)
        try Self.erase(703...703, server)
        var limit = part
        var isCrashing = true
        while isCrashing {
            let disk = SimulatedDisk(clock: SystemClock(), records: false)
            let location = ReplicaLocation(home: "/home", store: server.store.id, user: "alice")
            let writer = ReplicaWriter(location, disk: disk)
            writer.begin(from: try writer.start())
            for frame in first { try writer.apply(frame) }
            // When the process dies while it erases
            disk.set(fault: DiskFault(DiskFault.changes, number: limit + 1, code: 5, lasts: true))
            do { try server.sync("alice", location, disk: disk) } catch let error as ReplicaError {
                guard disk.hasFailed else { throw error }
            }
            isCrashing = disk.hasFailed
            disk.set(fault: nil)
            // Then the next sync completes it
            try server.sync("alice", location, disk: disk)
            #expect(try contents(location, disk: disk) == server.export(for: "alice"), "after \(limit) calls")
            #expect(try Self.left(on: disk).isEmpty, "after \(limit) calls")
            limit += 4
        }
    }

    @Test("an erased text of four letters can't be found by trying all, with everything that is left on both disks")
    func guesses() throws {
        let server = try TestStore(users: ["alice", "bob"])
        let text = "cash"
        _ = try ["one", text, "three"].map { try server.post([$0], by: "bob", key: "the id of \($0)") }
        try server.seal()
        // The server keeps a hash of what was sent with an id. Its key is on the same disk.
        let general = try server.store.conversation("general", for: server.user("alice")).id
        let content = (general.bytes + Array(text.utf8)).withUnsafeBytes { server.store.keySecret.hash($0) }
        let contentForms = [content.bigEndian, content.littleEndian].map { withUnsafeBytes(of: $0) { Array($0) } }
        func holdsContent() throws -> Bool {
            try Files.contents(server.directory).values.contains { bytes in
                contentForms.contains { bytes.firstRange(of: $0) != nil }
            }
        }
        #expect(try holdsContent())
        let home = try TemporaryDirectory()
        let location = server.location(home, "alice")
        try server.sync("alice", location)
        let before = try #require(try server.all().dropFirst().first)
        try Self.erase(2...2, server)
        try server.sync("alice", location)
        server.store.close()
        #expect(try !holdsContent())
        // Given each 16 bytes of each file as a salt or the seed of a run, and each 32 as the hash of the message
        let left = try [server.directory, home.path].flatMap { try Array(Files.contents($0).values) }
        let hash = try #require(try Self.digest(of: Seq(2), in: location))
        let letters = Array("abcdefghijklmnopqrstuvwxyz".utf8)
        func digest(_ guess: [UInt8], _ salt: SaltSource) -> Digest {
            HashChain.digest(
                of: Record(seq: Seq(2), time: before.time, sender: Array("bob".utf8), text: guess[...], salt: salt))
        }
        // The text itself with each salt that is anywhere: if no salt fits the true text, none fits a wrong one
        for bytes in left {
            for start in 0..<max(0, bytes.count - 15) {
                let part = Array(bytes[start..<start + 16])
                guard let seed = SaltSeed(bytes: part), let salt = Salt(bytes: part) else { continue }
                #expect(digest(Array(text.utf8), .salt(salt)) != hash)
                for place in 0..<3 {
                    #expect(digest(Array(text.utf8), .seed(seed, place: UInt8(place))) != hash)
                }
            }
        }
        // And 100,000 guesses, the text among them, with the salts of the messages beside it
        let known = try #require(try Replica.open(at: location)?.conversation(named: "general"))
        let replica = try #require(try Replica.open(at: location))
        let records = try #require(try replica.reader(of: known).block(containing: Seq(1))).records
        let salts = (0..<records.count).map { records.salt(at: $0) }.filter { $0.salt != nil }
        var guesses = 0
        search: for first in letters {
            for second in letters {
                for third in letters {
                    for fourth in letters {
                        for salt in salts {
                            if digest([first, second, third, fourth], salt) == hash { Issue.record("found") }
                        }
                        guesses += 1
                        if guesses == 100_000 { break search }
                    }
                }
            }
        }
        #expect(guesses == 100_000)
    }

    private static func digest(of seq: Seq, in location: ReplicaLocation) throws -> Digest? {
        let replica = try #require(try Replica.open(at: location))
        let general = try #require(try replica.conversation(named: "general"))
        return try replica.reader(of: general).block(containing: seq)?.records.digest(of: seq)
    }

    @Test("what the server does not keep any more can still be erased in replicas, with its edits")
    func notKept() throws {
        let server = try TestStore(users: ["alice", "bob"])
        let home = try TemporaryDirectory()
        let location = server.location(home, "alice")
        try server.mustPost(["one", "\(Self.secret) of bob"], to: "general", by: "bob")
        _ = server.post(
            [NewMessage(conversation: "general", text: Self.secret + ", edited", key: nil, kind: .edit, about: Seq(2))],
            by: try server.user("bob"))
        try server.sync("alice", location)
        // Given a replica with a first answer whose end it did not get
        let broken = ReplicaLocation(home: home("broken"), store: server.store.id, user: "alice")
        let writer = ReplicaWriter(broken, portionBytes: 1)
        writer.begin(from: try writer.start())
        for frame in try server.answer(nil, for: "alice").dropLast() { try writer.apply(frame) }
        // And a server that has dropped the messages, while replicas keep them
        server.clock.advance(milliseconds: 80 * 86_400_000)
        try server.mustPost(["new"], to: "general", by: "bob")
        _ = try waitFor { server.store.setRetention(Retention(days: 70), of: "general", by: "test", $0) }.get()
        #expect(try server.store.conversation("general", for: server.user("alice")).first == Seq(4))
        try server.sync("alice", location)
        #expect(Self.files(location.directory, holding: Self.secret) != [])
        // When one of them is erased, and again
        func erase() throws -> Int {
            try waitFor { server.store.erase([Seq(2)...Seq(2)], in: "general", by: "alice", $0) }.get()
        }
        #expect(try [erase(), erase()] == [1, 0])
        // Then the replica erases it and its edit, and keeps the others
        try server.sync("alice", location)
        #expect(Self.files(location.directory, holding: Self.secret) == [])
        #expect(try contents(location)["general"]?.map(\.text) == ["one", "", "", "new"])
        try Self.verify(location, server)
        // And so does one that has no cursor, also from a server that was started again
        try server.reopen()
        #expect(try erase() == 0)
        try server.sync("alice", broken)
        #expect(Self.files(home.path, holding: Self.secret) == [])
        #expect(try contents(broken)["general"]?.map(\.text) == ["one", "", "", "new"])
    }

    // MARK: Two devices

    /// The messages of each conversation, as people read them.
    private static func read(_ location: ReplicaLocation) throws -> [String: [Message]] {
        let replica = try #require(try Replica.open(at: location))
        var filter = MessageFilter()
        filter.isFolded = true
        var all: [String: [Message]] = [:]
        for conversation in try replica.conversations() {
            try replica.forward(conversation, filter) { piece in
                guard case .messages(let run) = piece else { throw Failure("missing: \(piece)") }
                all[conversation.name, default: []] += try replica.changed(run, folds: true) ?? run.messages()
                return true
            }
        }
        return all
    }

    @Test(
        "a device that is far behind ends as one that synced all the time, and keeps nothing of what was erased",
        arguments: [20_000, 16 << 20])
    func farBehind(limit: Int) throws {
        let server = try TestStore(users: ["alice", "bob"])
        let home = try TemporaryDirectory()
        let devices = ["near", "far"].map { ReplicaLocation(home: home($0), store: server.store.id, user: "alice") }
        func change(_ kind: MessageKind, _ about: UInt64, _ text: String = "") throws {
            _ = server.post(
                [NewMessage(conversation: "@alice", text: text, key: nil, kind: kind, about: Seq(about))],
                by: try server.user("bob"))
        }
        // Given two devices that have texts in sealed messages and in tails
        try server.fill(900, by: "bob", label: "early")
        try server.mustPost(["\(Self.secret), erased and then not kept any more"], to: "general", by: "bob")
        try server.fill(900, by: "bob", label: "early")
        try server.seal()
        for fate in ["edited", "deleted", "erased", "kept"] {
            try server.mustPost([fate == "kept" ? fate : "\(Self.secret), \(fate)"], to: "@alice", by: "bob")
        }
        for device in devices { try server.sync("alice", device) }
        // When twelve weeks pass, and only the first of them syncs each week
        for week in 1...12 {
            server.clock.advance(milliseconds: 7 * 86_400_000)
            try server.fill(150, by: "bob", label: "week \(week)")
            try server.mustPost(["week \(week)"], to: "@alice", by: "bob")
            switch week {
            case 1:
                try change(.edit, 1, "newer")
                try change(.delete, 2)
                try server.seal()
            case 2:
                server.store.eraseDeleted(after: 0)
                server.store.eraseDue()
                server.store.waitForErasures()
            case 3: try Self.erase(901...901, server)
            case 4: try Self.erase(3...3, in: "@alice,@bob", server)
            case 6:
                let days = Retention(days: 23)
                _ = try waitFor { server.store.setRetention(days, of: "general", by: "test", $0) }.get()
            case 8: try Self.erase(2_710...2_711, server)
            default: if week % 3 == 0 { try server.seal() }
            }
            try server.sync("alice", devices[0])
        }
        try server.sync("alice", devices[1], limit: limit, portionBytes: limit)
        // Then neither device has a piece of what was erased, even of messages that only the devices keep
        #expect(Self.files(server.directory, holding: Self.secret) == [])
        #expect(Self.files(home.path, holding: Self.secret) == [])
        // And both show the same of what the server keeps
        for device in devices { try ReplicaWriter(device).dropWhatServerDropped() }
        let first = try server.store.conversation("general", for: server.user("alice")).first
        #expect(first > Seq(901))
        let (near, far) = (try Self.read(devices[0]), try Self.read(devices[1]))
        #expect(near["general"]?.filter { $0.seq >= first } == far["general"])
        #expect(near["@bob"] == far["@bob"])
        #expect(far["@bob"]?.prefix(5).map(\.text) == ["newer", "", "", "kept", "week 1"])
        for device in devices { try Self.verify(device, server) }
        #expect(try server.sync("alice", devices[1]).messageCount == 0)
    }

    // MARK: Retention

    @Test("a replica that begins late and follows keeps what came in the answers before the last")
    func lateInManyAnswers() throws {
        // Given more messages since a time than one answer has
        let server = try TestStore(users: ["alice"])
        let location = server.location(of: "alice")
        try server.fill(1_000, label: "old")
        server.clock.advance(milliseconds: 86_400_000)
        let time = server.clock.now()
        for part in 1...6 {
            try server.fill(1_000, label: "part \(part)")
            if part < 6 { try server.seal() }
        }
        // When a replica begins there, and goes on with what is new
        for label in ["", "newer"] {
            if !label.isEmpty { try server.fill(10, label: label) }
            try server.sync("alice", location, since: time, limit: 20_000)
            try ReplicaWriter(location).dropWhatServerDropped()
            // Then nothing is missing, and the server has what is before it
            let general = try #require(try Replica.open(at: location)?.conversation(named: "general"))
            let kept = try #require(try contents(location)["general"])
            let all = try server.all().map(\.seq)
            #expect(kept.map(\.seq) == all.filter { $0 >= general.first })
            #expect(general.first > Seq(1) && general.first <= Seq(1_001) && general.serverFirst == Seq(1))
            try Self.verify(location, server)
        }
    }
}
