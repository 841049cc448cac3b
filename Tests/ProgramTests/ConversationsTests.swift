internal import Testing
internal import TestSupport

@Suite("ls, mark, log --unread, log --mark")
struct ConversationsTests {
    /// Name, unread count and the last message, of each line of `ls`.
    private func listed(_ person: Person) throws -> [String] {
        try person("ls", "--json").objects().map { object in
            let last = object[object: "last"]?[string: "text"] ?? "-"
            return "\(object[string: "name"] ?? "") \(object[int: "unread"] ?? -1) \(last)"
        }
    }

    /// Four messages in general, one of them alice's own, and one from carol to her alone.
    private func spoken() throws -> World {
        let world = try World()
        try world.bob.sends("one", "two")
        try world.alice.sends("own")
        try world.carol.sends("four")
        try world.carol.sends("for alice", to: "@alice")
        return world
    }

    @Test("ls has a line for each conversation, that with the newest message first, after a sync")
    func list() throws {
        let world = try spoken()
        let outcome = try world.alice("ls")
        #expect(outcome.code == 0 && outcome.errors.isEmpty)
        let time = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/
        let shown = outcome.lines.map { line in
            line.replacing(time, with: "TIME").split(separator: " ", omittingEmptySubsequences: true)
                .joined(separator: " ")
        }
        #expect(shown == ["@carol 1 TIME carol: for alice", "general 3 TIME carol: four"])
        // Others see their own state
        #expect(try listed(world.bob) == ["general 2 four"])
        #expect(try listed(world.carol) == ["@alice 0 for alice", "general 3 four"])
    }

