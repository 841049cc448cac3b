internal import Foundation
internal import Testing
internal import TestSupport

@Suite("natterd import, export")
struct ImportTests {
    private let lines = [
        JSON.line(ts: 1_700_000_000_000, sender: "ordinary", text: "text"),
        JSON.line(ts: 1_600_000_000_000, sender: "time goes back", text: "and back"),
        JSON.line(ts: 1_700_000_000_001, sender: "@no/valid,name", text: ""),
        JSON.line(ts: 0, sender: "alice", text: "a label, not the account\u{1}\u{1B}\u{7F}\n\ttabs and \"quotes\" \\"),
        JSON.line(ts: -1, sender: String(repeating: "x", count: 64), text: String(repeating: "é", count: 32_768)),
        JSON.line(ts: 1_700_000_000_002, sender: " ", text: "日本語 🙂"),
    ]

    private func lines(_ outcome: Outcome) throws -> [Line] { try outcome.objects().map { Line($0) } }

    @Test("what is imported is served as it is exported, says that it is imported, and is unread for nobody")
    func roundTrip() throws {
        let world = try World(isServing: false)
        for name in ["general", "copy"] {
            try expect(world.natterd("import", "--old", name, "-", input: .text(lines.joined())), hasNotes: true)
        }
        let got = try lines(world.natterd("export", "general"))
        #expect(got.map(\.seq) == Array(1...lines.count))
        for (line, got) in try zip(lines.map { Line(try JSON(parsing: $0)) }, got) {
            #expect(got.ts == line.ts && got.sender == line.sender && got.text == line.text)
        }
        // Served, everything is the same, and says that it is imported.
        try world.serve()
        let messages = try world.alice("log", "--json").objects()
        #expect(messages.map { Line($0) } == got)
        #expect(messages.allSatisfy { $0[bool: "imported"] == true })
        #expect(try world.alice("ls", "--json").objects().first?[int: "unread"] == 0)
        #expect(try world.alice("log", "--unread", "--json").objects().isEmpty)
        // A private group has no members yet.
        #expect(try world.alice("log", "copy").code == 67)
    }

    private func line(via: String, sender: String = "a") -> String {
        "{\"ts\":1700000000000,\"sender\":\"\(sender)\",\"text\":\"x\",\"via\":\"\(via)\"}\n"
    }

    @Test("a label that no token can have is a bad line, and the server that takes the import lives on")
    func longLabels() throws {
        let world = try World()
        for label in [String(repeating: "v", count: 600_000), String(repeating: "v", count: 201), "a\\u0000b"] {
            let text = line(via: "ok") + line(via: label + "1") + line(via: label + "2")
            let outcome = try world.natterd("import", "new", "-", input: .text(text))
            #expect(outcome.code == 65 && isOneLine(outcome.errors), "\(outcome.code)")
            #expect(outcome.errors.contains("line 2: 'via'"), "\(outcome.errors.suffix(200))")
        }
        #expect(try world.natterd("export", "new").code == 67)
        try world.alice.sends("still there")
    }

    @Test("thousands of distinct senders and labels, as long as they may be, and labels of older servers")
    func manyLabels() throws {
        let world = try World(isServing: false)
        // 200 bytes each, which are more than the columns of one block may have.
        let lines =
            (1_000..<9_000).map { number in
                line(
                    via: String(repeating: "v", count: 196) + "\(number)",
                    sender: String(repeating: "s", count: 60) + "\(number)")
            } + [line(via: "two\\nlines\\u0001")]
        try expectSuccess(world.natterd("import", "general", "-", input: .text(lines.joined())))
        let exported = try world.natterd("export", "--raw", "general")
        let objects = try exported.objects()
        #expect(objects.count == lines.count && objects.last?[string: "via"] == "two\nlines\u{1}")
        for (line, object) in zip(lines, objects) {
            #expect(object[string: "via"] == (try JSON(parsing: line))[string: "via"])
        }
        try expectSuccess(world.natterd("import", "copy", "-", input: .bytes(exported.bytes)))
        #expect(try world.natterd("export", "--raw", "copy").bytes == exported.bytes)
        #expect(try world.natterd("fsck").code == 0)
    }

