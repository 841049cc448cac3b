internal import Glibc
internal import Testing
internal import TestSupport

@Suite("token")
struct TokenTests {
    private let world: World

    init() throws { world = try World() }

    /// Makes a token of alice's, in a file that only she can read.
    private func token(_ words: String...) throws -> String {
        let outcome = try world.alice.run(["token", "create"] + words)
        #expect(outcome.code == 0 && outcome.errors.isEmpty)
        let file = world.directory("token")
        try world.directory.write("token", outcome.bytes)
        chmod(file, 0o600)
        return file
    }

    /// A command of a program that has the token, a home of its own, and nothing else.
    private func robot(_ file: String, _ words: [String]) throws -> Outcome {
        try ChildProcess(
            Programs.path("natter"), words + ["--server", world.url, "--token-file", file],
            environment: ["HOME": world.directory("robot")]
        ).finish()
    }

    private func tokens(_ words: String...) throws -> [JSON] {
        try world.alice.run(["token", "ls", "--json"] + words).objects()
    }

    @Test("a job's token only sends to one conversation, without a login and with almost no environment")
    func send() throws {
        try expect(world.alice("group", "create", "ops"))
        let file = try token("--label", "cron job", "--scope", "send:ops", "--expires", "90d")
        let sent = try robot(file, ["send", "-c", "ops", "The backup is done"])
        #expect(sent.code == 0 && sent.bytes.isEmpty && sent.errors.isEmpty)
        for words in [
            ["send", "x"], ["pm", "bob", "x"], ["pm", "me", "x"], ["log", "ops"], ["log"], ["users"], ["sync"], ["ls"],
            ["export", "ops"], ["mark", "ops"], ["group", "members", "ops"],
            ["group", "create", "mine"], ["contact", "ls"], ["block", "bob"], ["token", "ls"],
            ["token", "create", "--scope", "all"], ["admin", "users"], ["logout", "--all"],
        ] {
            let outcome = try robot(file, words)
            #expect(outcome.code == 77 && isOneLine(outcome.errors) && outcome.bytes.isEmpty, "\(words): \(outcome)")
        }
        #expect(try world.alice.texts("log", "ops") == ["created", "The backup is done"])
        // Its owner sees its state
        let listed = try #require(try tokens().first)
        #expect(listed[string: "label"] == "cron job" && listed[string: "scope"] == "send:ops")
        #expect(listed[string: "address"] == "127.0.0.1" && listed[string: "last_used"] != nil)
        #expect(listed[string: "expires"] != nil && listed[string: "token"] == nil)
        // Renamed, it is the same conversation
        try expect(world.alice("group", "rename", "ops", "crew"))
        #expect(try robot(file, ["send", "-c", "crew", "again"]).code == 0)
        #expect(try robot(file, ["send", "-c", "ops", "x"]).code == 77)
    }

    @Test("a token that replaces another one for the same conversation goes on with its replica")
    func replaced() throws {
        try world.bob.sends("for all")
        let share = "robot/.local/share/natter/"
        /// The directories of replicas, or the names of files.
        func names(_ directory: String, _ place: Int) -> Set<String> {
            let files = world.directory.files().map { $0.dropFirst(world.directory.path.utf8.count + 1) }
            return Set(
                files.filter { $0.hasPrefix(share + directory + "/") }
                    .compactMap { $0.split(separator: "/").dropFirst(place).first.map(String.init) })
        }
        func reads(_ text: String) throws {
            let log = try robot(token("--scope", "read:general"), ["log", "general", "--json"])
            #expect(try log.code == 0 && log.objects().last?[string: "text"] == text, "\(log)")
        }
        try reads("for all")
        let replica = try #require(names("replicas", 5).first)
        // As an earlier natter named it, after the token
        let fingerprint = try #require(names("tokens", 5).first)
        let earlier = replica.split(separator: "-").prefix(2).joined(separator: "-") + "-" + fingerprint
        let path = world.directory(share + "replicas/")
        #expect(rename(path + replica, path + earlier) == 0)
        let again = try robot(world.directory("token"), ["log", "general", "--offline", "--json"])
        #expect(try again.objects().last?[string: "text"] == "for all", "\(again)")
        #expect(names("replicas", 5) == [replica])
        try world.bob.sends("for the next")
        try reads("for the next")
        #expect(names("replicas", 5) == [replica])
    }

