internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("log -f")
struct FollowTests {
    @Test("prints existing messages, then each new one once; SIGINT ends it with 130")
    func follow() throws {
        let world = try World(says: "before")
        let following = try world.bob.start(["log", "-f", "--format", "%n %m"])
        #expect(try following.line() == "1 before")
        for number in 2...20 {
            try world.alice.sends("x")
            #expect(try following.line() == "\(number) x")
        }
        let end = following.finish(after: SIGINT)
        #expect(end.code == 130 && end.bytes.isEmpty && end.errors.isEmpty)
    }

    @Test("-n 0 -f prints only new messages; --from and --json apply")
    func newOnly() throws {
        let world = try World(says: "before")
        _ = try world.bob("sync")
        let following = try world.bob.start(["log", "-f", "-n", "1", "--from", "carol", "--json"])
        try world.carol.sends("first")
        #expect(try JSON(parsing: following.line())[string: "text"] == "first")
        try world.alice.sends("of no interest")
        try world.carol.sends("second")
        #expect(try JSON(parsing: following.line())[string: "text"] == "second")
    }

    @Test("--all follows conversations that begin only later")
    func all() throws {
        let world = try World()
        let following = try world.bob.start(["log", "-f", "--all", "--format", "%c %m"])
        try world.alice.sends("one")
        #expect(try following.line() == "general one")
        try world.carol.sends("two", to: "@bob")
        #expect(try following.line() == "@carol two")
    }

    @Test("a replica that is removed and made anew meanwhile is followed")
    func replaced() throws {
        let world = try World(says: "before")
        let following = try world.bob.start(["log", "-f", "--format", "%n %m"])
        #expect(try following.line() == "1 before")
        // It must not look between the two.
        following.freeze()
        try FileManager.default.removeItem(atPath: world.bob.natterHome + "/replicas")
        try expect(world.bob("sync"), hasNotes: true)
        following.signal(SIGCONT)
        try world.alice.sends("after")
        #expect(try following.line() == "2 after")
        try world.alice.sends("later")
        #expect(try following.line() == "3 later")
    }

    @Test("a Retry-After is obeyed, and the reason told")
    func asked() throws {
        let world = try World()
        try expect(world.bob("sync"), hasNotes: true)
        let server = try HostileServer(for: world.url)
        defer { server.stop() }
        let following = try world.bob.at(server.url).start(
            ["log", "-f", "--format", "%m"])
        try world.alice.sends("one")
        #expect(try following.line() == "one")
        let begin = ContinuousClock.now
        server.answerAll(
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        try following.waitForErrors("retrying")
        try eventually("it is asked") { server.hasAnswered }
        server.answerAll(nil)
        try world.alice.sends("two")
        #expect(try following.line() == "two")
        #expect(ContinuousClock.now - begin >= .seconds(3))
    }

    @Test("a restarted server on the same address is followed further, with one note")
    func comesBack() throws {
        let world = try World()
        let following = try world.bob.start(["log", "-f", "--format", "%m"])
        try world.alice.sends("one")
        #expect(try following.line() == "one")
        let address = world.url
        world.stopServing()
        try following.waitForErrors("retrying")
        try world.serve(["--listen", String(address.dropFirst("http://".count))])
        try world.alice.sends("two")
        #expect(try following.line() == "two")
        let end = following.finish(after: SIGINT)
        #expect(end.code == 130 && isOneLine(end.errors))
    }

    @Test(
        "it ends as soon as its reader closes the pipe, although nothing comes",
        arguments: [["log"], ["admin", "log"]])
    func closedWhileWaiting(words: [String]) throws {
        let world = try World(isServing: false)
        try #require(world.natterd("user", "promote", "alice").code == 0)
        try world.serve()
        try world.alice.sends("one")
        let following = try world.alice.start(words + ["-f", "-n", "1"])
        _ = try following.line()
        // The request for news gets no answer.
        world.daemon?.process.freeze()
        defer { world.daemon?.process.signal(SIGCONT) }
        following.closeOutput()
        let end = following.finish()
        #expect(end.code == 141 && end.errors.isEmpty)
    }

    @Test("a renamed group is followed further, with one note, and another group of its former name is not")
    func renamed() throws {
        let world = try World()
        try world.alice.group("ops", with: "bob")
        try world.alice.sends("text one", to: "ops")
        let following = try world.bob.start(["log", "-f", "ops", "--grep", "^text", "--format", "%c %m"])
        #expect(try following.line() == "ops text one")
        try expect(world.alice("group", "rename", "ops", "ops2"), hasNotes: true)
        try world.alice.group("ops", with: "bob")
        try world.alice.sends("text of the other", to: "ops")
        try world.alice.sends("text two", to: "ops2")
        #expect(try following.line() == "ops2 text two")
        try world.alice.sends("text three", to: "ops2")
        #expect(try following.line() == "ops2 text three")
        let end = following.finish(after: SIGINT)
        #expect(end.bytes.isEmpty && isOneLine(end.errors), "\(end)")
        #expect(end.errors.contains("'ops' is now called 'ops2'"))
    }

    @Test("a replica that begins late prints changes of earlier messages, too, as they come and with a cursor file")
    func lateReplica() throws {
        let world = try World(says: "one", "two", "three")
        let last = try #require(try world.alice("log", "--json").objects().last?[string: "time"])
        try expect(world.bob("sync", "--since", last), hasNotes: true)
        #expect(try world.bob.texts("log", "--offline") == ["three"])
        let file = world.directory("seen")
        _ = try world.bob("log", "--cursor-file", file)
        let following = try world.bob.start(["log", "-f", "-n", "1", "--format", "%k %a %m"])
        #expect(try following.line() == "text  three")
        try expect(world.alice("edit", "1", "uno"), hasNotes: true)
        #expect(try following.line() == "edit 1 uno")
        try expect(world.alice("delete", "2"), hasNotes: true)
        #expect(try following.line() == "delete 2 ")
        #expect(
            try world.bob("log", "--cursor-file", file).lines.map { $0.split(separator: " ", maxSplits: 1).last }
                == ["alice (edits 1): uno", "alice (deletes 2)"])
    }
}
