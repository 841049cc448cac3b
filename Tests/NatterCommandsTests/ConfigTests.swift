import NatterCommandLine
import NatterSystem
import ServerSupport
import Testing
import TestSupport

@testable import NatterCommands

@Suite("config")
struct ConfigCommandTests {
    @Test("set keeps other settings, get prints, an empty value removes, and only the owner can read the file")
    func setAndGet() throws {
        let person = try Person(server: "http://127.0.0.1:1")
        #expect(person("config", "get") == .silent)
        #expect(person("config", "get", "timeout") == Outcome(code: 1, output: "", errors: ""))
        #expect(person("config", "set", "timeout", "2.5") == .silent)
        #expect(person("config", "set", "color", "never").code == 0)
        #expect(person("config", "set", "timeout", "5").code == 0)
        #expect(person("config", "get").lines == ["color = never", "timeout = 5"])
        #expect(person("config", "get", "timeout").output == "5\n")
        #expect(person("config", "get", "color", "--json").output == "{\"key\":\"color\",\"value\":\"never\"}\n")
        #expect(person("config", "set", "color", "").code == 0)
        #expect(Files.text("\(person.home)/config") == "timeout = 5\n")
        #expect(try PosixDisk().information("\(person.home)/config")?.mode == 0o600)
    }

    @Test("an unknown key is 64, a value that can't be 65, and neither changes anything")
    func refusals() throws {
        let person = try Person(server: "http://127.0.0.1:1")
        #expect(person("config", "set", "timeout", "5").code == 0)
        let unknown = person("config", "set", "timeuot", "5")
        #expect(unknown.code == 64 && unknown.errors.contains("'timeout'"))
        #expect(person("config", "get", "editor").code == 64)
        for (key, value) in [
            ("timeout", "0"), ("timeout", "-1"), ("timeout", "soon"), ("timeout", "5\ncolor = always"),
            ("color", "blue"), ("server", "nowhere"),
        ] {
            #expect(person("config", "set", key, value).code == 65, "\(key) \(value)")
        }
        #expect(Files.text("\(person.home)/config") == "timeout = 5\n")
    }

    @Test(
        "a value that would be read back differently, or not at all, is 65",
        arguments: [
            ("ca-file", "/tmp/a\nb"), ("ca-file", "/tmp/a\tb"), ("ca-file", "/tmp/a "), ("ca-file", "/tmp/\u{7F}"),
            ("lang", "ru_RU\nserver = http://x"), ("ca-file", "/" + String(repeating: "x", count: 17_000)),
            ("timeout", String(repeating: "0", count: 17_000) + "5"),
        ])
    func unreadable(key: String, value: String) throws {
        let person = try Person(server: "http://127.0.0.1:1")
        #expect(person("profile", "add", "work").code == 0)
        var commands = [["config", "set", key, value]]
        if key != "timeout" { commands.append(["profile", "set", "work", "\(key)=\(value)"]) }
        for words in commands {
            let outcome = person.run(words)
            #expect(outcome.code == 65 && outcome.errors.count { $0 == "\n" } == 1, "\(words) \(outcome)")
        }
        #expect(person("config", "get") == .silent)
        #expect(person("profile", "ls").lines.count == 1)
    }

    @Test("settings never grow beyond what natter reads")
    func large() throws {
        let person = try Person(server: "http://127.0.0.1:1")
        try person.directory.write("home/config", "#" + String(repeating: "x", count: 16_300) + "\n")
        let outcome = person("config", "set", "ca-file", "/" + String(repeating: "x", count: 100))
        #expect(outcome.code == 78 && outcome.errors.contains("would be longer than 16384 bytes"), "\(outcome)")
        #expect(person("config", "get") == .silent)
    }

    @Test("a setting applies unless an option, the environment or the profile overrides it")
    func order() throws {
        // Given a setting that leads to a server, and none in the environment
        let server = try TestServer()
        let person = try Person(server: "")
        let password = try person.directory.write("pw", "one good password")
        #expect(person("config", "set", "server", server.url).code == 0)
        // Then it counts for a first login, and an option and the environment count more
        let words = ["register", "alice", "--password-file", password, "--timeout", "5"]
        #expect(person.run(words, environment: ["NATTER_SERVER": "http://127.0.0.1:1"]).code == 69)
        #expect(person.run(words + ["--server", "http://127.0.0.1:1"]).code == 69)
        #expect(person.run(words).code == 0)
        // And it leads no session to another server
        #expect(person("config", "set", "server", "http://127.0.0.1:1").code == 0)
        #expect(person("whoami").code == 0)
    }

    @Test("colours by the setting, unless an option says otherwise; a file that is not right sets none")
    func color() throws {
        let person = try Person(server: "")
        func isPainted(_ words: String...) throws -> Bool {
            guard case .run(_, let arguments) = try ArgumentParser.parse(["ls"] + words, for: NatterProgram.spec) else {
                throw Failure("nothing to run")
            }
            let console = Console(
                output: .memory(), errors: .memory(), environment: Environment(["NATTER_HOME": person.home]),
                clock: SystemClock(), program: "natter")
            return Context(arguments, console).paint.isOn
        }
        #expect(try !isPainted())
        #expect(person("config", "set", "color", "always").code == 0)
        #expect(try isPainted())
        #expect(try !isPainted("--color", "never"))
        try person.directory.write("home/config", "color = always\ncolour = never\n")
        #expect(try !isPainted())
    }

    @Test("a bad file is reported when a command needs it, and set repairs it")
    func faulty() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        try alice.directory.write("home/config", "timeout = soon\n")
        let outcome = alice("sync")
        #expect(outcome.code == 78 && outcome.errors.contains("line 1"))
        #expect(alice("status").code == 0)
        #expect(alice("sync", "--timeout", "5").code == 0)
        #expect(alice("config", "set", "timeout", "5").code == 0)
        #expect(alice("sync").code == 0)
        // A file that others could have changed may lead a password anywhere
        try alice.directory.write("home/config", "timeout = 5\n", mode: 0o666)
        #expect(alice("sync").code == 77)
    }
}