    @Test("whose the token of a file is, natter knows without the server after it was told once")
    func whoseToken() throws {
        let file = try token("--scope", "send:general")
        func name() throws -> String? { try robot(file, ["status", "--json"]).objects().first?[string: "name"] }
        let unknown = try robot(file, ["whoami", "--offline"])
        #expect(try name() == nil && unknown.code == 69 && isOneLine(unknown.errors), "\(unknown)")
        #expect(try robot(file, ["whoami"]).code == 0)
        #expect(try name() == "alice" && robot(file, ["whoami", "--offline"]).output.hasPrefix("alice  "))
    }

    @Test("what a token for one conversation reads in its owner's home leaves the owner's replica as it is")
    func ownReplica() throws {
        try world.bob.sends("one")
        try expect(world.alice("sync"))
        let file = try token("--scope", "read:general")
        // Given news that the token gets, and news that it may not see
        try world.bob.sends("for alice", to: "@alice")
        try world.bob.sends("two")
        for words in [["log"], ["sync"], ["log", "--offline"]] {
            #expect(try world.alice.run(words + ["--token-file", file]).code == 0)
        }
        #expect(try world.alice.texts("log", "--offline", "--token-file", file) == ["one", "two"])
        let hidden = try world.alice("log", "@bob", "--token-file", file)
        #expect(hidden.code != 0 && hidden.bytes.isEmpty && isOneLine(hidden.errors), "\(hidden)")
        // Then the owner gets all of them
        #expect(try world.alice.texts("log", "@bob") == ["for alice"])
        #expect(try world.alice.texts("log") == ["one", "two"])
        #expect(try world.alice("verify").code == 0)
        // A user who forgets all that was synced keeps nothing of it
        try expect(world.alice("logout", "--forget"), hasNotes: true)
        let replicas = world.alice.home + "/replicas"
        #expect(Files.below(replicas) == [replicas])
    }

