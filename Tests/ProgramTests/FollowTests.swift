internal import Glibc
internal import Testing
internal import TestSupport

@Suite("log -f")
struct FollowTests {
    @Test("prints existing messages, then each new one once; SIGINT ends it with 130")
    func follow() throws {
        let world = try World()
        try world.alice.sends("before")
        let following = try world.bob.start(["log", "-f", "--format", "%n %m"])
        #expect(try following.line() == "1 before")
        for number in 2...20 {
            try world.alice.sends("x")
            #expect(try following.line() == "\(number) x")
        }
        following.signal(SIGINT)
        let end = following.finish()
        #expect(end.code == 130 && end.bytes.isEmpty && end.errors.isEmpty)
    }

    @Test("-n 0 -f prints only new messages; --from and --json apply")
    func newOnly() throws {
        let world = try World()
        try world.alice.sends("before")
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
        following.signal(SIGINT)
        let end = following.finish()
        #expect(end.code == 130 && isOneLine(end.errors))
    }

    @Test("it ends silently when its reader closes the pipe")
    func closedPipe() throws {
        let world = try World()
        let following = try world.bob.start(["log", "-f"], output: .closedPipe)
        try world.alice.sends("one")
        let end = following.finish()
        #expect(end.code != 0 && end.errors.isEmpty)
    }
}