    @Test("a server that stops during an import says so, keeps nothing of it, and the same command does it later")
    func stopping() throws {
        let world = try World()
        let line = JSON.line(ts: 1_700_000_000_000, sender: "a", text: "x")
        let importing = try world.start(["import", "new", "-"], input: .pipe)
        importing.type(line)
        try eventually("the server has the command") {
            Files.text("\(world.data).log")?.contains("operation=import") == true
        }
        #expect(world.stopServing()?.code == 0)
        importing.type(line)
        importing.closeInput()
        let outcome = importing.finish()
        #expect(outcome.code == 69 && isOneLine(outcome.errors), "\(outcome)")
        #expect(outcome.errors.contains("stopping") && outcome.errors.contains("repeat"), "\(outcome)")
        #expect(try world.natterd("export", "new").code == 67)
        #expect(try world.natterd("import", "new", "-", input: .text(line)).code == 0)
    }

    @Test("times before 1990 are refused without --old, and seconds with a fraction are named as such")
    func seconds() throws {
        let world = try World(isServing: false)
        for (ts, word) in [("1700000000", "--old"), ("1700000000.5", "whole milliseconds")] {
            let line = "{\"ts\":\(ts),\"sender\":\"a\",\"text\":\"x\"}\n"
            let outcome = try world.natterd("import", "general", "-", input: .text(line))
            #expect(outcome.code == 65 && isOneLine(outcome.errors))
            #expect(outcome.errors.contains("line 1") && outcome.errors.contains(word), "\(outcome.errors)")
        }
        let mail = try world.directory.write(
            "m.mbox", "From a@b Thu Jan  1 00:00:00 1970\nFrom: a@b\nDate: Thu, 1 Jan 1970 00:00:10 +0000\n\nhello\n")
        #expect(try world.natterd("import", "--from", "mbox", mail).code == 65)
        #expect(try world.natterd("export", "m").code == 67)
        #expect(try world.natterd("import", "--from", "mbox", "--old", mail).code == 0)
    }

    @Test("a file that was imported before is 65 without --again, also through a running server")
    func again() throws {
        let world = try World()
        let line = JSON.line(ts: 1_700_000_000_000, sender: "a", text: "x")
        func take(_ words: String...) throws -> Outcome {
            try world.natterd(["import"] + words + ["-"], input: .text(line))
        }
        #expect(try take("general").code == 0)
        try expect(take("general"), 65, "--again")
        world.stopServing()
        #expect(try take("general", "--json").errors.contains("\"imported_before\""))
        #expect(try take("general", "--again").code == 0)
        #expect(try take("other").code == 0)
        #expect(try world.natterd("export", "general").lines.count == 2)
    }

    @Test("ids are keys of the conversation: known lines are left out, answers find them, other content is 65")
    func ids() throws {
        let world = try World()
        func line(_ id: String, _ text: String, seq: Int, about: Int? = nil) -> String {
            "{\"id\":\"\(id)\",\"seq\":\(seq),\"ts\":1700000000000,\"sender\":\"a\",\"text\":\"\(text)\""
                + (about.map { ",\"about\":\($0)" } ?? "") + "}\n"
        }
        func take(_ text: String, _ words: String...) throws -> Outcome {
            try world.natterd(["import", "--json"] + words + ["general", "-"], input: .text(text))
        }
        let first = line("k1", "one", seq: 1) + line("k2", "two", seq: 2) + line("k1", "one", seq: 3)
        let taken = try take(first).objects()
        #expect(taken.first?[int: "count"] == 2 && taken.first?[int: "known"] == 1)
        try world.alice.sends("between")
        // When a later export has the same messages and an answer to one of them
        let later = first + line("k4", "four", seq: 4, about: 2)
        #expect(try take(later, "--dry-run").objects().first?[int: "count"] == 1)
        #expect(try take(later).objects().first?[int: "first"] == 4)
        #expect(try take(later, "--again").objects().first?[int: "known"] == 4)
        let page = try world.alice("log", "--json").objects()
        #expect(page.map { $0[string: "text"] } == ["one", "two", "between", "four"])
        #expect(page.last?[int: "about"] == 2)
        try expect(take(line("k2", "another two", seq: 1)), 65, "k2")
        for id in ["", "я", String(repeating: "x", count: 65)] {
            #expect(try take(line(id, "x", seq: 1)).code == 65, "\(id)")
        }
        // A new group of the same name knows nothing of the old one
        try expectSuccess(world.natterd("import", "ops", "-", input: .text(first)))
        world.stopServing()
        #expect(try world.natterd("fsck").code == 0)
    }

