internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("command lines, help, errors, environment")
struct UsageTests {
    private static let nobody = Result { () throws -> World in try World() }

    @Test("a word that is not UTF-8 is 64, with --json in one object")
    func notUTF8() throws {
        let world = try UsageTests.nobody.get()
        func send(_ option: String) throws -> Outcome {
            try ChildProcess(
                "/bin/sh", ["-c", #"exec "$0" send "$(printf '\377')" $1"#, Programs.path("natter"), option],
                environment: ["HOME": world.directory.path]
            ).finish()
        }
        try expect(send(""), 64)
        let object = try send("--json")
        #expect(object.code == 64)
        #expect(try JSON(parsing: object.errors)[object: "error"]?[string: "code"] == "usage")
    }

    @Test("--version, before everything else", arguments: ["natter", "natterd"])
    func version(program: String) throws {
        let outcome = try ChildProcess(Programs.path(program), ["--version"], environment: [:]).finish()
        #expect(outcome.code == 0 && outcome.errors.isEmpty)
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.first?.wholeMatch(of: /natterd? \d+\.\d+\.\d+/) != nil)
        // Then a line for each library inside, from which make-deb makes the package's list.
        let names =
            program == "natter"
            ? "SQLite LZ4 libsodium PCRE2 libevent OpenSSL libedit ncurses libbsd libmd Swift glibc"
            : "SQLite LZ4 libpq libsodium libmicrohttpd GnuTLS zlib libevent OpenSSL jemalloc Swift glibc"
        let named = lines.dropFirst().map { line in line.prefix { $0 != " " } }
        #expect(named == names.split(separator: " "))
        #expect(lines.allSatisfy { $0.contains(#/ \d+\.\d+/#) })
    }

    @Test("--home, NATTER_HOME, XDG_DATA_HOME and HOME, in this order")
    func home() throws {
        let world = try World()
        let natter = try world.alice.copyOfHome(world.directory)
        let stranger = world.person("stranger")
        #expect(try stranger("whoami").code == 77)
        #expect(try stranger("whoami", "--home", natter).output.hasPrefix("alice"))
        #expect(try stranger.run(["whoami"], environment: ["NATTER_HOME": natter]).output.hasPrefix("alice"))
        // A home of an earlier version, which has its settings in the directory of the data
        let xdg = String(natter.dropLast("/natter".count))
        #expect(try stranger.run(["whoami"], environment: ["XDG_DATA_HOME": xdg]).output.hasPrefix("alice"))
        #expect(!Files.isDirectory(stranger.natterSettings))
        let both = ["XDG_DATA_HOME": xdg, "NATTER_HOME": try world.bob.copyOfHome(world.directory)]
        #expect(try stranger.run(["whoami"], environment: both).output.hasPrefix("bob"))
        #expect(
            try stranger.run(["whoami", "--home", world.carol.copyOfHome(world.directory)], environment: both).output
                .hasPrefix("carol"))
    }

    @Test("settings and profiles lie in XDG_CONFIG_HOME, the rest in XDG_DATA_HOME; --home keeps everything in one")
    func directories() throws {
        let world = try World()
        let (config, data) = (world.directory("c"), world.directory("d"))
        let environment = ["XDG_CONFIG_HOME": config, "XDG_DATA_HOME": data]
        let dora = world.person("dora")
        let words = ["register", "dora", "--password-stdin"]
        try expect(try dora.run(words, environment: environment, input: World.typed), hasNotes: true)
        try expect(try dora.run(["config", "set", "color", "never"], environment: environment))
        try expectSuccess(try dora.run(["sync"], environment: environment))
        func names(_ path: String) throws -> Set<String> {
            Set(try FileManager.default.contentsOfDirectory(atPath: path))
        }
        #expect(try names("\(config)/natter").isSuperset(of: ["config", "profiles"]))
        #expect(try names("\(data)/natter").isDisjoint(with: ["config", "profiles"]))
        #expect(try names("\(data)/natter").contains("replicas"))
        #expect(Files.mode("\(config)/natter") == 0o700)
        let home = world.directory("one")
        try expect(
            try dora.enter("login", "dora", "--home", home), hasNotes: true)
        try expectSuccess(try dora.run(["sync", "--home", home]))
        #expect(try names(home).isSuperset(of: ["profiles", "replicas"]))
        #expect(!Files.isDirectory(dora.natterSettings) && !Files.isDirectory(dora.natterHome))
    }

    @Test("--server goes before NATTER_SERVER, and that before the profile's")
    func server() throws {
        let world = try World()
        let nowhere = "http://127.0.0.1:1"
        let profile = world.alice
        // The profile remembers alice's server, which is stopped.
        #expect(try profile.run(["whoami"], environment: ["NATTER_SERVER": ""]).code == 69)
        #expect(try profile.run(["whoami", "--server", world.url], environment: ["NATTER_SERVER": nowhere]).code == 0)
        #expect(try profile.run(["whoami", "--server", nowhere]).code == 69)
        // When alice logs in there, the profile remembers it.
        try expect(profile.enter("login", "alice"), hasNotes: true)
        #expect(try profile.run(["whoami"], environment: ["NATTER_SERVER": ""]).code == 0)
    }

    @Test("works under env -i HOME=…; without HOME the account's home or --home do")
    func emptyEnvironment() throws {
        let world = try World()
        let outcome = try ChildProcess(
            Programs.path("natter"),
            ["--home", world.alice.copyOfHome(world.directory), "--server", world.url, "whoami"],
            environment: [:]
        ).finish()
        #expect(outcome.code == 0 && outcome.errors.isEmpty)
    }

    @Test("--quiet leaves out notes, --verbose tells about requests on standard error")
    func verbosity() throws {
        let world = try World()
        let outcome = try world.alice("users", "--verbose")
        #expect(outcome.code == 0 && outcome.errors.contains("/v1/users"))
        let token = Files.text("\(world.alice.natterSettings)/profiles/default/token") ?? "?"
        #expect(!outcome.errors.contains(token.dropLast()))
    }
}
