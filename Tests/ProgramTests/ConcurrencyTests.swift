internal import Glibc
internal import Testing
internal import TestSupport

@Suite("concurrent commands on one home")
struct ConcurrencyTests {
    @Test("32 sends and reads at the same moment: all done, each message once, every reading without a hole")
    func thirtyTwo() throws {
        let world = try World(says: "first")
        let readings = [
            ["log", "--json"], ["log", "--all", "--json"], ["search", "--json", "m*"], ["sync"], ["users"],
            ["log", "-n", "3", "--json"],
            ["log", "--offline", "--json"], ["whoami"],
        ]
        for round in 0..<3 {
            // When 32 commands start before any of them is waited for
            let processes = try (0..<32).map { number in
                let words =
                    number % 2 == 0 ? ["send", "m\(round)-\(number)"] : readings[number / 2 % readings.count]
                return (words, try world.alice.start(words))
            }
            for (words, process) in processes {
                let outcome = process.finish()
                // Before the first sync is over there may be nothing to search or to read offline.
                let isEarly = round == 0 && ["search", "log"].contains(words[0]) && [1, 69].contains(outcome.code)
                #expect(outcome.code == 0 || isEarly, "\(words): \(outcome.errors)")
                if words[0] == "log", outcome.code == 0, !words.contains("--all") {
                    let seqs = try outcome.objects().compactMap { $0[int: "seq"] }
                    #expect(zip(seqs, seqs.dropFirst()).allSatisfy { $1 == $0 + 1 }, "\(words): \(seqs)")
                }
            }
        }
        // Then everything is there once, here and on the server
        let texts = try world.alice.texts("log")
        let expected = (0..<3).flatMap { round in stride(from: 0, to: 32, by: 2).map { "m\(round)-\($0)" } }
        #expect(texts.sorted() == (["first"] + expected).sorted())
        #expect(try world.alice.texts("log", "--offline") == texts)
        #expect(try world.bob.texts("log") == texts)
        #expect(try Set(world.alice.texts("search", "m*")) == Set(expected))
        world.stopServing()
        #expect(try world.natterd("fsck").code == 0)
        #expect(try world.natterd("export", "general").objects().map { $0[string: "text"] ?? "" } == texts)
    }

    @Test("many readers of one cursor file print each message at least once, and the file stays valid")
    func cursorFile() throws {
        let world = try World()
        let file = world.directory("cursor")
        try world.alice.sends("1", "2", "3")
        let processes = try (0..<12).map { _ in
            try world.bob.start(["log", "--cursor-file", file, "--format", "%m"])
        }
        var printed: Set<String> = []
        for process in processes {
            let outcome = process.finish()
            #expect(outcome.code == 0, "\(outcome.errors)")
            printed.formUnion(outcome.lines)
        }
        #expect(printed == ["1", "2", "3"])
        #expect(try world.bob.texts("log", "--cursor-file", file) == [])
    }

    @Test("while another command holds the replica, 'log -n' asks the server, and 'ls' says that it may lack something")
    func heldReplica() throws {
        let world = try World(says: "old")
        try expect(world.bob("sync"))
        let file = try #require(
            Files.below("\(world.bob.natterHome)/replicas").first { $0.hasSuffix("/replica.lock") })
        let descriptor = open(file, O_RDWR | O_CLOEXEC)
        defer { close(descriptor) }
        #expect(flock(descriptor, LOCK_EX) == 0)
        try world.alice.sends("new")
        #expect(try world.bob.texts("log", "-n", "1") == ["new"])
        let list = try world.bob("ls")
        #expect(list.code == 0 && list.errors.contains("not complete"), "\(list)")
        // One that needs everything waits for longer than a quick sync may take.
        let reading = try world.bob.start(["log", "--all", "--format", "%m"])
        poll(nil, 0, 2_500)
        flock(descriptor, LOCK_UN)
        let outcome = reading.finish()
        #expect(outcome.code == 0 && outcome.lines == ["old", "new"], "\(outcome)")
    }

    @Test("another program that locks the database of the replica: 75, and the next sync works")
    func foreignLock() throws {
        let world = try World(says: "old")
        try expect(world.bob("sync"))
        try world.alice.sends("new")
        let file = try #require(Files.below("\(world.bob.natterHome)/replicas").first { $0.hasSuffix("/replica.db") })
        let script = """
            import sqlite3, sys
            database = sqlite3.connect(sys.argv[1], isolation_level=None)
            database.execute('BEGIN IMMEDIATE')
            print('locked', flush=True)
            sys.stdin.read()
            """
        let other = try ChildProcess("/usr/bin/python3", ["-c", script, file], environment: [:], input: .pipe)
        #expect(try other.line() == "locked")
        try expect(world.bob("sync"), 75, "locked")
        other.finish(after: SIGKILL)
        try expect(world.bob("sync"))
        #expect(try world.bob.texts("log", "--offline") == ["old", "new"])
    }

    @Test("concurrent logins leave one working session")
    func logins() throws {
        let world = try World()
        let processes = try (0..<4).map { _ in
            try world.alice.start(["login", "alice", "--password-stdin"], input: World.typed)
        }
        for process in processes { #expect([0, 75].contains(process.finish().code)) }
        #expect(try world.alice("whoami").code == 0)
    }
}
