internal import Glibc
internal import Testing
internal import TestSupport

@Suite("group")
struct GroupTests {
    /// A group of alice's, with bob as a plain member; carol is not in it.
    private func grouped() throws -> World {
        let world = try World()
        try world.alice.group("ops", with: "bob")
        return world
    }

    /// The lines of a group's log, without times.
    private func said(_ person: Person, in group: String = "ops") throws -> [String] {
        try person("log", group).lines.map { String($0.drop { $0 != " " }.dropFirst()) }
    }

    /// Each member as `name role`.
    private func members(_ person: Person, of group: String = "ops") throws -> [String] {
        try person("group", "members", group).lines.map { line in
            line.split(separator: " ", omittingEmptySubsequences: true).prefix(2).joined(separator: " ")
        }
    }

    /// Waits until so many requests wait at the server.
    private func untilSomebodyWaits(_ count: Int, at world: World) throws {
        try eventually("\(count) waiting requests") {
            try world.daemon?.metric("natter_waiting_requests") == count
        }
    }

    @Test("the creator of a group is its first admin; members read all of it, others cannot see it")
    func create() throws {
        let world = try World()
        let made = try world.alice("group", "create", "ops", "--json")
        #expect(made.code == 0 && made.errors.isEmpty)
        let object = try #require(try made.objects().first)
        #expect(object[string: "name"] == "ops" && object[string: "kind"] == "group" && object[int: "head"] == 1)
        try world.alice.sends("before bob", to: "ops")
        // In a pipe there is nothing to say
        let added = try world.alice("group", "add", "ops", "@bob")
        #expect(added.code == 0 && added.bytes.isEmpty && added.errors.isEmpty)
        #expect(try members(world.bob) == ["alice admin", "bob member"])
        let listed = try world.bob("group", "members", "ops", "--json").objects()
        #expect(listed.map { $0[bool: "admin"] } == [true, false])
        #expect(listed.first?.names == ["admin", "display", "last_seen", "name", "online"])
        #expect(try said(world.bob) == ["* alice created the group", "alice: before bob", "* alice added bob"])
        #expect(try world.bob("ls").lines.contains { $0.hasPrefix("ops ") && $0.hasSuffix("* alice added bob") })
        // To carol there is no such thing
        for words in [
            ["log", "ops"], ["send", "-c", "ops", "x"], ["group", "join", "ops"], ["group", "members", "ops"],
        ] {
            let outcome = try world.carol.run(words)
            #expect(outcome.code == 67 && isOneLine(outcome.errors), "\(words)")
        }
        #expect(try world.carol("ls").lines.allSatisfy { !$0.contains("ops") })
    }

    @Test(
        "only admins change a group, and a refusal says why",
        arguments: [
            (["group", "create", "general"], "alice", 65, "bad_name"),
            (["group", "create", "a b"], "alice", 65, "bad_name"),
            (["group", "rename", "ops", "a/b"], "alice", 65, "bad_name"),
            (["group", "add", "ops", "carol"], "bob", 77, "forbidden"),
            (["group", "leave", "ops"], "alice", 77, "last_admin"),
            (["group", "add", "ops", "nix"], "alice", 67, "no_such_user"),
            (["group", "promote", "ops", "carol"], "alice", 67, "no_such_user"),
            (["group", "demote", "ops", "carol"], "alice", 67, "no_such_user"),
            (["group", "leave", "ops"], "carol", 67, "no_such_conversation"),
            (["group", "members", "ops", "--offline"], "alice", 69, "offline"),
        ] as [([String], String, Int32, String)])
    func refused(words: [String], name: String, code: Int32, error: String) throws {
        let world = try grouped()
        let before = try said(world.alice)
        let outcome = try world.person(name).run(words)
        #expect(outcome.code == code && isOneLine(outcome.errors) && outcome.bytes.isEmpty)
        let told = try JSON(parsing: world.person(name).run(words + ["--json"]).errors)
        #expect(told[object: "error"]?[string: "code"] == error)
        // Nobody came or went
        #expect(try said(world.alice) == before)
        #expect(try members(world.alice) == ["alice admin", "bob member"])
    }

    @Test("several users at once: those before the refused one are added, and the error says so")
    func several() throws {
        let world = try grouped()
        try expect(world.alice("group", "add", "ops", "carol", "nix", "bob"), 67, "before 'nix'")
        #expect(try members(world.alice) == ["alice admin", "bob member", "carol member"])
    }

