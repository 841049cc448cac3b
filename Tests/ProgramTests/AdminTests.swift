internal import Testing
internal import TestSupport

@Suite("admin")
struct AdminTests {
    /// Alice is an admin of the server; bob and carol are not.
    private func administered(_ options: [String] = []) throws -> World {
        let world = try World(isServing: false)
        let outcome = try world.natterd("user", "promote", "alice")
        guard outcome.code == 0 else { throw Failure("promote: \(outcome.errors)") }
        try world.serve(options)
        return world
    }

    private func login(_ name: String, as person: Person, _ password: ChildProcess.Stream = World.typed) throws
        -> Int32
    {
        try person.run(["login", name, "--password-stdin"], input: password).code
    }

    @Test("an account is added, gets another password, becomes an admin and stops being one")
    func accounts() throws {
        let world = try administered()
        let eve = world.person("eve")
        let added = try world.alice.enter("admin", "user", "add", "eve")
        #expect(added.code == 0 && added.bytes.isEmpty && added.errors.isEmpty)
        #expect(try login("eve", as: eve) == 0)
        #expect(try eve("admin", "stats").code == 77)
        let promoted = try world.alice("admin", "user", "promote", "eve", "--json")
        #expect(try promoted.objects().first?[bool: "admin"] == true)
        let stats = try #require(try eve("admin", "stats", "--json").objects().first)
        #expect(stats[int: "accounts"] == 4)
        #expect(stats[string: "registration"] == "open" && stats.hasNull("certificate_expires"))
        #expect(stats[string: "version"]?.isEmpty == false)
        #expect(stats[objects: "limits"].contains { $0[string: "name"] == "tokens" && $0[int: "limit"] == 100 })
        try expect(world.alice("admin", "user", "demote", "eve"))
        #expect(try eve("admin", "stats").code == 77)
        // A new password ends the old one's sessions
        let other = ChildProcess.Stream.text("quite another one\n")
        try expect(world.alice.run(["admin", "user", "passwd", "@eve", "--password-stdin"], input: other))
        #expect(try eve("whoami").code == 77)
        #expect(try login("eve", as: eve) == 77)
        #expect(try login("eve", as: eve, other) == 0)
        // An admin from the start
        let words = ["admin", "user", "add", "root", "--admin", "--password-stdin"]
        try expect(world.alice.run(words, input: World.typed))
        #expect(try login("root", as: world.person("root")) == 0)
        #expect(try world.person("root")("admin", "users").lines.count == 5)
    }

