internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

/// Something else stands where a program keeps a file of its own: no program waits for it for ever, writes through it, or
/// makes what it points to.
@Suite("links, pipes and directories in the place of files")
struct OddFileTests {
    @Test(
        "a file of the home that may not be opened is 66",
        arguments: ["profiles/default/account", "profiles/default/token"])
    func unreadable(file: String) throws {
        let world = try World()
        #expect(chmod("\(world.alice.natterSettings)/\(file)", 0) == 0)
        try expect(withoutRights(["whoami"], of: world.alice, at: world.url), 66, file)
    }

    /// Runs natter as a user who may open no file of others: root may, unless it gives that up.
    private func withoutRights(_ words: [String], of person: Person, at url: String) throws -> Outcome {
        try ChildProcess(
            "/usr/bin/setpriv",
            (geteuid() == 0 ? ["--bounding-set", "-dac_override,-dac_read_search"] : ["--no-new-privs"])
                + [Programs.path("natter")] + words,
            environment: ["HOME": person.home, "NATTER_SERVER": url]
        ).finish()
    }

    @Test("a home that may not be read does not keep a job from sending with a token and a server of its own")
    func lockedHome() throws {
        let world = try World()
        let token = try world.directory.write("token", try world.alice.token())
        chmod(token, 0o600)
        let directories = [world.alice.natterSettings, world.alice.natterHome]
        for directory in directories { chmod(directory, 0) }
        defer { for directory in directories { chmod(directory, 0o700) } }
        try expectSuccess(withoutRights(["send", "--token-file", token, "done"], of: world.alice, at: world.url))
        #expect(try world.bob.texts("log") == ["done"])
    }

    @Test("a replica that may not be opened: the error names the system's reason, and doctor the permission")
    func unreadableReplica() throws {
        let world = try World()
        try world.bob.sends("one")
        try expect(world.alice("sync"))
        func run(_ words: String...) throws -> Outcome { try withoutRights(words, of: world.alice, at: world.url) }
        func file(_ suffix: String) throws -> String {
            try #require(Files.below("\(world.alice.natterHome)/replicas").first { $0.hasSuffix(suffix) })
        }
        let database = try file("/replica.db")
        chmod(database, 0)
        #expect(try run("log", "--offline").errors.contains("permission denied"))
        chmod(database, 0o600)
        chmod(try file(".lock"), 0o400)
        let doctor = try run("doctor")
        #expect(doctor.output.contains("the right to it") && !doctor.output.contains("natter verify"), "\(doctor)")
    }

    enum Kind: String, CaseIterable, Sendable {
        case link, danglingLink, pipe, directory
    }

    /// Another user's file, and a missing one.
    private struct Outside {
        let victim: String
        let missing: String
        private static let content = "not yours\n"

        init(_ directory: TemporaryDirectory) throws {
            victim = try directory.write("victim", Outside.content)
            missing = directory("missing")
        }

        func place(_ kind: Kind, at path: String) throws {
            let code =
                switch kind {
                case .link: symlink(victim, path)
                case .danglingLink: symlink(missing, path)
                case .pipe: mkfifo(path, 0o600)
                case .directory: mkdir(path, 0o700)
                }
            guard code == 0 else { throw Failure("cannot place \(kind) at '\(path)': \(errno)") }
        }

        func expectUntouched(_ what: String) {
            #expect(Files.text(victim) == Outside.content, "\(what)")
            #expect(access(missing, F_OK) != 0, "\(what)")
        }
    }

    /// One line with the problem, and its exit code.
    private func expectRefusal(_ outcome: Outcome, _ what: String) {
        #expect([65, 66, 69, 73, 74, 75, 77, 78].contains(outcome.code), "\(what): \(outcome)")
        #expect(isOneLine(outcome.errors), "\(what): \(outcome)")
    }

