internal import Foundation
internal import Testing
internal import TestSupport

/// A server that answers anything at all. `NATTER_HOSTILE_RUNS` makes the run longer, `NATTER_HOSTILE_SEED` is its first
/// seed.
@Suite("a hostile server")
struct HostileServerTests {
    /// Every command that asks a server.
    private static let commands: [[String]] = [
        ["whoami"], ["passwd", "--password-stdin"], ["logout"], ["login", "alice", "--password-stdin"],
        ["register", "dave", "--password-stdin"], ["send", "hello"], ["send", "--queue", "later"],
        ["send", "--lines"], ["pm", "bob", "hello"], ["send", "@bob", "--json"], ["outbox", "retry"],
        ["log"], ["log", "-n", "5"], ["log", "--all", "--json"], ["log", "--after", "1"],
        ["log", "--cursor-file", "F"],
        ["log", "--unread", "--mark"], ["log", "--reverse"], ["log", "@bob"], ["log", "--around", "3"],
        ["sync"], ["sync", "--wait", "1"], ["users"], ["users", "--online", "--json"], ["users", "--recent"],
        ["search", "message"], ["ls"], ["ls", "--json"], ["mark"], ["mark", "general", "2"], ["status"],
        ["status", "--short"], ["doctor"], ["verify"], ["export", "general"], ["group"], ["group", "create", "crew"],
        ["group", "members", "team"], ["group", "add", "team", "bob"], ["group", "rename", "team", "tram"],
        ["group", "join", "team"], ["group", "leave", "team"], ["group", "promote", "team", "bob"],
        ["contact"], ["contact", "add", "bob"], ["block", "bob"], ["unblock", "bob"], ["token"],
        ["token", "create", "--label", "l"], ["token", "revoke", "1"], ["admin", "users"], ["admin", "sessions"],
        ["admin", "stats"], ["admin", "invite"], ["admin", "log"], ["admin", "user", "disable", "bob"],
        ["wrap", "--", "true"],
    ]
    /// The codes that natter(1) documents.
    private static let codes: Set<Int32> = [0, 1, 64, 65, 66, 67, 69, 73, 74, 75, 76, 77, 78]

    private static func number(_ name: String, _ standard: UInt64) -> UInt64 {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } ?? standard
    }

    @Test("no answer crashes a command, costs it more than 768 MiB or 10 s of processor time, or spoils it for later")
    func answers() throws {
        // Given a server with some of everything, a hostile one before it, and a home that has synced
        let world = try World()
        try world.alice.sends("one", "two", "three, a message")
        try world.bob.sends("four", "five")
        try world.bob.sends("personal message", to: "@alice")
        try expect(world.alice("group", "create", "team"))
        try expect(world.natterd("user", "promote", "alice"), hasNotes: true)
        try expect(world.alice("sync"))
        let hostile = try HostileServer(for: world.url)
        defer { hostile.stop() }
        let template = world.directory("alice")
        let honest = try world.alice.run(["log", "--json"]).output

        let first = HostileServerTests.number("NATTER_HOSTILE_SEED", 1)
        let count = HostileServerTests.number("NATTER_HOSTILE_RUNS", 40)
        for seed in first..<first + count {
            let home = world.directory("home")
            try? FileManager.default.removeItem(atPath: home)
            try FileManager.default.copyItem(atPath: template, toPath: home)
            var generator = SeededGenerator(seed: seed &+ 1_000_000)
            if generator.once(in: 4) {
                try? FileManager.default.removeItem(atPath: home + "/.local/share/natter/replicas")
            }
            hostile.use(seed: seed)
            // When it spoils the answers to some commands
            for _ in 0..<4 {
                var words = HostileServerTests.commands.randomElement(using: &generator) ?? []
                if let index = words.firstIndex(of: "F") { words[index] = home + "/cursor" }
                let outcome = try run(words, home, hostile.url)
                #expect(
                    HostileServerTests.codes.contains(outcome.code),
                    "seed \(seed): natter \(words.joined(separator: " ")), answers \(hostile.spoiled): \(outcome.code) \(outcome.errors.prefix(400))"
                )
            }
            // Then no later command dies of what they left
            hostile.use(seed: nil)
            for words in [["sync"], ["log", "--offline"], ["log", "--json"]] {
                let outcome = try run(words, home, hostile.url)
                #expect(
                    HostileServerTests.codes.contains(outcome.code),
                    "seed \(seed), later: natter \(words.joined(separator: " ")): \(outcome.code) \(outcome.errors.prefix(400))"
                )
            }
        }
        print("hostile: \(hostile.answers) answers, seeds \(first)..<\(first + count)")
        // And the server itself has noticed nothing
        #expect(try world.alice.run(["log", "--json"]).output.hasPrefix(honest))
    }

    private func run(_ words: [String], _ home: String, _ url: String) throws -> Outcome {
        let input = Array("\(World.password)\n\(World.password)\n".utf8)
        return try ChildProcess(
            "/bin/sh",
            [
                "-c", "ulimit -c 0; ulimit -v 786432; ulimit -t 10; exec timeout 60 \"$0\" \"$@\"",
                Programs.path("natter"),
                "--timeout", "1",
            ] + words,
            environment: ["HOME": home, "PATH": "/usr/bin:/bin", "NATTER_SERVER": url, "SWIFT_BACKTRACE": "enable=no"],
            input: .bytes(input)
        ).finish()
    }
}