    @Test("ls --json prints the objects of the API; control characters are escaped for people only")
    func listObjects() throws {
        let world = try World()
        try world.bob.sends("bell \u{07}\nsecond line")
        let object = try #require(try world.alice("ls", "--json").objects().first)
        #expect(
            object.names == ["first", "hash", "head", "id", "kind", "last", "name", "read", "unread"])
        #expect(object[string: "kind"] == "general" && object[int: "head"] == 1 && object[int: "read"] == 0)
        #expect(object[object: "last"]?[string: "text"] == "bell \u{07}\nsecond line")
        let line = try #require(try world.alice("ls").lines.first)
        #expect(line.hasSuffix(#"bob: bell \x07"#))
    }

    @Test("ls reads the replica if the server is unreachable, and says so; without a session it is 77")
    func listAlone() throws {
        let world = try spoken()
        _ = try world.alice("sync")
        world.stopServing()
        let down = try world.alice("ls")
        #expect(down.code == 0 && down.lines.count == 2 && isOneLine(down.errors))
        let offline = try world.alice("ls", "--offline")
        #expect(offline.bytes == down.bytes && offline.errors.isEmpty)
        // Nothing was ever synced here
        #expect(try world.bob("ls", "--offline").code == 69)
        #expect(try world.person("nobody")("ls").code == 77)
    }

    @Test("mark alone marks all that is in the replica, and no more; another machine knows")
    func markAll() throws {
        let world = try spoken()
        _ = try world.alice("sync")
        try world.bob.sends("later")
        let outcome = try world.alice("mark")
        #expect(outcome.code == 0 && outcome.bytes.isEmpty && outcome.errors.isEmpty)
        #expect(try listed(world.alice) == ["general 1 later", "@carol 0 for alice"])
        let elsewhere = world.person("elsewhere")
        try expect(elsewhere.enter("login", "alice"))
        // Where nothing was synced, nothing can be marked.
        let nothing = try elsewhere("mark")
        #expect(nothing.code == 0 && nothing.errors.contains("nothing has been synced yet"), "\(nothing)")
        #expect(try listed(elsewhere) == ["general 1 later", "@carol 0 for alice"])
        // It is hers alone
        #expect(try listed(world.bob) == ["general 2 later"])
    }

    @Test("mark alone passes over a group that was left elsewhere, and marks the others")
    func markLeft() throws {
        let world = try World()
        for group in ["crew", "ops"] {
            try expect(world.bob("group", "create", group))
            try expect(world.bob("group", "add", group, "alice"))
            try world.bob.sends("news", to: group)
        }
        try expect(world.alice("sync"))
        for group in ["crew", "ops"] {
            let removed = group == "crew" ? ["remove", "crew", "alice"] : ["add", "ops", "carol"]
            try expect(world.bob.run(["group"] + removed))
        }
        let outcome = try world.alice("mark", "--json")
        #expect(outcome.code == 0 && outcome.errors.isEmpty, "\(outcome)")
        #expect(try outcome.objects().map { $0[string: "conversation"] } == ["ops"])
    }

    @Test("mark is 69 if the server is unreachable, 77 without a session")
    func markAlone() throws {
        let world = try spoken()
        _ = try world.alice("sync")
        #expect(try world.person("nobody")("mark").code == 77)
        world.stopServing()
        for words in [["mark"], ["mark", "general"], ["mark", "general", "1"]] {
            try expect(world.alice.run(words), 69)
        }
    }

    @Test(
        "log --unread: others' messages after the mark; -n counts from the oldest",
        arguments: [
            ([], "two four"), (["-n", "1"], "two"), (["--reverse"], "four two"), (["--reverse", "-n", "1"], "two"),
            (["--reverse", "-n", "2"], "four two"), (["--from", "bob"], "two"), (["--before", "4"], "two"),
            (["--all"], "two four for alice"), (["--all", "-n", "2"], "two four"),
            (["--all", "--reverse"], "for alice four two"), (["-n", "0"], ""), (["-n", "0", "--reverse"], ""),
        ])
    func unread(words: [String], texts: String) throws {
        let world = try spoken()
        _ = try world.alice("mark", "general", "1")
        let found = try world.alice.run(["log", "--unread", "--json"] + words).objects().map {
            $0[string: "text"] ?? ""
        }
        #expect(found.joined(separator: " ") == texts)
        // Looking marks nothing
        #expect(try listed(world.alice) == ["@carol 1 for alice", "general 2 four"])
    }

    @Test("log --unread without any: 0, with --exit-code 1; offline as last synced")
    func nothingUnread() throws {
        let world = try spoken()
        _ = try world.alice("sync")
        _ = try world.alice("mark")
        let outcome = try world.alice("log", "--unread")
        #expect(outcome.code == 0 && outcome.bytes.isEmpty && outcome.errors.isEmpty)
        #expect(try world.alice("log", "--unread", "--exit-code").code == 1)
        try world.bob.sends("new")
        #expect(try world.alice.texts("log", "--unread", "--offline") == [])
        #expect(try world.alice.texts("log", "--unread") == ["new"])
        world.stopServing()
        #expect(try world.alice.texts("log", "--unread", "--offline") == ["new"])
    }

    @Test(
        "log --mark marks up to the newest that was printed; log alone marks nothing",
        arguments: [
            ([], "general 3"), (["--mark"], "general 0"), (["--mark", "-n", "1"], "general 0"),
            (["--mark", "--unread", "-n", "2"], "general 1"), (["--mark", "--reverse"], "general 0"),
            (["--mark", "--reverse", "--unread"], "general 0"),
            (["--mark", "--reverse", "--unread", "-n", "1"], "general 2"),
            (["--mark", "--from", "bob"], "general 1"), (["--mark", "--before", "2"], "general 2"),
            (["--mark", "--until", "2001-01-01"], "general 3"),
            (["--mark", "--reverse", "--until", "2001-01-01"], "general 3"),
            (["--mark", "-n", "0"], "general 3"),
        ])
    func mark(words: [String], expected: String) throws {
        let world = try spoken()
        #expect(try world.alice.run(["log"] + words).code == 0)
        #expect(try listed(world.alice) == ["@carol 1 for alice", "\(expected) four"])
    }

    @Test(
        "log --mark passes the edits and deletions that it has shown", arguments: [["--mark"], ["--unread", "--mark"]])
    func markedChanges(words: [String]) throws {
        let world = try World()
        try world.bob.sends("one", "two", "three")
        try expect(world.bob("edit", "2", "two v2"))
        try expect(world.bob("delete", "3"))
        try expect(world.alice.run(["log"] + words), isSilent: false)
        let nothing = try world.alice("log", "--unread", "--exit-code")
        #expect(nothing.code == 1 && nothing.output == "")
        // A later edit is news.
        try expect(world.bob("edit", "1", "one v2"))
        #expect(try world.alice("log", "--unread").output.hasSuffix("bob (edits 1): one v2\n"))
    }

    @Test("log --mark stops before unread messages that are damaged here, and after a repair it goes on from there")
    func markBeforeDamage() throws {
        let world = try World()
        let texts = (1...9_500).map { "m\($0)" }
        try expect(
            world.alice.run(["send", "--lines"], input: .text(texts.map { $0 + "\n" }.joined())))
        world.stopServing()
        try world.serve()
        try expect(world.bob("sync"))
        for log in Files.below("\(world.bob.natterHome)/replicas") where log.hasSuffix(".log") {
            try Files.flipByte(log, at: Files.size(log) / 2)
        }
        let words = ["log", "--unread", "--mark", "--format", "%m"]
        let damaged = try world.bob.run(words)
        #expect(damaged.code == 74 && damaged.lines.last == "m9500" && damaged.lines.count < 9_500)
        let firstMissing = try #require(zip(1..., damaged.lines).first { "m\($0)" != $1 }).0
        #expect(
            damaged.errors.contains("only before message \(firstMissing), which was not printed"), "\(damaged.errors)")
        #expect(try world.bob("ls", "--json", "--offline").objects().first?[int: "unread"] == 9_501 - firstMissing)
        // A user who has read that far may mark what is behind it
        #expect(try world.bob("verify").code == 74)
        let repaired = try world.bob.run(words)
        #expect(repaired.code == 0 && repaired.lines == Array(texts[(firstMissing - 1)...]), "\(repaired.errors)")
        #expect(try world.bob("ls", "--json", "--offline").objects().first?[int: "unread"] == 0)
    }

    @Test(
        "what was marked is read at once without a sync, too",
        arguments: [
            ["mark"], ["mark", "general", "2"], ["log", "--mark", "--before", "3"], ["log", "--all", "--mark"],
        ])
    func markedOffline(words: [String]) throws {
        let world = try spoken()
        try expect(world.alice("sync"))
        #expect(try world.alice("status", "--short").output == "4\n")
        try expect(world.alice.run(words), isSilent: false)
        let isPart = words.contains("2") || words.contains("3")
        #expect(try world.alice("status", "--short").output == (isPart ? "2\n" : ""))
        #expect(
            try world.alice.texts("log", "--unread", "--offline", "--all") == (isPart ? ["four", "for alice"] : []))
        // The next sync agrees, with what others have written since.
        try world.bob.sends("five")
        try expect(world.alice("sync"))
        #expect(try world.alice("status", "--short").output == (isPart ? "3\n" : "1\n"))
    }

    @Test("log --mark --all marks every conversation; if output fails nothing is marked")
    func markEverything() throws {
        let world = try spoken()
        let full = try world.alice.run(["log", "--all", "--mark"], output: .path("/dev/full"))
        #expect(full.code == 74)
        #expect(try listed(world.alice) == ["@carol 1 for alice", "general 3 four"])
        #expect(try world.alice.texts("log", "--all", "--mark", "--unread") == ["one", "two", "four", "for alice"])
        #expect(try listed(world.alice) == ["@carol 0 for alice", "general 0 four"])
    }
}
