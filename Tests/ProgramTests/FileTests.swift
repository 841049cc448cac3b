internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("files")
struct FileTests {
    @Test(
        "every file that natter makes is 0600 and its directory 0700, under any umask",
        arguments: ["000", "022", "077"])
    func modes(umask: String) throws {
        let world = try World()
        let home = world.directory("fresh/below/home")
        try FileManager.default.createDirectory(atPath: world.directory("dora"), withIntermediateDirectories: true)
        let dora = world.person("dora")
        let commands = [
            ["register", "dora", "--password-stdin"], ["send", "hello"], ["log"], ["users"], ["sync"],
            ["search", "hello"],
            ["log", "--cursor-file", world.directory("cursor")],
            ["log", "--all", "--cursor-file", world.directory("all")],
        ]
        for words in commands {
            let outcome = try dora.run(
                words + ["--home", home], input: .bytes(Array("\(World.password)\n".utf8)), umask: umask)
            #expect(outcome.code == 0, "\(words): \(outcome.errors)")
        }
        for path in Files.below(home) {
            #expect(Files.mode(path) == (Files.isDirectory(path) ? 0o700 : 0o600), "\(path)")
        }
        for name in ["cursor", "all"] { #expect(Files.mode(world.directory(name)) == 0o600) }
    }

    @Test("all of natterd's data is 0600 and 0700, under any umask", arguments: ["000", "022"])
    func serverModes(umask: String) throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write("in", JSON.line(ts: 1, sender: "x", text: "y"))
        let script = "umask \(umask); exec \"$0\" \"$@\""
        for words in [["import", "--old", "general", file], ["export", "general"], ["fsck"]] {
            let outcome = try ChildProcess(
                "/bin/sh", ["-c", script, Programs.path("natterd"), "--data", directory("data")] + words,
                environment: ["HOME": directory.path]
            ).finish()
            #expect(outcome.code == 0, "\(words): \(outcome.errors)")
        }
        let daemon = try ChildProcess(
            "/bin/sh",
            ["-c", script, Programs.path("natterd"), "serve", "--listen", "127.0.0.1:0", "--data", directory("data")],
            environment: ["HOME": directory.path])
        let url = String(try daemon.line().dropFirst("natterd: listening on ".count))
        let dora = Person(name: "dora", home: directory("dora"), server: url)
        #expect(
            try dora.run(["register", "dora", "--password-stdin"], input: .bytes(Array("long enough\n".utf8))).code == 0
        )
        try dora.sends("hello")
        for path in Files.below(directory("data")) {
            #expect(Files.mode(path) == (Files.isDirectory(path) ? 0o700 : 0o600), "\(path)")
        }
    }

    @Test("a home that can't be made is 73, a damaged profile 78, and neither is overwritten")
    func badHome() throws {
        let world = try World()
        let file = try world.directory.write("file", "a file")
        let outcome = try world.alice.run(
            ["login", "alice", "--password-stdin", "--home", "\(file)/home"],
            input: .bytes(Array("\(World.password)\n".utf8)))
        #expect(outcome.code == 73 && isOneLine(outcome.errors))
        #expect(Files.text(file) == "a file")
        let token = "\(world.alice.natterSettings)/profiles/default/token"
        try Data("nonsense\n".utf8).write(to: URL(filePath: token))
        chmod(token, 0o600)
        let damaged = try world.alice("whoami")
        #expect(damaged.code == 78 && isOneLine(damaged.errors))
        #expect(Files.text(token) == "nonsense\n")
    }

    /// Runs what follows, a home and a program, in a mount namespace where that home is read-only; nil where nobody may mount.
    private static let withReadOnly: [String]? = {
        let script = #"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#
        let words = (getuid() == 0 ? ["-m"] : ["-rm"]) + ["/bin/sh", "-c", script]
        let environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]
        let tried = try? ChildProcess("/usr/bin/unshare", words + ["/tmp", "true"], environment: environment).finish()
        return tried?.code == 0 ? words : nil
    }()

    @Test(
        "a home on a read-only disk can be read without --offline, and messages can be sent from it",
        .enabled(if: FileTests.withReadOnly != nil, "nobody may mount anything here"))
    func readOnlyHome() throws {
        let world = try World()
        try world.alice.sends("one")
        try expect(world.alice("sync"))
        try world.bob.sends("two")
        let before = Files.below(world.alice.home)
        let mounted = try #require(FileTests.withReadOnly) + [world.alice.home, try Programs.path("natter")]
        func run(_ words: [String]) throws -> Outcome {
            try ChildProcess(
                "/usr/bin/unshare", mounted + words,
                environment: [
                    "HOME": world.alice.home, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NATTER_SERVER": world.url,
                ]
            ).finish()
        }
        for command in [["log"], ["ls"], ["search", "one"], ["show", "general", "1"]] {
            let outcome = try run(command)
            #expect(outcome.code == 0 && outcome.output.contains("one"), "\(outcome)")
        }
        // There is something new that the replica can't take
        let noted = try run(["log"])
        #expect(isOneLine(noted.errors) && noted.errors.contains("read-only"), "\(noted)")
        #expect(try run(["send", "three"]).code == 0)
        #expect(try run(["show", "general", "1"]).output.contains("one"))
        let refused = try run(["sync"])
        #expect(refused.code == 74 && isOneLine(refused.errors), "\(refused)")
        #expect(Files.below(world.alice.home) == before)
        #expect(try world.alice.texts("log") == ["one", "two", "three"])
    }

    @Test("a named file that is missing or a directory is 66 and named, whichever option names it")
    func unreadable() throws {
        let world = try World()
        let alice = world.alice
        for file in [world.directory("missing"), world.directory.path] {
            for words in [
                ["login", "alice", "--password-file", file], ["whoami", "--token-file", file],
                ["whoami", "--server", "https://127.0.0.1:1", "--ca-file", file],
            ] {
                let outcome = try alice.run(words)
                #expect(
                    outcome.code == 66 && outcome.bytes.isEmpty && isOneLine(outcome.errors), "\(words): \(outcome)")
                #expect(outcome.errors.contains("'\(file)'"), "\(outcome.errors)")
            }
            let added = try world.natterd("user", "passwd", "alice", "--password-file", file)
            #expect(added.code == 66 && isOneLine(added.errors), "\(added)")
        }
        let missing = world.directory("missing")
        let restored = try Daemon.run(
            ["--data", world.directory("new"), "restore", missing], home: world.directory.path)
        #expect(restored.code == 66 && restored.errors.contains("'\(missing)'"), "\(restored)")
        for words in [["send"], ["send", "--lines"], ["login", "alice", "--password-stdin"]] {
            let outcome = try alice.run(words, input: .path(world.directory.path))
            #expect(outcome.code == 66 && isOneLine(outcome.errors), "\(words): \(outcome)")
        }
        try alice.sends("still there")
    }

    @Test("output to a full disk is 74 for every command that prints")
    func fullOutput() throws {
        let world = try World()
        try world.alice.sends("one")
        _ = try world.alice("sync")
        for words in [
            ["log"], ["users"], ["search", "one"], ["whoami"], ["send", "x", "--json"], ["help"], ["--version"],
        ] {
            let outcome = try world.alice.run(words, output: .path("/dev/full"))
            #expect(outcome.code == 74, "\(words)")
            let closed = try world.alice.run(words, output: .closedPipe)
            #expect(closed.errors.isEmpty, "\(words)")
        }
    }
}
