internal import Foundation
internal import Testing
internal import TestSupport

/// Each payload goes into each field, by HTTP, by the command line and by an import; then everything that prints for people
/// is asked to print it, into a pipe and onto a terminal.
@Suite("hostile names and texts")
struct HostileTextTests {
    /// Puts a payload into every field of the API that takes a text.
    private func plant(_ payload: String, _ world: World, token: String) throws {
        let encoded = HostileText.percentEncoded(payload)
        func ask(_ method: String, _ target: String, _ fields: [String: String] = [:], _ headers: [String] = []) throws
        {
            let body = method == "GET" || method == "DELETE" ? [] : HostileText.object(fields)
            let answer = try RawRequest.send(
                method, target, to: world.url, token: token, headers: headers, body: body)
            #expect(answer.status < 500, "\(method) \(target): \(answer.status)")
            #expect(HostileText.dangers(in: Array(answer.head.utf8).filter { $0 != 0x0D }).isEmpty, "\(answer.head)")
        }
        try ask("POST", "/v1/messages", ["conversation": "general", "text": payload])
        try ask("POST", "/v1/messages", ["conversation": "@bob", "text": payload, "id": payload])
        try ask("POST", "/v1/messages", ["conversation": payload, "text": "x"])
        try ask("POST", "/v1/messages?stop=" + encoded, ["conversation": "general", "text": "x"])
        for name in [payload, "x" + payload] {
            try ask("POST", "/v1/groups", ["name": name])
            try ask("POST", "/v1/register", ["name": name, "password": "short"])
            try ask("PUT", "/v1/contacts/" + HostileText.percentEncoded(name))
        }
        try ask("POST", "/v1/tokens", ["label": payload, "scope": "all", "expires": "1d"])
        try ask("POST", "/v1/tokens", ["label": "x", "scope": "send:" + payload, "expires": payload])
        try ask("POST", "/v1/login", ["name": payload, "password": payload])
        for target in [
            "/v1/conversations/\(encoded)", "/v1/conversations/\(encoded)/messages", "/v1/users?q=\(encoded)",
            "/v1/search?q=\(encoded)", "/v1/conversations/general/messages?from=\(encoded)&after=\(encoded)",
            "/v1/sync?cursor=\(encoded)", "/v1/blocks/\(encoded)/1-0", "/v1/register?name=\(encoded)", "/\(encoded)",
            "/v1/groups/\(encoded)/members", "/v1/conversations/general/messages?since=\(encoded)&\(encoded)=1",
        ] {
            try ask("GET", target)
        }
        try ask("GET", "/v1/whoami", [:], ["User-Agent: \(payload)", "X-Forwarded-For: \(payload)"])
    }

    /// Every command that prints other people's text.
    private let plainCommands: [[String]] = [
        ["log"], ["log", "--all"], ["log", "@alice"], ["ls"], ["users"], ["status"], ["status", "--short"],
        ["outbox", "ls"], ["contact", "ls"], ["token", "ls"], ["verify"], ["doctor"], ["whoami"],
        ["sync", "--verbose"],
        ["search", "x"], ["search", "--substring", "forged"], ["group", "members", "club"],
    ]

    /// Those that take a word, with this one.
    private func commands(_ payload: String) -> [[String]] {
        let taking: [[String]] = [
            ["log", "--"], ["log", "--from"], ["log", "--after"], ["log", "--since"], ["search", "--"],
            ["users", "--"],
            ["search", "--regex"], ["mark", "--"], ["export", "--"], ["verify", "--"], ["pm", "--"], ["sync", "--"],
            ["group", "create", "--"], ["group", "members", "--"], ["contact", "add", "--"], ["token", "revoke", "--"],
            ["help"], ["config", "get"], ["--profile"], ["--server"], ["send", "-c"],
            ["--token-file"], ["--lang"], ["status", "--profile"],
        ]
        if payload.utf8.contains(0) { return [] }
        return taking.map { $0 + [payload] + ($0.first == "pm" ? ["x"] : []) }
    }

    @Test("the checker of hostile text finds each danger")
    func judge() {
        #expect(HostileText.dangers(in: Array("a\tb\n\u{1B}[2J\u{9B}\u{202E}Я".utf8)) == ["U+1b", "U+202e", "U+9b"])
        #expect(HostileText.dangers(in: [0x61, 0x9B]).count == 1)
        #expect(HostileText.payloads.count { !HostileText.dangers(in: Array($0.utf8)).isEmpty } > 20)
    }

