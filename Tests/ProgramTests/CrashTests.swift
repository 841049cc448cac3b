internal import Glibc
internal import Testing
internal import TestSupport

@Suite("a kill at any moment")
struct CrashTests {
    /// Sends one message after another until one is not acknowledged, and prints that one with a mark.
    private static let sendUntilFailure = """
        n=0
        while n=$((n+1)); "$0" send --timeout 1 --id "$1-$n" -- "$1-$n"; do echo "$1-$n"; done
        echo "?$1-$n"
        """

    @Test("of the server: every acknowledged message is there exactly once, in order", arguments: UInt64(1)...3)
    func server(seed: UInt64) throws {
        let world = try World()
        var generator = SeededGenerator(seed: seed)
        let names = ["alice", "bob", "carol"]
        var acknowledged: Set<String> = []
        var unknown: [(name: String, text: String)] = []
        for round in 0..<4 {
            // Given three senders
            let processes = try names.map { name in
                try ChildProcess(
                    "/bin/sh", ["-c", CrashTests.sendUntilFailure, Programs.path("natter"), "\(name)-\(round)"],
                    environment: [
                        "HOME": world.person(name).home, "PATH": "/usr/bin:/bin", "NATTER_SERVER": world.url,
                    ])
            }
            let first = try processes.map { try $0.line() }
            // When the server is killed while they do
            usleep(UInt32.random(in: 0...150_000, using: &generator))
            world.killServer()
            for (index, process) in processes.enumerated() {
                for line in [first[index]] + process.finish().lines {
                    if line.hasPrefix("?") {
                        unknown.append((names[index], String(line.dropFirst())))
                    } else {
                        acknowledged.insert(line)
                    }
                }
            }
            try world.serve()
        }
        // Then all that was acknowledged is there once, and nothing that was never sent
        let texts = try world.alice.texts("log")
        #expect(Set(texts).count == texts.count)
        #expect(acknowledged.subtracting(texts).isEmpty)
        #expect(Set(texts).subtracting(acknowledged).subtracting(unknown.map(\.text)).isEmpty)
        #expect(try world.alice("log", "--format", "%n").lines == (1...texts.count).map { "\($0)" })
        // and repeating a message of unknown outcome with its id settles it.
        for (name, text) in unknown {
            #expect(try world.person(name)("send", "--id", text, "--", text).code == 0)
        }
        world.stopServing()
        #expect(try world.natterd("fsck").code == 0)
        let exported = try world.natterd("export", "general").objects().compactMap { $0[string: "text"] }
        #expect(exported.count == Set(exported).count)
        #expect(Set(exported) == acknowledged.union(unknown.map(\.text)))
    }

    @Test("of an import: nothing of the file is kept, or all", arguments: UInt64(1)...3)
    func importing(seed: UInt64) throws {
        let world = try World()
        try world.alice.sends("before")
        world.stopServing()
        var generator = SeededGenerator(seed: seed)
        let lines = (1...20_000).map { JSON.line(ts: 1_700_000_000_000 + $0, sender: "u", text: "number \($0)") }
        let file = try world.directory.write("in", lines.joined())
        var count = 1
        for _ in 0..<4 {
            let process = try world.start(["import", "--old", "--again", "general", file])
            usleep(UInt32.random(in: 0...250_000, using: &generator))
            process.signal(SIGKILL)
            let isDone = process.finish().code == 0
            let now = try world.natterd("export", "general").lines.count
            #expect(now == count + 20_000 || now == count && !isDone)
            count = now
            #expect(try world.natterd("fsck").code == 0)
        }
        try world.serve()
        #expect(try world.bob("log", "--format", "%n").lines.count == count)
    }

    @Test("of registering: the account can be used or its name is free", arguments: UInt64(1)...2)
    func registering(seed: UInt64) throws {
        let world = try World()
        var generator = SeededGenerator(seed: seed)
        let password = ChildProcess.Stream.bytes(Array("\(World.password)\n".utf8))
        for number in 1...4 {
            let dora = world.person("dora\(number)")
            let process = try dora.start(["register", dora.name, "--password-stdin"], input: password)
            usleep(UInt32.random(in: 0...200_000, using: &generator))
            process.signal(SIGKILL)
            _ = process.finish()
            // The server may still be busy with the request, or have never received it. Either way the name is this user's.
            let again = try dora.run(["register", dora.name, "--password-stdin"], input: password)
            #expect([0, 65].contains(again.code), "\(again.errors)")
            let login = try dora.run(["login", dora.name, "--password-stdin"], input: password)
            #expect(login.code == 0, "\(login.errors)")
            #expect(try dora("whoami").code == 0)
        }
    }
}
