internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("command lines, help, errors, environment")
struct UsageTests {
    private static let commands = [
        "register", "login", "logout", "whoami", "send", "pm", "log", "users", "search", "sync", "serve", "help",
    ]
    private static let nobody = Result { () throws -> World in try World() }

    private func run(_ words: [String], environment: [String: String] = [:]) throws -> Outcome {
        try UsageTests.nobody.get().person("nobody").run(words, environment: environment)
    }

    @Test("natter alone prints the commands, grouped; so do help and --help")
    func overview() throws {
        let alone = try run([])
        #expect(alone.code == 0 && alone.errors.isEmpty)
        for command in UsageTests.commands { #expect(alone.output.contains("\n  \(command) ")) }
        #expect(try run(["help"]).bytes == alone.bytes)
        #expect(try run(["--help"]).bytes == alone.bytes)
        #expect(!alone.output.lowercased().contains("not yet"))
    }

    @Test("'help CMD' is 'CMD --help', and needs no account", arguments: UsageTests.commands)
    func help(command: String) throws {
        let page = try run(["help", command])
        #expect(page.code == 0 && page.errors.isEmpty)
        #expect(page.output.contains("usage: natter \(command)"))
        #expect(try run([command, "--help"]).bytes == page.bytes)
        #expect(try run(["--help", command]).bytes == page.bytes)
    }

    @Test(
        "a misspelt command or option is 64 and gets the nearest",
        arguments: [
            (["lgo"], "log"), (["serch", "x"], "search"), (["help", "snyc"], "sync"),
            (["log", "--sinse", "today"], "--since"),
            (["regsiter"], "register"), (["rm", "3"], "natter delete"), (["leave", "ops"], "natter group leave"),
            (["reply", "3"], "natter send --re SEQ"), (["unread"], "natter log --unread"),
            (["admin", "user", "delete", "bob"], "natter admin user disable"),
        ])
    func misspelt(words: [String], nearest: String) throws {
        let outcome = try run(words)
        #expect(outcome.code == 64 && isOneLine(outcome.errors) && outcome.errors.contains("'\(nearest)'"))
    }

    @Test(
        "missing, surplus and unknown words are 64",
        arguments: [
            ["register"], ["login"], ["pm"], ["register", "a", "b"], ["whoami", "x"], ["logout", "x"],
            ["users", "a", "b"],
            ["search"], ["log", "a", "b"], ["xyzzy"], ["--nix"], ["-x"], ["log", "--home"],
            ["--color", "pink", "log"], ["--timeout", "x", "whoami"], ["--timeout", "0", "log"],
            ["--offline=yes", "log"], ["help", "xyzzy"], ["--home", "", "whoami"],
        ])
    func usage(words: [String]) throws {
        let outcome = try run(words)
        #expect(outcome.code == 64 && isOneLine(outcome.errors) && outcome.bytes.isEmpty)
    }

    @Test("a word that is not UTF-8 is 64, with --json in one object")
    func notUTF8() throws {
        let world = try UsageTests.nobody.get()
        func send(_ option: String) throws -> Outcome {
            try ChildProcess(
                "/bin/sh", ["-c", #"exec "$0" send "$(printf '\377')" $1"#, Programs.path("natter"), option],
                environment: ["HOME": world.directory.path]
            ).finish()
        }
        let outcome = try send("")
        #expect(outcome.code == 64 && isOneLine(outcome.errors))
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

    @Test("with --json an error is one object on standard error, wherever the option is")
    func jsonErrors() throws {
        let world = try World()
        let cases: [([String], Int32)] = [
            (["--json", "xyzzy"], 64), (["log", "--json", "-n", "x"], 64), (["send", "--json", ""], 65),
            (["log", "nix", "--json"], 67), (["--json", "whoami", "--server", "http://127.0.0.1:1"], 69),
            (["--json", "whoami", "--token-file", "/nix"], 66), (["--json", "whoami", "--server", "nonsense://"], 64),
        ]
        for (words, code) in cases {
            let outcome = try world.alice.run(words)
            #expect(outcome.code == code && outcome.bytes.isEmpty, "\(words)")
            #expect(outcome.errors.hasSuffix("}\n") && outcome.errors.dropLast().allSatisfy { $0 != "\n" })
            let error = try #require(JSON(parsing: outcome.errors)[object: "error"])
            #expect(error[string: "code"]?.isEmpty == false && error[string: "message"]?.isEmpty == false)
        }
    }

    @Test("an error never carries control characters of a name to a terminal")
    func escapedErrors() throws {
        let world = try UsageTests.nobody.get()
        for words in [["log", "\u{1B}[2J"], ["send", "-c", "\u{1B}[2J\u{9B}", "x"], ["\u{1B}x"]] {
            let outcome = try world.alice.run(words)
            #expect(outcome.code != 0 && isOneLine(outcome.errors))
            #expect(!outcome.errors.unicodeScalars.contains { $0 == "\u{1B}" || $0 == "\u{9B}" })
        }
    }

    @Test("options stand before or after the command, as two words or with '='")
    func placement() throws {
        let world = try World()
        try world.alice.sends("one", "two")
        let expected = try world.alice("log", "-n", "1", "--json").bytes
        for words in [
            ["--json", "log", "-n", "1"], ["log", "--json", "-n1"], ["log", "--number=1", "--json"],
            ["--server", world.url, "log", "general", "-n", "1", "--json"],
            ["--json", "log", "-n", "1", "--", "general"],
        ] {
            #expect(try world.alice.run(words).bytes == expected, "\(words)")
        }
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
        let password = ChildProcess.Stream.bytes(Array("\(World.password)\n".utf8))
        let words = ["register", "dora", "--password-stdin"]
        try expect(try dora.run(words, environment: environment, input: password), hasNotes: true)
        try expect(try dora.run(["config", "set", "color", "never"], environment: environment))
        try expect(try dora.run(["sync"], environment: environment), isSilent: false, hasNotes: true)
        func names(_ path: String) throws -> Set<String> {
            Set(try FileManager.default.contentsOfDirectory(atPath: path))
        }
        #expect(try names("\(config)/natter").isSuperset(of: ["config", "profiles"]))
        #expect(try names("\(data)/natter").isDisjoint(with: ["config", "profiles"]))
        #expect(try names("\(data)/natter").contains("replicas"))
        #expect(Files.mode("\(config)/natter") == 0o700)
        let home = world.directory("one")
        try expect(
            try dora.run(["login", "dora", "--password-stdin", "--home", home], input: password), hasNotes: true)
        try expect(try dora.run(["sync", "--home", home]), isSilent: false, hasNotes: true)
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
        let login = try profile.run(
            ["login", "alice", "--password-stdin"], input: .bytes(Array("\(World.password)\n".utf8)))
        #expect(login.code == 0)
        #expect(try profile.run(["whoami"], environment: ["NATTER_SERVER": ""]).code == 0)
    }

    @Test(
        "an invalid address is 64 as an option, 78 in the configuration",
        arguments: ["nonsense", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999"])
    func badServer(address: String) throws {
        let world = try World(isServing: false)
        let given = try world.alice("whoami", "--server", address)
        #expect(given.code == 64 && isOneLine(given.errors))
        let configured = try world.alice.run(["whoami"], environment: ["NATTER_SERVER": address])
        #expect(configured.code == 78 && isOneLine(configured.errors))
    }

    @Test("a server that speaks something else is 76")
    func otherServer() throws {
        let world = try World(isServing: false)
        // What answers is a web server of another kind.
        let script = """
            import http.server
            class H(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    self.send_response(200); self.end_headers(); self.wfile.write(b'<html>hello</html>')
                do_POST = do_GET
                def log_message(self, *a): pass
            s = http.server.HTTPServer(('127.0.0.1', 0), H)
            print(s.server_port, flush=True)
            s.serve_forever()
            """
        guard access("/usr/bin/python3", X_OK) == 0 else { return }
        let other = try ChildProcess("/usr/bin/python3", ["-c", script], environment: [:])
        let address = "http://127.0.0.1:\(try other.line())"
        for words in [["whoami"], ["users"], ["sync"], ["send", "x", "--json"]] {
            let outcome = try world.alice.run(words + ["--server", address])
            #expect(
                outcome.code == 76 && isOneLine(outcome.errors) || words.contains("--json") && outcome.code == 76,
                "\(words)")
        }
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

    @Test("no colour in a pipe unless asked for; NO_COLOR and --color never")
    func color() throws {
        let world = try World()
        try world.alice.sends("one")
        for words in [["log"], ["log", "--color", "auto"], ["log", "--color=never"], ["users"], ["search", "one"]] {
            #expect(try !world.alice.run(words).output.contains("\u{1B}"))
        }
    }
}
