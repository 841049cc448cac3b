internal import Glibc
internal import Testing
internal import TestSupport

@Suite("status, doctor, config, passwd, completion")
struct StatusTests {
    private let oldPassword = World.password
    private let newPassword = "another horse altogether"

    @Test("status prints account, server, last sync, unread and queued messages, without a request")
    func status() throws {
        let world = try World()
        try world.bob.sends("one", "two")
        _ = try world.alice("sync")
        world.stopServing()
        #expect(try world.alice("send", "--queue", "later").code == 0)
        let outcome = try world.alice("status")
        #expect(outcome.code == 0 && outcome.errors.isEmpty)
        let lines = outcome.lines.map { $0.split(separator: " ").joined(separator: " ") }
        #expect(lines.count == 5)
        #expect(lines.first == "account alice" && lines.dropFirst().first == "server \(world.url)")
        #expect(lines.dropFirst(2).first?.wholeMatch(of: /last sync \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
        #expect(lines.suffix(2) == ["unread 2", "waiting to be sent 1"])
        let object = try #require(try world.alice("status", "--json").objects().first)
        #expect(object.names == ["aside", "last_sync", "name", "parked", "server", "unread", "waiting"])
        #expect(object[int: "unread"] == 2 && object[int: "waiting"] == 1 && object[int: "parked"] == 0)
    }

    @Test("on a narrow terminal, status and the statistics have their values")
    func narrow() throws {
        let world = try World()
        try expect(world.natterd("user", "promote", "alice"), hasNotes: true)
        let status = try Screen.show(world.alice, ["status"], columns: 20)
        #expect(status.text.contains("  alice\n") && status.text.contains("  \(world.url)\n"), "\(status)")
        let statistics = try Screen.show(world.alice, ["admin", "stats"], columns: 20)
        let accounts = statistics.text.split(separator: "\n").first { $0.hasPrefix("accounts ") }
        #expect(accounts?.hasSuffix(" 3") == true, "\(statistics)")
    }

    @Test("status --short prints nothing if nothing is unread or queued, also without a session")
    func short() throws {
        let world = try World()
        func short(_ person: Person) throws -> String {
            let outcome = try person("status", "--short")
            #expect(outcome.code == 0 && outcome.errors.isEmpty)
            return outcome.output
        }
        #expect(try short(world.alice) == "")
        #expect(try short(world.person("nobody")) == "")
        #expect(try world.person("nobody")("status").code == 77)
        try world.bob.sends("one", "two")
        // Nobody was asked
        #expect(try short(world.alice) == "")
        _ = try world.alice("sync")
        #expect(try short(world.alice) == "2\n")
        world.stopServing()
        #expect(try world.alice("send", "--queue", "later").code == 0)
        #expect(try short(world.alice) == "2+1\n")
        try world.serve()
        #expect(try world.alice("mark").code == 0)
        _ = try world.alice("sync")
        #expect(try short(world.alice) == "")
    }

    @Test("passwd takes both passwords from the first lines of a file")
    func passwdFile() throws {
        let world = try World()
        let file = try world.directory.write("passwords", "\(World.password)\nanother good one\n")
        #expect(try world.alice("passwd", "--password-file", file).code == 0)
        let short = try world.directory.write("short", "another good one\n")
        try expect(world.alice("passwd", "--password-file", short), 65, "no password came from")
        #expect(try world.alice("passwd", "--password-file", file, "--password-stdin").code == 64)
    }

    @Test("passwd: only the new password works, and every other session has ended")
    func passwd() throws {
        let world = try World()
        let elsewhere = world.person("elsewhere")
        func login(with password: String) throws -> Int32 {
            try elsewhere.run(["login", "alice", "--password-stdin"], input: .text("\(password)\n")).code
        }
        #expect(try login(with: oldPassword) == 0)
        let outcome = try world.alice.run(
            ["passwd", "--password-stdin"], input: .text("\(oldPassword)\n\(newPassword)\n"))
        #expect(outcome.code == 0 && outcome.bytes.isEmpty && outcome.errors.isEmpty)
        #expect(try elsewhere("whoami").code == 77)
        #expect(try world.alice("send", "still here").code == 0)
        #expect(try login(with: oldPassword) == 77)
        #expect(try login(with: newPassword) == 0)
    }

    @Test(
        "passwd that is refused changes nothing",
        arguments: [
            ("wrong password\nanother one\n", 77), ("\(World.password)\nshort77\n", 65), ("\(World.password)\n", 65),
            ("", 65),
        ] as [(String, Int32)])
    func passwdRefused(input: String, code: Int32) throws {
        let world = try World()
        let outcome = try world.alice.run(["passwd", "--password-stdin"], input: .text(input))
        #expect(outcome.code == code && isOneLine(outcome.errors) && outcome.bytes.isEmpty)
        // Never asked without a terminal, never an argument
        let asked = try world.alice("passwd")
        #expect(asked.code == 64 && asked.errors.contains("--password-stdin"))
        #expect(try world.alice("passwd", "another one").code == 64)
        #expect(try world.person("nobody")("passwd", "--password-stdin").code == 77)
        try expectSuccess(world.alice.run(["login", "alice", "--password-stdin"], input: .text("\(oldPassword)\n")))
    }

    @Test("a user's name is completed with '@' and without")
    func names() throws {
        let world = try World()
        try world.alice.sends("hello", to: "@bob")
        _ = try world.bob("sync")
        for words in [["pm"], ["contact", "add"], ["log", "--from"]] {
            func offered(_ start: String) throws -> [String] {
                try world.bob.run(["__complete", "words"] + words + [start]).lines
            }
            #expect(try offered("@al").contains("@alice") && !offered("@al").contains("alice"), "\(words)")
            #expect(try offered("al").contains("alice"), "\(words)")
        }
    }

    @Test("completion prints a script for each of the shells, without an account", arguments: ["bash", "zsh", "fish"])
    func completion(shell: String) throws {
        let world = try World(isServing: false)
        let outcome = try world.person("nobody").alone("completion", shell)
        #expect(outcome.code == 0 && outcome.errors.isEmpty)
        #expect(outcome.output.contains("natter __complete"))
        #expect(try world.person("nobody").alone("__complete", "words", "ver").output.contains("verify\t"))
        #expect(try world.person("nobody").alone("__complete", "words", "--lang", "").lines == ["words", "en", "ru"])
        #expect(try world.person("nobody").alone("__complete", "words", "config", "get", "").lines.contains("ca-file"))
        try expect(world.person("nobody").alone("profile", "add", "work", "server=http://127.0.0.1:9"))
        for words in [["profile", "rm"], ["--profile"]] {
            let offered = try world.person("nobody").alone.run(["__complete", "words"] + words + [""])
            #expect(offered.lines == ["words", "work"])
        }
        #expect(try world.person("nobody").alone("completion", "tcsh").code == 64)
    }
}
