internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("sync")
struct SyncTests {
    private let world: World

    init() throws { world = try World() }

    /// The texts of a `log` in a pipe.
    private func texts(_ output: String) -> [String] {
        output.split(separator: "\n").compactMap { line in
            line.firstRange(of: ": ").map { String(line[$0.upperBound...]) }
        }
    }

    @Test("pulls new messages for reading offline; with --exit-code the status is 1 if there are none")
    func pull() throws {
        try world.alice.sends("one")
        try world.alice.sends("two", to: "@bob")
        #expect(try world.bob("sync", "--exit-code").code == 0)
        #expect(try world.bob("sync", "--exit-code").code == 1)
        #expect(try world.bob("sync").code == 0)
        world.stopServing()
        #expect(try world.bob.texts("log", "--offline", "--all") == ["one", "two"])
        try expect(world.bob("sync"), 69)
        #expect(try world.bob("sync", "--offline").code != 0)
    }

    @Test("--wait waits for news, and no longer")
    func wait() throws {
        _ = try world.bob("sync")
        let begin = ContinuousClock.now
        #expect(try world.bob("sync", "--wait", "1.1", "--exit-code").code == 1)
        #expect(ContinuousClock.now - begin >= .milliseconds(1_100))
        let waiting = try world.bob.start(["sync", "--wait", "60", "--exit-code"])
        try world.alice.sends("one")
        #expect(waiting.finish().code == 0)
        #expect(try world.bob.texts("log", "--offline") == ["one"])
    }

    @Test("--wait sees news that another command has fetched")
    func fetchedByAnother() throws {
        _ = try world.bob("sync")
        let waiting = try world.bob.start(["sync", "--wait", "20", "--exit-code", "--json"])
        try eventually("it waits") { try world.daemon?.metric("natter_waiting_requests") == 1 }
        // Then it can't take its answer
        waiting.freeze()
        try world.alice.sends("one")
        try expect(world.bob("sync"), hasNotes: true)
        let end = waiting.finish(after: SIGCONT)
        #expect(end.code == 0)
        #expect(try end.objects().map { $0[string: "name"] } == ["general"])
    }

    @Test("only news of the named conversations counts; an unknown one is 67")
    func named() throws {
        try world.alice.sends("one")
        _ = try world.bob("sync")
        try world.alice.sends("two")
        #expect(try world.bob("sync", "@alice", "--exit-code").code == 1)
        try world.alice.sends("three", to: "@bob")
        #expect(try world.bob("sync", "@alice", "--exit-code").code == 0)
        #expect(try world.bob("sync", "nix").code == 67)
        #expect(try world.bob("sync", "--wait", "x").code == 64)
    }

    @Test("a replica that begins late in a group that has dropped messages says what the server has")
    func lateInGroup() throws {
        try expect(world.alice("group", "create", "ops"), hasNotes: true)
        let now = Int(Date().timeIntervalSince1970) * 1_000
        let old = [20, 6, 5, 4].map { JSON.line(ts: now - $0 * 86_400_000, sender: "dan", text: "\($0) days old") }
        #expect(try world.natterd("import", "ops", "-", input: .text(old.joined())).code == 0)
        #expect(try world.natterd("retain", "ops", "10d").code == 0)
        try expect(world.alice("group", "add", "ops", "bob"), hasNotes: true)
        // Nothing in the group is newer.
        #expect(try world.bob("sync", "--since", "@\(now / 1_000 + 50)").code == 0)
        try world.alice.sends("new", to: "ops")
        let all = try world.bob("log", "ops")
        #expect(all.code == 0 && all.lines.last?.hasSuffix("alice: new") == true, "\(all)")
        #expect(all.errors.contains("are not in this replica") && !all.errors.contains("not kept"), "\(all)")
        #expect(try world.bob("export", "ops").code == 74)
    }