    @Test(
        "nothing acts on a terminal, nothing is forged, nothing lies outside the directories",
        arguments: ["text", "json"])
    func everywhere(logFormat: String) throws {
        // Given every payload in every field
        let world = try World(isServing: false)
        try world.serve(["--log-level", "debug", "--log-format", logFormat])
        _ = try world.alice("sync")
        let token = try world.alice.token()
        _ = try RawRequest.send(
            "POST", "/v1/groups", to: world.url, token: token, body: HostileText.object(["name": "club"]))
        for payload in HostileText.payloads { try plant(payload, world, token: token) }
        world.stopServing()
        let lines = HostileText.payloads.map { payload in
            JSON.line(ts: 1, sender: String(payload.prefix(12)), text: payload)
        }
        // Labels that are none are refused, each with a line that can be read; the others are taken.
        for line in lines {
            let outcome = try world.natterd("import", "--old", "imported", "-", input: .text(line))
            #expect(outcome.code == 0 || outcome.code == 65)
            #expect(HostileText.dangers(in: Array(outcome.errors.utf8)).isEmpty, "\(outcome.errors)")
        }
        let named = HostileText.payloads.filter { !$0.utf8.contains(0) }.flatMap { payload in
            [
                ["export", "--", payload], ["user", "disable", "--", payload], ["import", "--", payload, "/dev/null"],
                [payload],
            ]
        }
        for words in [["fsck"], ["status"], ["clients"], ["user", "list"]] + named {
            let outcome = try Daemon.run(["--data", world.data] + words, home: world.directory.path)
            #expect(HostileText.dangers(in: outcome.bytes + Array(outcome.errors.utf8)).isEmpty, "\(words)")
        }
        try world.serve(["--log-format", logFormat])

        // Then no output for people has anything of it left that does something
        let bob = world.bob
        // (Once is enough for what is not the server's log.)
        for words in logFormat == "text" ? plainCommands + HostileText.payloads.flatMap(commands) : plainCommands {
            let outcome = try bob.run(words)
            #expect(outcome.code < 128, "\(words)")
            let isJSON = words.first == "export"
            let dangers = HostileText.dangers(in: (isJSON ? [] : outcome.bytes) + Array(outcome.errors.utf8))
            #expect(dangers.isEmpty, "\(words): \(dangers)")
        }
        // A line of a text can't be taken for a message of its own.
        #expect(try bob("log").lines.allSatisfy { !$0.contains("Z root: forged") || !$0.hasPrefix("2026-11-20T07:24") })
        let log = try #require(Files.text(world.data + ".log"))
        #expect(HostileText.dangers(in: Array(log.utf8)).isEmpty)
        if logFormat == "json" {
            for line in log.split(separator: "\n") where line.hasPrefix("{") { _ = try JSON(parsing: String(line)) }
        }
        try expectNothingOutside(world)
    }

    @Test(
        "on a terminal too",
        arguments: [
            "natter log --all", "natter ls", "natter users", "natter search x", "natter search --substring forged",
            "natter log --json", "natter export general", "natterd export general", "natterd export --raw general",
        ])
    func terminal(command: String) throws {
        let world = try World()
        let token = try world.alice.token()
        for payload in HostileText.payloads {
            _ = try RawRequest.send(
                "POST", "/v1/messages", to: world.url, token: token,
                body: HostileText.object(["conversation": "general", "text": "x " + payload]))
        }
        _ = try world.bob("sync")
        let words = command.split(separator: " ", maxSplits: 1).map(String.init)
        let outcome = try ChildProcess(
            "/usr/bin/script", ["-qec", "'\(try Programs.path(words[0]))' \(words[1])", "/dev/null"],
            environment: [
                "HOME": world.bob.home, "NATTERD_DATA": world.data, "PATH": "/usr/bin:/bin", "NATTER_SERVER": world.url,
                "TERM": "xterm",
                "NO_COLOR": "1", "NATTER_PAGER": "cat", "TZ": "UTC", "LC_ALL": "C.UTF-8",
            ]
        ).finish()
        #expect(outcome.code == 0 && !outcome.bytes.isEmpty, "\(outcome)")
        // The terminal itself makes CR LF of each line break.
        let shown = outcome.output.replacingOccurrences(of: "\r\n", with: "\n")
        #expect(HostileText.dangers(in: Array(shown.utf8)).isEmpty)
    }

    /// All files that were made lie below the directories of the world, by names that the programs give.
    private func expectNothingOutside(_ world: World) throws {
        let known: Set = ["data", "data.log", "alice", "bob", "carol"]
        let made = try FileManager.default.contentsOfDirectory(atPath: world.directory.path)
        #expect(Set(made).isSubset(of: known), "\(made)")
        for path in Files.below(world.data) + Files.below(world.directory("bob")) {
            let name = path.dropFirst(world.directory.path.count)
            #expect(!name.contains("escaped") && !name.contains("AAAA"), "\(name)")
            #expect(name.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value < 0x7F }, "\(name)")
        }
        #expect(!FileManager.default.fileExists(atPath: "/tmp/natter-escaped"))
    }
}