    /// A line with a number and an id, and what else it says.
    private func line(_ seq: Int, ts: Int, _ text: String, _ rest: String = "") -> String {
        "{\"id\":\"k\(seq)\",\"seq\":\(seq),\"ts\":\(ts),\"sender\":\"a\",\"text\":\"\(text)\"\(rest)}\n"
    }

    @Test("an export without the messages that are not kept any more can be imported")
    func afterRetention() throws {
        let world = try World(isServing: false)
        let now = Int(Date().timeIntervalSince1970 * 1_000)
        let old = (1...3).map { line($0, ts: 1_600_000_000_000, "old \($0)") }.joined()
        let new =
            line(4, ts: now, "an answer", #","about":1"#) + line(5, ts: now, "edited", #","about":2,"kind":"edit""#)
            + line(6, ts: now, "", #","about":3,"kind":"delete""#) + line(7, ts: now, "another answer", #","about":4"#)
        // The ids join both files, whose messages are in blocks of their own.
        for text in [old, old + new] {
            #expect(try world.natterd("import", "general", "-", input: .text(text)).code == 0)
        }
        let retained = try world.natterd("retain", "general", "90d", "--json")
        #expect(try retained.objects().first?[int: "first"] == 4, "\(retained)")
        for (words, name) in [(["--raw"], "copy"), ([], "other")] {
            let exported = try world.natterd(["export", "general"] + words)
            #expect(exported.code == 0 && exported.errors.isEmpty)
            #expect(try exported.objects().map { $0[int: "seq"] } == [4, 7])
            #expect(try exported.objects().map { $0[int: "about"] } == [nil, 4])
            try expectSuccess(world.natterd("import", name, "-", input: .bytes(exported.bytes)))
            let copy = try world.natterd(["export", name] + words).objects()
            #expect(copy.map { $0[string: "text"] } == ["an answer", "another answer"])
            #expect(copy.map { $0[int: "about"] } == [nil, 1])
        }
    }

    @Test("an export of a conversation whose user was erased can be imported", arguments: [["--raw"], []])
    func afterErasing(words: [String]) throws {
        let world = try World()
        for command in [["group", "create", "ops"], ["group", "add", "ops", "bob"]] {
            #expect(try world.alice.run(command).code == 0)
        }
        try world.alice.sends("of alice", to: "ops")
        try world.bob.sends("of bob", to: "ops")
        #expect(try world.natterd("user", "erase", "alice").code == 0)
        let exported = try world.natterd(["export", "ops"] + words)
        #expect(exported.code == 0 && exported.output.contains("#"))
        try expectSuccess(world.natterd("import", "copy", "-", input: .bytes(exported.bytes)))
        #expect(try world.natterd(["export", "copy"] + words).bytes == exported.bytes)
        world.stopServing()
        #expect(try world.natterd("fsck").code == 0)
    }

    @Test("--dry-run reads and checks, and imports nothing; it makes no store")
    func dryRun() throws {
        let world = try World(isServing: false)
        let good = JSON.line(ts: 1_700_000_000_000, sender: "a", text: "x")
        func trial(_ text: String, _ words: String...) throws -> Outcome {
            try world.natterd(["import", "--dry-run"] + words + ["-"], input: .text(text))
        }
        #expect(try trial(good + good, "new", "--json").objects().first?[int: "count"] == 2)
        #expect(try trial(good + "nonsense\n", "new").errors.contains("line 2"))
        #expect(try world.natterd("export", "new").code == 67)
        let fresh = world.directory("fresh")
        let outcome = try Daemon.run(
            ["--data", fresh, "import", "--dry-run", "--json", "new", "-"], home: world.directory.path,
            environment: ["TMPDIR": world.directory.path], input: .text(good))
        #expect(try outcome.code == 0 && outcome.objects().first?[int: "count"] == 1, "\(outcome.errors)")
        #expect(!FileManager.default.fileExists(atPath: fresh))
        #expect(
            try !FileManager.default.contentsOfDirectory(atPath: world.directory.path).contains {
                $0.hasPrefix("natterd-")
            })
    }

    @Test("a trial without a store leaves nothing, also if a signal ends it", arguments: [SIGINT, SIGTERM, SIGHUP])
    func endedTrial(signal: Int32) throws {
        let directory = try TemporaryDirectory()
        let trial = try ChildProcess(
            Programs.path("natterd"), ["--data", directory("none"), "import", "--dry-run", "new", "-"],
            environment: ["TMPDIR": directory.path, "PATH": "/usr/bin:/bin"], input: .pipe)
        trial.type(JSON.line(ts: 1_700_000_000_000, sender: "a", text: "x"))
        func left() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: directory.path) }
        try eventually("its store is there") {
            try left().contains { FileManager.default.fileExists(atPath: directory("\($0)/store/store.db")) }
        }
        let code = trial.finish(after: signal).code
        #expect(code == 128 + signal)
        #expect(try left() == [])
    }

    @Test("an edit of a message that is erased by now is left out, and the message stays erased")
    func editOfErased() throws {
        let world = try World(isServing: false)
        let (time, end) = (1_700_000_000_000, "\"text\":\"x\"}\n")
        let first = "{\"seq\":1,\"ts\":\(time),\"sender\":\"a\",\"id\":\"i1\"," + end
        let edit = "{\"seq\":2,\"ts\":\(time + 1),\"sender\":\"a\",\"id\":\"i2\",\"kind\":\"edit\",\"about\":1," + end
        let other = "{\"seq\":3,\"ts\":\(time + 2),\"sender\":\"a\",\"id\":\"i3\"," + end
        func take(_ text: String) throws -> [Int?] {
            let outcome = try world.natterd(["import", "--json", "ops", "-"], input: .text(text))
            let report = try #require(outcome.objects().first, "\(outcome)")
            return [report[int: "count"], report[int: "known"]]
        }
        #expect(try take(first) == [1, nil])
        try expect(world.natterd("erase", "ops", "1", "--yes"), hasNotes: true)
        #expect(try take(first + edit + other) == [1, 2])
        let records = try world.natterd("export", "--raw", "ops").objects()
        #expect(records.map { $0[string: "text"] ?? "" } == ["", "x"] && records.first?[bool: "erased"] == true)
    }

    @Test("a time of writing that cannot be is left out")
    func writtenNever() throws {
        let world = try World(isServing: false)
        let lines = [-99_999_999_999_999_999, 1_600_000_000_000].map { written in
            "{\"ts\":1700000000000,\"sender\":\"a\",\"text\":\"x\",\"written\":\(written)}\n"
        }
        try expect(world.natterd(["import", "ops", "-"], input: .text(lines.joined())), hasNotes: true)
        let written = try world.natterd("export", "--raw", "ops").objects().map { $0[int: "written"] }
        #expect(written == [nil, 1_600_000_000_000])
    }

    @Test("an import of nothing makes no group")
    func nothing() throws {
        let world = try World(isServing: false)
        let outcome = try world.natterd(["import", "new", "-"], input: .bytes([]))
        #expect(outcome.code == 0 && outcome.errors.contains("nothing to import"))
        #expect(try world.natterd("export", "new").code == 67)
    }

    @Test("export of a personal conversation as '@alice,@bob'; an unknown one is 67")
    func personalExport() throws {
        let world = try World()
        try world.alice.sends("for bob", to: "@bob")
        try world.alice.sends("a note", to: "@me")
        world.stopServing()
        for name in ["@alice,@bob", "@bob,@alice"] {
            #expect(try world.natterd("export", name).objects().map { $0[string: "text"] } == ["for bob"])
        }
        #expect(try world.natterd("export", "@alice,@alice").objects().map { $0[string: "text"] } == ["a note"])
        for name in ["nix", "@alice,@nix", "@nix"] {
            let outcome = try world.natterd("export", name)
            #expect([65, 67].contains(outcome.code) && isOneLine(outcome.errors), "\(name)")
        }
    }
}