    @Test("another admin lets the first one leave; promoting and demoting again changes nothing")
    func admins() throws {
        let world = try grouped()
        for _ in 1...2 { try expect(world.alice("group", "promote", "ops", "bob")) }
        try expect(world.bob("group", "demote", "ops", "alice"))
        #expect(try members(world.bob) == ["alice member", "bob admin"])
        try expect(world.alice("group", "leave", "ops"))
        #expect(
            try said(world.bob) == [
                "* alice created the group", "* alice added bob", "* alice made bob an admin",
                "* bob made alice a plain member again", "* alice left",
            ])
        // A user who has left learns so from the next sync, and keeps the old messages
        let synced = try world.alice("sync")
        #expect(synced.code == 0 && synced.errors.isEmpty)
    }

    @Test("an open group is joined and left by oneself; joining again changes nothing")
    func open() throws {
        let world = try World()
        try expect(world.alice("group", "create", "lunch", "--open"))
        try expect(world.carol("log", "lunch"), 77, "join it first")
        let absent = try world.carol("group", "leave", "lunch")
        #expect(absent.code == 77 && absent.errors == "natter: you are not a member of 'lunch'\n", "\(absent)")
        for _ in 1...2 { try expect(world.carol("group", "join", "lunch")) }
        try world.carol.sends("soup?", to: "lunch")
        #expect(try said(world.alice, in: "lunch") == ["* alice created the group", "* carol joined", "carol: soup?"])
        try expect(world.carol("group", "leave", "lunch"))
        #expect(try world.carol("send", "-c", "lunch", "x").code == 77)
        #expect(try said(world.alice, in: "lunch").last == "* carol left")
    }

    @Test("'group leave --blocked' leaves the groups that a blocked user has added one to, and no others")
    func leaveBlocked() throws {
        let world = try World()
        for group in ["spam1", "spam2"] {
            try expect(world.bob("group", "create", group))
            try expect(world.bob("group", "add", group, "alice"))
        }
        try expect(world.bob("group", "create", "lunch", "--open"))
        try expect(world.alice("group", "join", "lunch"))
        try world.carol.group("ops", with: "alice")
        let groups = try world.alice("group", "ls", "--json").objects()
        #expect(groups.map { $0[string: "added_by"] } == [nil, "carol", "bob", "bob"])
        try expect(world.alice("block", "bob"))
        let left = try world.alice("group", "leave", "--blocked")
        #expect(left.code == 0 && left.errors.isEmpty)
        #expect(try world.alice("group", "ls", "--json").objects().map { $0[string: "name"] } == ["lunch", "ops"])
        #expect(try world.alice("group", "leave", "--blocked").code == 0)
        // Bob, whom she blocks, adds her to no more
        try expect(world.bob("group", "create", "spam3"))
        try expect(world.bob("group", "add", "spam3", "alice"), 77, "has blocked you")
        // Either a group or the option
        for words in [["group", "leave"], ["group", "leave", "ops", "--blocked"]] {
            #expect(try world.alice.run(words).code == 64)
        }
    }

    @Test("the topic of a group is set by an admin, synced, and printed")
    func topic() throws {
        let world = try grouped()
        try expect(world.alice("group", "topic", "ops", "Disks", "and what fills them"))
        #expect(try world.bob("group", "topic", "ops").output == "Disks and what fills them\n")
        #expect(try said(world.bob, in: "ops").last == "* alice set the topic to 'Disks and what fills them'")
        let listed = try world.bob("ls", "--offline", "--json").objects().first { $0[string: "name"] == "ops" }
        #expect(listed?[string: "topic"] == "Disks and what fills them")
        #expect(try world.bob("group", "topic", "ops", "x").code == 77)
        try expect(world.alice("group", "topic", "ops", ""))
        #expect(try world.bob("group", "topic", "ops").output.isEmpty)
    }

    @Test("a renamed group keeps its history, cursor files and read marks")
    func rename() throws {
        let world = try grouped()
        try world.alice.sends("one", to: "ops")
        let file = world.directory("cursor")
        #expect(try world.bob.texts("log", "ops", "--cursor-file", file) == ["created", "added bob", "one"])
        let renamed = try world.alice("group", "rename", "ops", "crew", "--json")
        #expect(try renamed.objects().first?[string: "name"] == "crew")
        #expect(try world.bob.texts("log", "crew", "--cursor-file", file) == ["renamed ops crew"])
        #expect(try said(world.bob, in: "crew").last == "* alice renamed the group from 'ops' to 'crew'")
        #expect(try world.bob("log", "ops").code == 67)
        #expect(try world.bob("send", "-c", "ops", "x").code == 67)
    }

    @Test("a removed member reads nothing later, not even by a waiting request, and is told")
    func removed() throws {
        let world = try grouped()
        try world.alice.sends("for both", to: "ops")
        _ = try world.bob("sync")
        // Given two machines of bob's on which something waits for news
        let elsewhere = world.person("elsewhere")
        let login = try elsewhere.enter("login", "bob")
        #expect(login.code == 0)
        _ = try elsewhere("sync")
        let following = try world.bob.start(["log", "-f", "ops", "--after", "3", "--format", "%m"])
        let waiting = try elsewhere.start(["sync", "--wait", "60", "--exit-code", "ops"])
        try untilSomebodyWaits(2, at: world)
        // When he is removed
        try expect(world.alice("group", "remove", "ops", "bob"))
        try world.alice.sends("a secret", to: "ops")
        // Then both are told, and nothing that came later
        let end = waiting.finish()
        #expect(end.code == 0)
        #expect(end.errors == "natter: you were removed from 'ops'; the messages that you have synced stay\n")
        try following.waitForErrors("you were removed from 'ops'")
        try world.alice.sends("for all")
        #expect(try world.bob.texts("log") == ["for all"])
        for person in [world.bob, elsewhere] {
            let log = try person("log", "ops")
            #expect(log.code == 0 && log.errors.contains("removed from 'ops'") && isOneLine(log.errors))
            #expect(try person.texts("log", "ops") == ["created", "added bob", "for both"])
            #expect(try person("search", "secret").code == 1)
        }
        #expect(following.finish(after: SIGINT).bytes.isEmpty)
        // Its later name is no business of bob's
        try expect(world.alice("group", "rename", "ops", "without-bob"))
        let later = world.person("later")
        try expect(later.enter("login", "bob"))
        #expect(try later("log", "--all").lines.allSatisfy { !$0.contains("secret") })
        for name in ["ops", "without-bob"] { #expect(try later("log", name).code == 67) }
        let token = try #require(Files.text(world.bob.natterSettings + "/profiles/default/token")).dropLast()
        let sync = try RawRequest.send("GET", "/v1/sync", to: world.url, token: String(token))
        #expect(sync.status == 200 && !sync.text.contains("without-bob") && !sync.text.contains("secret"))
    }

    @Test("a deleted group disappears at its members' next sync; a new one of that name starts empty")
    func deleted() throws {
        let world = try grouped()
        try world.alice.sends("one", to: "ops")
        let (own, all) = (world.directory("own"), world.directory("all"))
        #expect(try world.bob.texts("log", "ops", "--cursor-file", own) == ["created", "added bob", "one"])
        #expect(try world.bob.texts("log", "--all", "--cursor-file", all).count == 3)
        try expect(world.alice("group", "delete", "ops"))
        let synced = try world.bob("sync")
        #expect(synced.code == 0)
        #expect(synced.errors == "natter: 'ops' was deleted; the messages that you have synced stay\n")
        #expect(try world.bob("ls").lines.allSatisfy { !$0.hasPrefix("ops") })
        // Synced messages stay readable until the name means something else
        #expect(try world.bob.texts("log", "ops") == ["created", "added bob", "one"])
        #expect(try world.bob("send", "-c", "ops", "x").code == 67)
        // Carol's group of that name
        try world.carol.group("ops", with: "bob")
        #expect(try world.bob.texts("log", "ops") == ["created", "added bob"])
        #expect(try world.bob("search", "one", "-c", "ops").code == 1)
        try expect(world.bob("log", "ops", "--cursor-file", own), 65)
        let fresh = try world.bob.texts("log", "--all", "--cursor-file", all)
        #expect(fresh == ["created", "added bob"])
        // A user who was in the former one alone is not in this one
        #expect(try world.alice("log", "ops").code == 67)
        #expect(try world.alice("send", "-c", "ops", "x").code == 67)
    }
}