    @Test("what is dropped before a late replica has any message is no gap in it")
    func droppedBeforeLate() throws {
        func importOld(_ text: String) throws {
            try world.importGeneral(JSON.line(ts: 1_600_000_000_000, sender: "dan", text: text))
        }
        // Given a replica that begins after all there is
        try importOld("one")
        #expect(try world.bob("sync", "--since", "@\(Int(Date().timeIntervalSince1970) + 50)").code == 0)
        // When what came later is dropped before it syncs
        try importOld("two")
        try importOld("three")
        #expect(try world.natterd("retain", "general", "90d").code == 0)
        try world.alice.sends("new")
        // Then its history begins there, and lacks nothing
        let all = try world.bob("log")
        #expect(all.lines.count == 1 && all.lines.last?.hasSuffix("alice: new") == true, "\(all)")
        #expect(all.errors.contains("messages 1 to 3") && !all.errors.contains("not kept"), "\(all)")
        #expect(try world.bob("ls", "--json", "--offline").objects().first?[int: "first"] == 4)
        #expect(try world.bob("log", "--offline", "--after", "3").errors.isEmpty)
        #expect(try world.bob("verify").code == 0)
    }

    @Test(
        "mark and log --mark do not pass over messages that a late replica lacks, and say which; with their number mark does"
    )
    func markLate() throws {
        try world.alice.sends("old")
        #expect(try world.bob("sync", "--since", "@\(Int(Date().timeIntervalSince1970) + 50)").code == 0)
        try world.alice.sends("new")
        try expect(world.bob("sync"))
        for words in [["mark"], ["mark", "general"]] {
            let outcome = try world.bob.run(words + ["--json"])
            #expect(outcome.code == 0 && isOneLine(outcome.errors), "\(outcome)")
            #expect(outcome.errors.contains("message 1 of 'general' is not in this replica"), "\(outcome)")
            #expect(outcome.errors.contains("'natter mark general 2'"), "\(outcome)")
            #expect(try outcome.objects().map { $0[int: "read"] } == [0])
        }
        for words in [["--unread"], [], ["--all"]] {
            let outcome = try world.bob.run(["log", "--mark", "--format", "%m"] + words)
            #expect(outcome.code == 0 && outcome.lines == ["new"], "\(outcome)")
            #expect(
                outcome.errors.contains("only before message 1") && outcome.errors.contains("'natter mark general 2'"))
        }
        #expect(try world.bob("ls", "--json").objects().first?[int: "unread"] == 2)
        try expect(world.bob("mark", "general", "2"))
        try expect(world.bob("mark"))
        #expect(try world.bob("ls", "--json").objects().first?[int: "unread"] == 0)
    }

    @Test("--wait sees the first message of a user")
    func firstOfUser() throws {
        _ = try world.bob("sync")
        let waiting = try world.bob.start(["sync", "--wait", "30", "--exit-code", "@carol"])
        try eventually("it waits") { try world.daemon?.metric("natter_waiting_requests") == 1 }
        try world.alice.sends("of no interest")
        try world.carol.sends("first", to: "@bob")
        #expect(waiting.finish().code == 0)
        #expect(try world.bob.texts("log", "--offline", "@carol") == ["first"])
    }

    @Test("--since: a replica begins late, and says so wherever something older was asked for")
    func late() throws {
        // Given old messages in blocks of their own, and two of today
        let old = (1...5_000).map { number in
            #"{"ts":\#(1_100_000_000_000 + number * 60_000),"sender":"dan","text":"old \#(number) \#(number * 7_919)"}"#
        }
        try world.importGeneral(old.joined(separator: "\n") + "\n")
        try world.alice.sends("new one")
        try world.alice.sends("new two")
        // When bob begins yesterday
        #expect(try world.bob("sync", "--since", "-1d").code == 0)
        // Then nothing older is here, and that is stated
        let all = try world.bob("log", "--offline")
        #expect(all.code == 0 && texts(all.output).suffix(2) == ["new one", "new two"])
        #expect(texts(all.output).count < 5_000)
        #expect(isOneLine(all.errors) && all.errors.contains("of 'general' are not in this replica"))
        #expect(try world.bob("log", "--offline", "-n", "2").errors.isEmpty)
        #expect(try world.bob("log", "--offline", "--since", "-1h").errors.isEmpty)
        #expect(try world.bob("log", "--offline", "--after", "5000").errors.isEmpty)
        for words in [
            ["--after", "1"], ["--after", "1", "-n", "1"], ["--cursor-file", world.directory("new"), "-n", "1"],
        ] {
            let errors = try world.bob.run(["log", "--offline"] + words).errors
            #expect(errors.contains("are not in this replica"), "\(words)")
        }
        #expect(try world.bob("search", "new").errors.contains("were not searched"))
        #expect(try world.bob("status", "--json").output.contains("\"earliest\":\""))
        try expect(world.bob("export", "general"), 74, "are not in the replica", isSilent: false)
        #expect(try world.bob("verify").code == 0)
        // And the newest that it is too short for come from the server
        let page = try world.bob("log", "-n", "5002")
        #expect(page.errors.isEmpty && texts(page.output).first?.hasPrefix("old 1 ") == true)
        #expect(try texts(world.bob("log", "-n", "1", "--before", "3").output) == ["old 2 15838"])
        #expect(try texts(world.bob("log", "-n", "1", "--until", "2005-01-01").output).first?.hasPrefix("old ") == true)
        // Also if edits, which have no line, are among them
        for text in ["newer", "newest"] { #expect(try world.alice("edit", "5002", text).code == 0) }
        #expect(try world.bob("sync").code == 0)
        let here = texts(all.output).count
        let more = try world.bob("log", "-n", "\(here + 1)")
        #expect(more.errors.isEmpty && texts(more.output).count == here + 1)
        // Messages that the server cannot choose come from the replica, with the note
        for words in [["--grep", "no such"], ["--mentions"], ["--since", "2030-01-01"]] {
            let none = try world.bob.run(["log", "-n", "2", "--exit-code"] + words)
            #expect(none.code == 1 && none.output.isEmpty, "\(words): \(none)")
        }
        #expect(try world.bob("log", "-n", "2", "--grep", "old 1 ").errors.contains("are not in this replica"))
        // And a single message that is too old is not said to be missing
        for words in [["log", "--thread", "5"], ["show", "general", "5"]] {
            let missing = try world.bob.run(words)
            #expect(missing.code == 67 && missing.errors.contains("the server has it"), "\(words): \(missing)")
        }
        // And it continues from there with all new messages
        try world.alice.sends("new three")
        let next = try world.bob("sync", "--since", "-2d")
        #expect(next.code == 0 && next.errors.contains("the replica begins on"))
        #expect(try world.bob.texts("log", "--offline", "-n", "1") == ["new three"])
        try world.alice.sends("hello", to: "@bob")
        _ = try world.bob("sync")
        #expect(try world.bob.texts("log", "@alice", "--offline") == ["hello"])
        // And a full sync has everything
        #expect(try world.carol.texts("log").count == 5_003)
        #expect(try world.carol("sync", "--since", "nonsense").code == 64)
    }

    @Test("it is interrupted with 130, whether it begins or waits", arguments: [0, 20_000, 400_000] as [UInt32])
    func interrupted(afterMicroseconds: UInt32) throws {
        let syncing = try world.bob.start(["sync", "--wait", "60"])
        // Its work by then does not show from outside, and makes no difference.
        usleep(afterMicroseconds)
        let end = syncing.finish(after: SIGINT)
        #expect(end.code == 130 && end.errors.isEmpty)
    }

    @Test("a new address of the same store keeps the replica")
    func newAddress() throws {
        try world.alice.sends("one")
        _ = try world.bob("sync")
        let before = Files.below("\(world.bob.natterHome)/replicas").filter { Files.isDirectory($0) }
        world.stopServing()
        try world.serve(["--listen", "[::1]:0"])
        #expect(try world.bob.texts("log") == ["one"])
        #expect(Files.below("\(world.bob.natterHome)/replicas").filter { Files.isDirectory($0) } == before)
    }

    @Test("a replica is completed by the next sync after a kill at any moment", arguments: UInt64(1)...3)
    func kills(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let lines = (1...20_000).map { number in
            JSON.line(
                ts: 1_700_000_000_000 + number, sender: "u\(number % 50)",
                text: "\(number) \(UInt64.random(in: 0...(.max), using: &generator))")
        }
        try world.importGeneral(lines.joined())
        var finished = 0
        for _ in 1...12 {
            let syncing = try world.bob.start(["sync"])
            usleep(UInt32.random(in: 500...40_000, using: &generator))
            if syncing.finish(after: SIGKILL).code == 0 { finished += 1 }
        }
        #expect(finished < 12)
        let synced = try world.bob("log", "--json").objects().map { Line($0) }
        world.stopServing()
        let exported = try world.natterd("export", "general").objects().map { Line($0) }
        #expect(exported.count == 20_000)
        #expect(synced == exported)
        #expect(try world.bob("search", "20000", "--offline").code == 0)
    }

    @Test("a replica has the server's hash also where the server keeps nothing of what came since the last sync")
    func nothingKept() throws {
        func takeOld(_ text: String) throws {
            let line = JSON.line(ts: 1_600_000_000_000, sender: "zoe", text: text)
            #expect(try world.natterd("import", "general", "-", input: .text(line)).code == 0)
        }
        // Given a replica that has the first message, and one that has none
        try takeOld("one")
        #expect(try world.alice("sync").code == 0)
        try takeOld("two")
        #expect(try world.natterd("retain", "general", "90d").code == 0)
        // When both sync
        let hashes = try [world.alice, world.bob].map { person in
            #expect(try person("sync").code == 0)
            return try person("ls", "--json", "--offline").objects().first?[string: "hash"]
        }
        // Then both have the same hash, and go on from it
        #expect(hashes[0] == hashes[1] && hashes[0]?.allSatisfy { $0 == "0" } == false)
        try world.bob.sends("three")
        for person in [world.alice, world.bob] {
            #expect(try person("sync").code == 0)
            #expect(try person("verify").code == 0)
        }
    }
}

