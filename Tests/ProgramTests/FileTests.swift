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
                words + ["--home", home], input: .text("\(World.password)\n"), umask: umask)
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
            try dora.run(["register", "dora", "--password-stdin"], input: .text("long enough\n")).code == 0
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
        try expect(world.alice.enter("login", "alice", "--home", "\(file)/home"), 73, isSilent: false)
        #expect(Files.text(file) == "a file")
        let token = "\(world.alice.natterSettings)/profiles/default/token"
        try Data("nonsense\n".utf8).write(to: URL(filePath: token))
        chmod(token, 0o600)
        try expect(world.alice("whoami"), 78)
        #expect(Files.text(token) == "nonsense\n")
        let settings = "\(world.alice.natterSettings)/config"
        try Data([0xFF, 0x0A]).write(to: URL(filePath: settings))
        chmod(settings, 0o600)
        #expect(try world.alice("config", "list").code == 78)
        #expect(Files.bytes(settings) == [0xFF, 0x0A])
    }

    private static let systemPath = "/usr/sbin:/usr/bin:/sbin:/bin"

    /// Words for unshare that run a script in a mount namespace of its own. The script gets the words that follow: a
    /// home and a program. nil where nobody may mount.
    private static func mounting(_ script: String) -> [String]? {
        let words = (getuid() == 0 ? ["-m"] : ["-rm"]) + ["/bin/sh", "-c", script]
        guard let directory = try? TemporaryDirectory() else { return nil }
        defer { withExtendedLifetime(directory) {} }
        let tried = try? ChildProcess(
            "/usr/bin/unshare", words + [directory.path, "true"], environment: ["PATH": systemPath]
        ).finish()
        return tried?.code == 0 ? words : nil
    }

    /// The home is read-only.
    private static let withReadOnly = mounting(
        #"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#)
    /// In place of the home is a copy of it, on a disk with room for 64 KiB.
    private static let withFull = mounting(
        """
        cd "$0" && mount -t tmpfs -o size=16m,mode=700 tmpfs "$0" && cp -a . "$0" || exit 99
        head -c 20000000 /dev/zero >"$0/ballast" 2>/dev/null
        truncate -s -65536 "$0/ballast" && cd / && exec "$@"
        """)

    /// In place of the home is a copy of it, on a disk without any room.
    private static let withoutRoom = mounting(
        """
        cd "$0" && mount -t tmpfs -o size=16m,mode=700 tmpfs "$0" && cp -a . "$0" || exit 99
        head -c 20000000 /dev/zero >"$0/ballast" 2>/dev/null
        cd / && exec "$@"
        """)

    /// Runs a command of alice's there.
    private func run(_ words: [String], _ world: World, in namespace: [String]) throws -> Outcome {
        try ChildProcess(
            "/usr/bin/unshare", namespace + [world.alice.home, try Programs.path("natter")] + words,
            environment: ["HOME": world.alice.home, "PATH": FileTests.systemPath, "NATTER_SERVER": world.url]
        ).finish()
    }

    @Test(
        "on a full disk a home can be read offline, and pages come from the server; what asks for more is 75",
        .enabled(if: FileTests.withFull != nil, "nobody may mount anything here"))
    func fullHome() throws {
        let world = try World(says: "one")
        try expect(world.alice("sync"))
        // More than there is room for, and random, because the replica is compressed
        var generator = SeededGenerator(seed: 1)
        for _ in 1...5 {
            try world.bob.sends((1...3_750).map { _ in String(generator.next() as UInt64, radix: 16) }.joined())
        }
        let namespace = try #require(FileTests.withFull)
        func isTold(_ outcome: Outcome) -> Bool {
            outcome.errors.contains("full") || outcome.errors.contains("no space")
        }
        for command in [["log"], ["log", "--after", "1"], ["show", "general", "2"], ["export", "general"]] {
            let outcome = try run(command, world, in: namespace)
            #expect(outcome.code == 75 && outcome.output == "" && isOneLine(outcome.errors), "\(outcome)")
            #expect(isTold(outcome) && outcome.errors.contains("--offline"), "\(outcome)")
            let offline = try run(command + ["--offline"], world, in: namespace)
            #expect(command.contains("1") || command.contains("2") || offline.output.contains("one"), "\(offline)")
        }
        let page = try run(["log", "-n", "1", "--numbers"], world, in: namespace)
        #expect(page.code == 0 && page.output.contains(" 6 bob: ") && isTold(page), "\(page.errors)")
        let list = try run(["ls"], world, in: namespace)
        #expect(list.code == 0 && list.output.contains("general") && list.errors.contains("not complete"), "\(list)")
        #expect(try run(["search", "one"], world, in: namespace).output.contains("one"))
        let refused = try run(["sync"], world, in: namespace)
        #expect(refused.code == 75 && isOneLine(refused.errors), "\(refused)")
        #expect(refused.errors.contains("free some space"), "\(refused)")
        #expect(try world.alice.texts("log").count == 6)
    }

    /// Runs a command of alice's after a command of the shell.
    private func run(_ words: [String], _ world: World, after limit: String) throws -> Outcome {
        try ChildProcess(
            "/bin/sh", ["-c", "\(limit); exec \"$0\" \"$@\"", try Programs.path("natter")] + words,
            environment: ["HOME": world.alice.home, "NATTER_SERVER": world.url, "SWIFT_BACKTRACE": "enable=no"]
        ).finish()
    }

    @Test(
        "what may have arrived and can't be queued is named with its id; what waits keeps nothing back on a full disk",
        .enabled(if: FileTests.withoutRoom != nil, "nobody may mount anything here"))
    func noRoomToQueue() throws {
        let world = try World()
        let namespace = try #require(FileTests.withoutRoom)
        func natter(_ words: String) throws -> Outcome {
            try ChildProcess(
                "/usr/bin/unshare",
                namespace + [world.alice.home, "/bin/sh", "-c", words, try Programs.path("natter")],
                environment: ["HOME": world.alice.home, "NATTER_SERVER": world.url, "PATH": FileTests.systemPath]
            ).finish()
        }
        // Given a server that is known at this address, and does not answer yet
        try expect(world.alice("profile", "set", "default", "server=\(world.url)"))
        let daemon = try #require(world.daemon).process
        daemon.freeze()
        defer { daemon.signal(SIGCONT) }
        try expect(natter("exec \"$0\" --timeout 5 send --queue --id one-1 one"), 69, "--id one-1")
        let lines = try natter("seq 3 | \"$0\" --timeout 5 send --queue --lines")
        #expect(lines.code == 75 && isOneLine(lines.errors), "\(lines)")
        #expect(lines.errors.contains("To continue, repeat the command with --id "), "\(lines)")
        // Given a message that waits, and a server that answers
        daemon.signal(SIGCONT)
        try eventually("what was under way has arrived") { try world.bob.texts("log").count == 4 }
        try expect(world.alice("send", "--offline", "--queue", "waits"), hasNotes: true)
        try expect(
            natter("exec \"$0\" wrap -c general -- sh -c 'echo disk full; exit 3'"), 3, "comes after this message",
            isSilent: false
        )
        try expect(world.alice("sync"), hasNotes: true)
        let texts = try world.bob.texts("log")
        #expect(Set(texts.prefix(4)) == ["one", "1", "2", "3"] && texts.count == 6, "\(texts)")
        #expect(texts.dropLast().last?.contains("disk full") == true && texts.last == "waits", "\(texts)")
    }

    @Test("answers that can't be printed: the error says how to go on, and nothing is sent twice")
    func unprinted() throws {
        let world = try World()
        func natter(_ words: String) throws -> Outcome {
            try ChildProcess(
                "/bin/sh", ["-c", words, try Programs.path("natter")],
                environment: ["HOME": world.alice.home, "NATTER_SERVER": world.url, "PATH": FileTests.systemPath]
            ).finish()
        }
        let outcome = try natter("seq 3 | \"$0\" send --lines --json >/dev/full")
        #expect(outcome.code == 74 && outcome.errors.filter { $0 == "\n" }.count == 1, "\(outcome)")
        let id = try #require(outcome.errors.components(separatedBy: "with --id ").last?.prefix { $0 != ":" })
        #expect(try natter("seq 3 | \"$0\" send --lines --id \(id)").code == 0)
        #expect(try world.bob.texts("log") == ["1", "2", "3"])
    }

    @Test("with few descriptors a command does its work or says what is missing", arguments: 5...12)
    func fewDescriptors(count: Int) throws {
        let world = try World(says: "one")
        try expect(world.alice("sync"))
        for words in [["log", "general", "-n", "1"], ["whoami"], ["search", "one"], ["sync"]] {
            let outcome = try run(words, world, after: "ulimit -n \(count)")
            // 127: not even the libraries could be loaded.
            #expect([0, 69, 74, 127].contains(outcome.code), "\(words): \(outcome)")
            #expect(outcome.code == 0 || isOneLine(outcome.errors), "\(words): \(outcome)")
            // With --json the error is an object, and never says that there is no server
            let object = try run(["--json"] + words, world, after: "ulimit -n \(count)")
            guard ![0, 127].contains(object.code) else { continue }
            let error = try JSON(parsing: object.errors)[object: "error"]
            #expect(error?[int: "exit"] == 74 && object.code == 74, "\(words): \(object)")
            #expect(error?[string: "message"]?.contains("too many open files") == true, "\(words): \(object)")
        }
    }

    @Test("a limit of the size of files is an error, and what was there before stays", arguments: [0, 8, 64, 256])
    func smallFiles(blocks: Int) throws {
        let world = try World(says: "one")
        try expect(world.alice("sync"))
        for _ in 1...5 { try world.bob.sends(String(repeating: "long ", count: 10_000)) }
        for words in [["sync"], ["search", "one"], ["send", "--offline", "--queue", "two"]] {
            let outcome = try run(words, world, after: "ulimit -f \(blocks)")
            #expect([0, 74, 75].contains(outcome.code), "\(words): \(outcome)")
            #expect(outcome.code == 0 || isOneLine(outcome.errors), "\(words): \(outcome)")
        }
        try expect(world.alice("sync"))
        #expect(try world.alice.texts("log").first == "one")
        #expect(try world.alice("verify").code == 0)
        world.stopServing()
        let lines = (1...5_000).map { JSON.line(ts: 1_700_000_000_000 + $0, sender: "x", text: "line \($0)") }
        let file = try world.directory.write("in", lines.joined())
        let taken = try ChildProcess(
            "/bin/sh",
            ["-c", "ulimit -f \(blocks); exec \"$0\" \"$@\"", try Programs.path("natterd"), "import", "general", file],
            environment: World.store(of: world.data).merging([
                "HOME": world.directory.path, "NATTERD_DATA": world.data, "SWIFT_BACKTRACE": "enable=no",
            ]) { $1 }
        ).finish()
        #expect([0, 73, 74, 75].contains(taken.code), "\(taken)")
        #expect(try world.natterd("fsck").code == 0)
    }

    @Test("few descriptors are not taken for damage, and the limit is named", arguments: 4...48)
    func fewDescriptorsForChecks(count: Int) throws {
        let world = try World()
        world.stopServing()
        let data = world.directory.path + "/whole"
        let lines = (1...3_000).map { JSON.line(ts: 1_700_000_000_000 + $0, sender: "x", text: "line \($0)") }
        let file = try world.directory.write("in", lines.joined())
        try expect(world.natterd("--data", data, "import", "general", file), hasNotes: true)
        for words in [["fsck"], ["backup", world.directory.path + "/backup"], ["user", "list"], ["reindex"]] {
            let outcome = try ChildProcess(
                "/bin/sh",
                ["-c", "ulimit -n \(count); exec \"$0\" \"$@\"", try Programs.path("natterd"), "--data", data]
                    + words,
                environment: ["HOME": world.directory.path, "SWIFT_BACKTRACE": "enable=no"]
            ).finish()
            // 127: not even the libraries could be loaded.
            #expect([0, 74, 127].contains(outcome.code), "\(words): \(outcome)")
            let isNamed = outcome.errors.contains("too many open files; raise the limit with 'ulimit -n'")
            #expect(outcome.code != 74 || isNamed, "\(words): \(outcome)")
        }
    }

    @Test(
        "a database that can't be opened: what the system says",
        .enabled(if: !PostgresCluster.servesTests, "a store in PostgreSQL has no such files"))
    func unopenedDatabase() throws {
        let world = try World()
        world.stopServing()
        let path = world.data + "/store.db"
        let copy = world.data + "/copy.db"
        #expect(rename(path, copy) == 0 && symlink("copy.db", path) == 0)
        try expect(world.natterd("user", "list"), 74, "symbolic links", isSilent: false)
    }

    @Test(
        "a database that a repair may not open is not replaced",
        .enabled(if: !PostgresCluster.servesTests, "a store in PostgreSQL has no such files"))
    func foreignDatabase() throws {
        let world = try World(says: "one")
        world.stopServing()
        #expect(chmod(world.data + "/store.db", 0) == 0)
        for words in [["fsck"], ["fsck", "--repair"], ["reindex"]] {
            let outcome = try ChildProcess(
                "/usr/bin/setpriv",
                (geteuid() == 0 ? ["--bounding-set", "-dac_override,-dac_read_search"] : ["--no-new-privs"])
                    + [Programs.path("natterd"), "--data", world.data] + words,
                environment: ["HOME": world.directory.path]
            ).finish()
            #expect(outcome.code == 74 && outcome.errors.contains("permission denied"), "\(words): \(outcome)")
            #expect(access(world.data + "/store.db.rebuilt", F_OK) != 0, "\(words) has begun to make another")
        }
        #expect(chmod(world.data + "/store.db", 0o600) == 0)
        try expect(world.natterd("fsck"), hasNotes: true)
        #expect(access(world.data + "/quarantine", F_OK) != 0)
    }

    @Test("an erasure that the disk ends leaves nothing of the text, or says so by its status")
    func endedErasure() throws {
        let world = try World()
        world.stopServing()
        let secret = "Xylophonkonzert-7731"
        let lines = (1...3_000).map {
            JSON.line(
                ts: 1_700_000_000_000 + $0, sender: "x",
                text: "\($0 > 3 ? "the text of message" : secret) \($0 * 7_919) and more")
        }
        let file = try world.directory.write("in", lines.joined())
        try expect(world.natterd("import", "general", file), hasNotes: true)
        var codes: Set<Int32> = []
        for blocks in [10, 60, 100, 120, 160, 200, 300, 10_000] {
            let copy = world.directory.path + "/copy-\(blocks)"
            #expect(try ChildProcess("/bin/cp", ["-r", world.data, copy], environment: [:]).finish().code == 0)
            let erased = try ChildProcess(
                "/bin/sh",
                [
                    "-c", "ulimit -f \(blocks); exec \"$0\" \"$@\"", try Programs.path("natterd"), "--data", copy,
                    "erase",
                    "general", "1-3", "--yes",
                ], environment: ["HOME": world.directory.path, "SWIFT_BACKTRACE": "enable=no"]
            ).finish()
            codes.insert(erased.code)
            #expect([0, 74, 75].contains(erased.code), "\(blocks): \(erased)")
            #expect(erased.code != 0 || Files.holding(piecesOf: secret, below: copy) == [], "\(blocks): \(erased)")
            #expect(!erased.errors.contains("the same id"), "\(erased)")
            // Then the same command finishes it
            let again = try ChildProcess(
                Programs.path("natterd"), ["--data", copy, "erase", "general", "1-3", "--yes"],
                environment: ["HOME": world.directory.path]
            ).finish()
            #expect(again.code == 0 && Files.holding(piecesOf: secret, below: copy) == [], "\(blocks): \(again)")
        }
        #expect(codes.contains(0) && codes.contains(74), "\(codes)")
    }

    /// Runs natterd in a namespace of mounts, which changes the data directory.
    private func natterd(_ words: [String], _ world: World, in namespace: [String]) throws -> Outcome {
        try ChildProcess(
            "/usr/bin/unshare", namespace + [world.data, try Programs.path("natterd"), "--data", world.data] + words,
            environment: ["HOME": world.directory.path, "PATH": FileTests.systemPath]
        ).finish()
    }

    @Test(
        "on a full disk natterd's commands open the store by the room kept for that, or say what is missing",
        .enabled(if: FileTests.withoutRoom != nil && !PostgresCluster.servesTests, "nobody may mount anything here"))
    func fullData() throws {
        let world = try World(isServing: false)
        let namespace = try #require(FileTests.withoutRoom)
        func run(_ words: [String]) throws -> Outcome { try natterd(words, world, in: namespace) }
        for words in [["status"], ["user", "list"], ["export", "general"]] {
            let outcome = try run(words)
            #expect(outcome.code == 0, "\(words): \(outcome)")
        }
        #expect(unlink(world.data + "/reserve") == 0)
        try expect(run(["user", "list"]), 75, "store.db'; free some space")
    }

    @Test(
        "a home on a read-only disk can be read, and messages can be sent from it; what is new to it is 75",
        .enabled(if: FileTests.withReadOnly != nil, "nobody may mount anything here"))
    func readOnlyHome() throws {
        let world = try World(says: "one")
        try expect(world.alice("sync"))
        let before = Files.below(world.alice.home)
        let namespace = try #require(FileTests.withReadOnly)
        func run(_ words: [String]) throws -> Outcome { try self.run(words, world, in: namespace) }
        for command in [["log"], ["ls"], ["search", "one"], ["show", "general", "1"]] {
            let outcome = try run(command)
            #expect(outcome.code == 0 && outcome.output.contains("one"), "\(outcome)")
        }
        // There is something new that the replica can't take
        try world.bob.sends("two")
        for command in [["log"], ["show", "general", "1"]] {
            let outcome = try run(command)
            #expect(outcome.code == 75 && outcome.output == "" && isOneLine(outcome.errors), "\(outcome)")
            #expect(outcome.errors.contains("read-only") && outcome.errors.contains("--offline"), "\(outcome)")
            #expect(try run(command + ["--offline"]).output.contains("one"))
        }
        #expect(try run(["log", "-n", "1"]).output.contains("bob: two"))
        #expect(try run(["send", "three"]).code == 0)
        try expect(run(["send", "--offline", "--queue", "four"]), 73, isSilent: false)
        try expect(run(["sync"]), 74, isSilent: false)
        #expect(Files.below(world.alice.home) == before)
        #expect(try world.alice.texts("log") == ["one", "two", "three"])
        // The server has ended the session, which the home can't know
        try expect(run(["logout"]), 73, "on the server", isSilent: false)
        #expect(try world.alice("whoami").code == 77)
    }

    @Test("output to a full disk is 74 for every command that prints")
    func fullOutput() throws {
        let world = try World(says: "one")
        _ = try world.alice("sync")
        for words in [
            ["log"], ["users"], ["search", "one"], ["whoami"], ["send", "x", "--json"], ["help"], ["--version"],
        ] {
            let outcome = try world.alice.run(words, output: .path("/dev/full"))
            #expect(outcome.code == 74, "\(words)")
            if words[0] == "send" {
                #expect(outcome.errors.contains("the message was sent, but could not be printed"))
            }
            let closed = try world.alice.run(words, output: .closedPipe)
            #expect(closed.errors.isEmpty, "\(words)")
        }
    }
}