    @Test("all accounts, most recently seen first, with last visit and address; and everybody's sessions")
    func lists() throws {
        let world = try administered()
        for person in [world.carol, world.bob, world.alice] { _ = try person("whoami") }
        let users = try world.alice("admin", "users", "--json").objects()
        #expect(users.first?[string: "name"] == "alice" && users.count == 3)
        #expect(users.map { $0[string: "name"] }.contains("carol"))
        #expect(
            users.first?.names == [
                "address", "admin", "created", "disabled", "file_bytes", "last_seen", "name", "online",
            ])
        #expect(users.first?[string: "address"] == "127.0.0.1")
        #expect(try world.alice("admin", "users").lines.first?.hasPrefix("alice  admin  online  ") == true)
        let sessions = try world.alice("admin", "sessions", "--json").objects()
        #expect(Set(sessions.compactMap { $0[string: "user"] }) == ["alice", "bob", "carol"])
        #expect(try world.alice("admin", "sessions").lines.count == 3)
    }

    @Test("an invitation lets one person register, once; if the server requires one, nobody can without")
    func invitations() throws {
        let world = try administered(["--registration", "invite"])
        func register(_ name: String, _ words: String...) throws -> Outcome {
            try world.person(name).run(["register", name, "--password-stdin"] + words, input: World.typed)
        }
        try expect(register("eve"), 77)
        #expect(try register("eve", "--invite", "x").code == 77)
        let made = try world.alice("admin", "invite", "--expires", "1d")
        #expect(made.code == 0 && made.errors.isEmpty)
        let code = String(try #require(made.lines.last?.split(separator: " ").last))
        #expect(try register("eve", "--invite", code).code == 0)
        #expect(try world.person("eve")("send", "here I am").code == 0)
        #expect(try register("fay", "--invite", code).code == 77)
        // One that is not used yet can be revoked
        let open = try #require(try world.alice("admin", "invite", "--json").objects().first)
        let id = try #require(open[string: "id"])
        let listed = try world.alice("admin", "invite", "ls")
        #expect(listed.lines.count == 1 && listed.output.hasPrefix("\(id)  alice  "), "\(listed)")
        #expect(!listed.output.contains(open[string: "invite"] ?? "?"))
        try expect(world.alice("admin", "invite", "revoke", id))
        #expect(try register("fay", "--invite", open[string: "invite"] ?? "").code == 77)
        #expect(try world.alice("admin", "invite", "ls").bytes.isEmpty)
        try expect(world.alice("admin", "invite", "revoke", id), 67, "'\(id)'")
        // One that is out of date
        let brief = try #require(try world.alice("admin", "invite", "--expires", "0s", "--json").objects().first)
        #expect(brief.names == ["expires", "id", "invite"])
        #expect(try register("fay", "--invite", brief[string: "invite"] ?? "").code == 77)
    }

    @Test(
        "the log has requests, messages by conversation and number, and admins' actions, but no text or secret"
    )
    func log() throws {
        let world = try administered(["--log-level", "debug"])
        try expect(world.bob("pm", "carol", "a very private thing", "--quiet"))
        try expect(world.bob("send", "a public thing"))
        #expect(try world.carol.texts("log", "--all").count == 2)
        #expect(try login("carol", as: world.person("wrong"), .text("my wrong password\n")) == 77)
        let lines = try world.alice("admin", "log", "-n", "1000").lines
        func has(_ words: String...) -> Bool { lines.contains { line in words.allSatisfy { line.contains($0) } } }
        #expect(
            has("debug request", "target=/v1/messages", "status=201", "accepted=@carol/1", "note=bob", "ms=", "out="))
        #expect(has("debug request", "method=POST", "target=/v1/messages", "accepted=general/1", "note=bob"))
        #expect(has("debug request", "target=/v1/sync", "sent=", "@bob/1", "general/1", "note=carol"))
        #expect(has("debug connected", "address=127.0.0.1") && has("debug disconnected", "address=127.0.0.1"))
        #expect(has("info listening") && has("login_failed"))
        let token = try #require(Files.text(world.bob.natterSettings + "/profiles/default/token")).dropLast()
        for secret in ["private thing", "public thing", "wrong password", String(token)] {
            #expect(lines.allSatisfy { !$0.contains(secret) })
        }
        // By level, and as objects
        let info = try world.alice("admin", "log", "--level", "info", "--json").objects()
        #expect(!info.isEmpty && info.allSatisfy { $0[string: "level"] != "debug" })
        #expect(info.first?.names == ["event", "fields", "level", "number", "time"])
        #expect(try world.alice("admin", "log", "-n", "2").lines.count == 2)
        // The record of what admins did is kept over a restart
        try expect(world.alice("admin", "user", "disable", "carol"))
        world.stopServing()
        try world.serve()
        let audit = try world.alice("admin", "log", "--audit").lines.map { $0.split(separator: " ").dropFirst() }
        #expect(audit.last == ["alice", "user_disabled", "carol"])
        #expect(audit.first?.contains("user_promoted") == true)
    }

    @Test("admin log -f prints events as they come, and ends with the right to see them")
    func follow() throws {
        let world = try administered()
        try expect(world.natterd("user", "promote", "carol"), hasNotes: true)
        let following = try world.carol.start(["admin", "log", "-f", "-n", "1", "--level", "info"])
        #expect(try following.line().contains("operation=user_promote"))
        try expect(world.alice("token", "create", "--scope", "send:general"), isSilent: false)
        #expect(try following.line().contains("info token_made user=alice scope=send:general"))
        try expect(world.bob("token", "create", "--scope", "read:general"), isSilent: false)
        #expect(try following.line().contains("info token_made user=bob scope=read:general"))
        try expect(world.alice("admin", "user", "demote", "carol"))
        expect(following.finish(), 77)
    }
}
