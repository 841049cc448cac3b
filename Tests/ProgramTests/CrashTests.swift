internal import Glibc
internal import Testing

@Suite("a kill at any moment")
struct CrashTests {
    @Test("of the server: every acknowledged message is there exactly once, in order", arguments: UInt64(1)...3)
    func server(seed: UInt64) throws {
        let world = try World()
        var generator = SeededGenerator(seed: seed)
        let people = [world.alice, world.bob, world.carol].map(\.home)
        var acknowledged: [String] = []
        var unknown: Set<String> = []
        for round in 0..<4 {
            // Given three who send one message after another, with ids
            let processes = try people.map { home in
                try Process(
                    "/bin/sh",
                    [
                        "-c",
                        #"n=0; while n=$((n+1)); "$0" send --timeout 5 --id "$1-$n" -- "$1-$n"; do echo "$1-$n"; done; echo "?$1-$n""#,
                        Programs.path("natter"), "\(round)\(home.last ?? "x")",
                    ],
                    environment: ["HOME": home, "PATH": "/usr/bin:/bin", "NATTER_SERVER": world.url])
            }
            // When the server is killed while they do
            let first = try processes.map { try $0.line() }
            usleep(UInt32.random(in: 0...150_000, using: &generator))
            world.killServer()
            for (process, first) in zip(processes, first) {
                for line in [first] + process.finish().lines {
                    if line.hasPrefix("?") {
                        unknown.insert(String(line.dropFirst()))
                    } else {
                        acknowledged.append(line)
                    }
                }
            }
            try world.serve()
        }
        // Then all that was acknowledged is there once, and nothing that was never sent
        let texts = try world.alice.texts("log")
        #expect(Set(texts).count == texts.count)
        #expect(Set(acknowledged).subtracting(texts).isEmpty)
        #expect(Set(texts).subtracting(acknowledged).subtracting(unknown).isEmpty)
        #expect(try world.alice("log", "--format", "%n").lines == (1...texts.count).map { "\($0)" })
        // and who repeats what is unknown with its id makes it so
        for (person, letter) in [(world.alice, "e"), (world.bob, "b"), (world.carol, "l")] {
            for text in unknown.sorted()
            where text.dropFirst().hasPrefix(letter) || text.dropFirst().hasPrefix("\(person.home.last ?? "x")") {
                #expect(try person("send", "--id", text, "--", text).code == 0)
            }
        }
        world.stopServing()
        #expect(try world.natterd("fsck").code == 0)
        let exported = try world.natterd("export", "general").objects().compactMap { $0[string: "text"] }
        #expect(Set(exported) == Set(acknowledged).union(unknown))
        #expect(exported.count == Set(exported).count)
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
            let process = try Process(
                Programs.path("natterd"), ["--data", world.data, "import", "general", file], environment: [:])
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
        let password = Process.Stream.bytes(Array("\(World.password)\n".utf8))
        for number in 1...4 {
            let dora = world.person("dora\(number)")
            let process = try dora.start(["register", dora.name, "--password-stdin"], input: password)
            usleep(UInt32.random(in: 0...200_000, using: &generator))
            process.signal(SIGKILL)
            _ = process.finish()
            let login = try dora.run(["login", dora.name, "--password-stdin"], input: password)
            let again = try dora.run(["register", dora.name, "--password-stdin"], input: password)
            #expect([login.code, again.code] == [0, 65] || [login.code, again.code] == [77, 0])
            #expect(try dora("whoami").code == 0)
        }
    }
}