/// The fields that must survive any way of a message.
struct Line: Equatable {
    let seq: Int?
    let ts: Int?
    let sender: String?
    let text: String?

    init(_ object: JSON) {
        (seq, ts) = (object[int: "seq"], object[int: "ts"])
        (sender, text) = (object[string: "sender"], object[string: "text"])
    }
}

@Suite("a first sync that stopped early")
struct UnfinishedSyncTests {
    @Test("until it has come to its end, commands that read the replica say that it is not complete")
    func notes() throws {
        // Given more than a quick sync takes
        let world = try World(isServing: false)
        let random = try #require(FileHandle(forReadingAtPath: "/dev/urandom"))
        let lines = try (1...400).map { number in
            let text = try #require(try random.read(upToCount: 24_000)).base64EncodedString()
            return #"{"ts":\#(1_700_000_000_000 + number),"sender":"robot","text":"\#(text)"}"#
        }
        try world.importGeneral(lines.joined(separator: "\n") + "\n")
        #expect(try world.bob("log", "-n", "1", "--format", "%n").lines == ["400"])

        for (person, options) in [(world.bob, ["--offline"]), (world.bob.alone, [])] {
            for words in [["log", "-n", "1"], ["log"], ["ls"]] {
                let outcome = try person.run(options + words)
                #expect(outcome.code == 0 && isOneLine(outcome.errors), "\(words): \(outcome.errors)")
                #expect(outcome.errors.contains("not complete") && outcome.errors.contains("natter sync"))
                #expect(!outcome.bytes.isEmpty)
                let quiet = try person.run(options + words + ["--quiet"])
                #expect(quiet.code == 0 && quiet.errors.isEmpty && quiet.bytes == outcome.bytes, "\(quiet.errors)")
            }
            let export = try person.run(options + ["export", "general"])
            #expect(export.code == 74 && !export.bytes.isEmpty)
            #expect(export.errors.contains("not complete") && export.errors.contains("to 400 of 'general' are missing"))
        }
        try expect(world.bob("search", "nothing"), 1, "not complete", isSilent: false)

        try expect(world.bob("sync"))
        #expect(try world.bob("--offline", "log", "-n", "1", "--format", "%n").lines == ["400"])
        for words in [["log"], ["export", "general"], ["ls"]] {
            try expect(world.bob.run(["--offline"] + words), isSilent: false)
        }
    }
}