    @Test("the token is the last word, and is shown only there; with --json it is in the object")
    func secret() throws {
        let plain = try world.alice("token", "create", "--label", "one", "--scope", "send:general")
        let word = try #require(plain.lines.last?.split(separator: " ").last)
        #expect(word.utf8.count >= 43)
        let object = try #require(
            try world.alice("token", "create", "--scope", "read:general", "--expires", "1w", "--json").objects().first)
        let other = try #require(object[string: "token"])
        #expect(object[string: "scope"] == "read:general" && object[string: "label"] == "unnamed")
        #expect(other != word)
        // Without a scope it can do all, and a note says so
        let all = try world.alice("token", "create")
        #expect(all.code == 0 && isOneLine(all.errors) && all.lines.count == 1)
        try expect(world.alice("token", "create", "--quiet"), isSilent: false)
        #expect(try tokens().map { $0[string: "scope"] } == ["send:general", "read:general", "all", "all"])
        // Nobody keeps the words themselves
        let listed = try world.alice("token", "ls")
        #expect(listed.lines.count == 4)
        for secret in [String(word), other] {
            #expect(!listed.lines.joined().contains(secret))
            for path in Files.below(world.data) {
                #expect(Files.bytes(path)?.contains(Array(secret.utf8)) != true, "\(path)")
            }
        }
    }

    @Test("a token that could not be printed is named, so that it can be revoked", arguments: [[], ["--json"]])
    func unprinted(options: [String]) throws {
        let outcome = try world.alice.run(
            ["token", "create", "--scope", "send:general"] + options, output: .path("/dev/full"))
        #expect(outcome.code == 74, "\(outcome)")
        let id = try #require(outcome.errors.firstMatch(of: /natter token revoke (\d+)/)?.1)
        #expect(try world.alice("token", "revoke", String(id)).code == 0)
        #expect(try world.alice("token", "ls", "--json").objects().isEmpty)
    }

    @Test(
        "an impossible request is refused in one line",
        arguments: [
            (["token", "create", "--scope", "nix"], 64), (["token", "create", "--scope", "send:"], 64),
            (["token", "create", "--expires", "yesterday"], 64), (["token", "create", "--expires", "x"], 64),
            (["token", "create", "--scope", "send:nix"], 67), (["token", "create", "--scope", "read:@nix"], 67),
            (["token", "create", "--label", "", "--scope", "all"], 65), (["token", "revoke", "99"], 67),
            (["token", "create", "--label", "two\nlines", "--scope", "all"], 65),
            (["token", "revoke", "x"], 67), (["token", "revoke", "--session", "99"], 67), (["token", "revoke"], 64),
            (["token", "crate"], 64),
        ] as [([String], Int32)])
    func refused(words: [String], code: Int32) throws {
        let outcome = try world.alice.run(words)
        #expect(outcome.code == code && isOneLine(outcome.errors) && outcome.bytes.isEmpty, "\(outcome)")
        #expect(try tokens().isEmpty)
    }

    @Test(
        "a token comes from a file, a link, a pipe, a descriptor, standard input or a variable; the nearest one counts")
    func sources() throws {
        let file = try token("--scope", "send:general,read:general")
        let text = try #require(Files.text(file)).split(separator: "\n").first.map(String.init) ?? ""
        let home = world.directory("robot")
        func run(
            _ words: [String], _ variables: [String: String] = [:], input: ChildProcess.Stream = .nothing
        ) throws -> Outcome {
            try ChildProcess(
                Programs.path("natter"), words + ["--server", world.url],
                environment: ["HOME": home].merging(variables) { $1 }, input: input
            ).finish()
        }
        func shell(_ script: String) throws -> Outcome {
            try ChildProcess(
                "/bin/sh", ["-c", script, Programs.path("natter"), world.url, file],
                environment: ["HOME": home, "PATH": "/usr/bin:/bin"]
            ).finish()
        }
        // A mounted secret: a link to a file that all can read
        let secret = try world.directory.write("mounted", text)
        chmod(secret, 0o444)
        let link = world.directory("link")
        #expect(symlink("mounted", link) == 0)
        let mounted = try run(["send", "one", "--token-file", link])
        #expect(mounted.code == 0 && isOneLine(mounted.errors) && mounted.errors.contains("'\(link)'"), "\(mounted)")
        try expect(run(["send", "two"], ["NATTER_TOKEN": text]))
        // The line after the token is the message
        try expect(run(["send", "--token-file", "-"], input: .text("\(text)\nthree\n")))
        for script in [
            #"cat "$2" | "$0" send four --server "$1" --token-file /dev/stdin"#,
            #""$0" send five --server "$1" --token-file /dev/fd/3 3<"$2""#,
            #"mkfifo "$2.pipe" && { cat "$2" >"$2.pipe" & "$0" send six --server "$1" --token-file "$2.pipe"; }"#,
        ] {
            try expect(shell(script))
        }
        #expect(try world.alice.texts("log") == ["one", "two", "three", "four", "five", "six"])
        // The option before both variables, and the file before the token
        let bad = String(repeating: "A", count: 43)
        try world.directory.write("bad", bad)
        chmod(world.directory("bad"), 0o600)
        let named = ["NATTER_TOKEN_FILE": world.directory("bad"), "NATTER_TOKEN": text]
        #expect(try run(["whoami"], named).code == 77)
        #expect(try run(["whoami", "--token-file", file], named).code == 0)
        let refused = try run(["whoami"], ["NATTER_TOKEN": bad])
        #expect(refused.code == 77 && refused.errors.contains("'NATTER_TOKEN'") && !refused.errors.contains(bad))
        let none = try run(["whoami"], ["NATTER_TOKEN": "nonsense"])
        #expect(none.code == 78 && none.errors.contains("'NATTER_TOKEN'") && !none.errors.contains("nonsense"))
    }

    @Test("an empty token file: the error names it and what it should hold")
    func emptyFile() throws {
        try world.directory.write("empty", "\n")
        let file = world.directory("empty")
        chmod(file, 0o600)
        let outcome = try robot(file, ["whoami"])
        #expect(outcome.code == 78 && isOneLine(outcome.errors), "\(outcome)")
        #expect(outcome.errors.contains(file) && outcome.errors.contains("'natter token create'"))
    }
}
