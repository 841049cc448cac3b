internal import Glibc
internal import Testing

@Suite("sync")
struct SyncTests {
    @Test("pulls what is new, so that it can be read without the server; --exit-code is 1 where nothing is")
    func pull() throws {
        let world = try World()
        try world.alice.sends("one")
        try world.alice.sends("two", to: "@bob")
        #expect(try world.bob("sync", "--exit-code").code == 0)
        #expect(try world.bob("sync", "--exit-code").code == 1)
        #expect(try world.bob("sync").code == 0)
        world.stopServing()
        #expect(try world.bob.texts("log", "--offline", "--all") == ["one", "two"])
        let outcome = try world.bob("sync")
        #expect(outcome.code == 69 && isOneLine(outcome.errors))
        #expect(try world.bob("sync", "--offline").code != 0)
    }

    @Test("--wait waits for news, and no longer")
    func wait() throws {
        let world = try World()
        _ = try world.bob("sync")
        #expect(try world.bob("sync", "--wait", "1", "--exit-code").code == 1)
        let waiting = try world.bob.start(["sync", "--wait", "60", "--exit-code"])
        try world.alice.sends("one")
        #expect(waiting.finish().code == 0)
        #expect(try world.bob.texts("log", "--offline") == ["one"])
    }

    @Test("of named conversations only their news counts; an unknown one is 67")
    func named() throws {
        let world = try World()
        try world.alice.sends("one")
        _ = try world.bob("sync")
        try world.alice.sends("two")
        #expect(try world.bob("sync", "@alice", "--exit-code").code == 1)
        try world.alice.sends("three", to: "@bob")
        #expect(try world.bob("sync", "@alice", "--exit-code").code == 0)
        #expect(try world.bob("sync", "nix").code == 67)
        #expect(try world.bob("sync", "--wait", "x").code == 64)
    }

    @Test("it is interrupted with 130, whether it begins or waits", arguments: [0, 20_000, 400_000] as [UInt32])
    func interrupted(afterMicroseconds: UInt32) throws {
        let world = try World()
        let syncing = try world.bob.start(["sync", "--wait", "60"])
        // What it does by then does not show from outside, and makes no difference.
        usleep(afterMicroseconds)
        syncing.signal(SIGINT)
        let end = syncing.finish()
        #expect(end.code == 130 && end.errors.isEmpty)
    }

    @Test("a new address of the same store keeps the replica")
    func newAddress() throws {
        let world = try World()
        try world.alice.sends("one")
        _ = try world.bob("sync")
        let before = Files.below("\(world.bob.natterHome)/replicas").filter { Files.isDirectory($0) }
        world.stopServing()
        try world.serve(["--listen", "[::1]:0"])
        #expect(try world.bob.texts("log") == ["one"])
        #expect(Files.below("\(world.bob.natterHome)/replicas").filter { Files.isDirectory($0) } == before)
    }

    @Test("a kill of sync at any moment leaves a replica that the next one completes", arguments: UInt64(1)...3)
    func kills(seed: UInt64) throws {
        let world = try World()
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
            syncing.signal(SIGKILL)
            if syncing.finish().code == 0 { finished += 1 }
        }
        #expect(finished < 12)
        let synced = try world.bob("log", "--json").objects().map { Line($0) }
        world.stopServing()
        let exported = try world.natterd("export", "general").objects().map { Line($0) }
        #expect(exported.count == 20_000)
        #expect(synced == exported)
        #expect(try world.bob("search", "20000", "--offline").code == 0)
    }
}

/// What must survive any way of a message.
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