    @Test("in natterd's directory", arguments: Kind.allCases)
    func server(kind: Kind) throws {
        let directory = try TemporaryDirectory()
        let outside = try Outside(directory)
        let names = [
            "natterd.conf", "store.db", "store.db-wal", "search.db", "natterd.sock", "logs", "quarantine",
        ]
        for name in names {
            let data = directory("data-\(name)")
            guard mkdir(data, 0o700) == 0 else { throw Failure("mkdir: \(errno)") }
            try outside.place(kind, at: "\(data)/\(name)")
            let what = "\(kind) at \(name)"
            let serving = try ChildProcess(
                Programs.path("natterd"), ["serve", "--data", data, "--listen", "127.0.0.1:0"],
                environment: ["HOME": directory.path, "SWIFT_BACKTRACE": "enable=no"])
            // It starts, or says why not.
            if let line = try? serving.line(), line.hasPrefix("natterd: listening") {
                #expect(serving.finish(after: SIGTERM).code == 0, "\(what)")
            } else {
                let outcome = serving.finish()
                expectRefusal(outcome, what)
                if name == "store.db", kind == .directory {
                    #expect(outcome.errors.contains("\(data)/store.db': is a directory"), "\(outcome)")
                }
            }
            outside.expectUntouched(what)
        }
    }

    @Test("directories behind a link, as /home often is, are those that it leads to")
    func linkedParents() throws {
        let directory = try TemporaryDirectory()
        guard mkdir(directory("real"), 0o700) == 0, symlink("real", directory("linked")) == 0 else {
            throw Failure("cannot place a link: \(errno)")
        }
        let server = try Daemon(data: directory("linked/data"))
        let alice = Person(name: "alice", home: directory("linked/home"), server: server.url)
        let password = try directory.write("password", "the password of alice\n")
        #expect(try alice.run(["register", "alice", "--password-file", password]).code == 0)
        try alice.sends("one")
        try expectSuccess(alice.run(["send", "--offline", "--queue", "two"]))
        #expect(try alice.texts("log") == ["one", "two"])
        try expectSuccess(alice.run(["search", "one"]))
        #expect(server.stop().code == 0)
        try expectSuccess(Daemon.run(["fsck", "--data", directory("linked/data")], home: directory.path))
    }

    @Test("a directory in the environment that is not UTF-8 is refused: no other one is used")
    func foreignBytes() throws {
        let directory = try TemporaryDirectory()
        for name in ["NATTER_HOME", "HOME", "XDG_DATA_HOME"] {
            try expect(
                ChildProcess(
                    "/bin/sh",
                    [
                        "-c", "export \(name)=\"$0\"$(printf '\\377'); exec \"$1\" whoami", directory("home"),
                        Programs.path("natter"),
                    ], environment: ["HOME": directory.path]
                ).finish(), 64, "\(name) is not UTF-8")
        }
        #expect(Files.below(directory.path) == [directory.path])
    }

    @Test("in natter's directory", arguments: Kind.allCases)
    func client(kind: Kind) throws {
        let world = try World()
        let outside = try Outside(world.directory)
        let alice = world.alice
        try alice.sends("one")
        for words in [["log"], ["search", "one"], ["config", "set", "color", "never"]] {
            #expect(try alice.run(words).code == 0)
        }
        let files = (Files.below(alice.natterHome) + Files.below(alice.natterSettings)).filter {
            !Files.isDirectory($0) && !$0.hasSuffix("-shm")
        }
        #expect(files.count >= 4)
        for path in files {
            let what = "\(kind) at \(path.dropFirst(alice.home.count + 1))"
            guard rename(path, path + ".aside") == 0 else { continue }
            try outside.place(kind, at: path)
            for words in [
                ["log"], ["send", "two"], ["status"], ["outbox", "ls"], ["config", "set", "color", "auto"],
            ] {
                let outcome = try alice.run(words)
                if outcome.code != 0 { expectRefusal(outcome, "\(words), \(what)") }
            }
            outside.expectUntouched(what)
            _ = try? FileManager.default.removeItem(atPath: path)
            rename(path + ".aside", path)
        }
        #expect(try alice("log").code == 0)
    }

    @Test("files named on a command line", arguments: Kind.allCases)
    func named(kind: Kind) throws {
        let world = try World()
        let outside = try Outside(world.directory)
        try world.alice.sends("one")
        // Scripts pass passwords through pipes, so a pipe is read. This one has no writer.
        for words in [["log", "--cursor-file"], ["log", "--all", "--cursor-file"], ["whoami", "--token-file"]] {
            let path = world.directory("odd")
            try outside.place(kind, at: path)
            let outcome = try world.alice.run(words + [path])
            if outcome.code != 0 { expectRefusal(outcome, "\(words), \(kind)") }
            #expect(words[0] == "log" ? kind == .danglingLink || outcome.code == 66 : outcome.code != 0, "\(outcome)")
            outside.expectUntouched("\(words), \(kind)")
            _ = try? FileManager.default.removeItem(atPath: path)
        }
    }
}
