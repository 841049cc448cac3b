internal import Foundation
internal import Testing
internal import TestSupport

/// A server that answers anything at all. `NATTER_HOSTILE_RUNS` makes the run longer, `NATTER_HOSTILE_SEED` is its first
/// seed. Commands mostly wait for answers that never come, so a longer run tries many seeds at once.
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

    /// The findings of several threads.
    private typealias Findings = Shared<(found: [String], answers: Int)>

    /// How many seeds are tried at once.
    private static let lanes: UInt64 = 32

    @Test("no answer crashes a command, costs it more than 768 MiB or 10 s of processor time, or spoils it for later")
    func answers() throws {
        // Given a server with some of everything, a hostile one before it, and a home that has synced
        let world = try World(says: "one", "two", "three, a message")
        try world.bob.sends("four", "five")
        try world.bob.sends("personal message", to: "@alice")
        try expect(world.alice("group", "create", "team"))
        try expect(world.natterd("user", "promote", "alice"), hasNotes: true)
        try expect(world.alice("sync"))
        let honest = try world.alice.run(["log", "--json"]).output

        let first: UInt64 = number(inEnvironment: "NATTER_HOSTILE_SEED") ?? 1
        let count: UInt64 = number(inEnvironment: "NATTER_HOSTILE_RUNS") ?? 40
        let findings = Findings(([], 0))
        let lanes = min(HostileServerTests.lanes, max(1, count / 40))
        let group = DispatchGroup()
        for lane in 0..<lanes {
            group.enter()
            Thread.detachNewThread {
                defer { group.leave() }
                do {
                    let hostile = try HostileServer(for: world.url)
                    defer { hostile.stop() }
                    for seed in stride(from: first + lane, to: first + count, by: Int(lanes)) {
                        try tryOut(seed, hostile, world, lane, findings)
                    }
                    findings.withLock { $0.answers += hostile.answers }
                } catch {
                    findings.withLock { $0.found.append("the test itself: \(error)") }
                }
            }
        }
        group.wait()
        let (found, answers) = findings.withLock { $0 }
        #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
        print("hostile: \(answers) answers, seeds \(first)..<\(first + count)")
        // And the server itself has noticed nothing
        #expect(try world.alice.run(["log", "--json"]).output.hasPrefix(honest))
    }

    /// Runs some commands in a copy of alice's home.
    private func tryOut(
        _ seed: UInt64, _ hostile: HostileServer, _ world: World, _ lane: UInt64, _ findings: Findings
    ) throws {
        let home = world.directory("home-\(lane)")
        try? FileManager.default.removeItem(atPath: home)
        try FileManager.default.copyItem(atPath: world.directory("alice"), toPath: home)
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
            guard !HostileServerTests.codes.contains(outcome.code) else { continue }
            let spoiled = hostile.spoiled
            findings.withLock {
                $0.found.append(
                    "seed \(seed): natter \(words.joined(separator: " ")), answers \(spoiled): \(outcome.code) "
                        + outcome.errors.prefix(400))
            }
        }
        // Then no later command dies of what they left
        hostile.use(seed: nil)
        for words in [["sync"], ["log", "--offline"], ["log", "--json"]] {
            let outcome = try run(words, home, hostile.url)
            guard !HostileServerTests.codes.contains(outcome.code) else { continue }
            findings.withLock {
                $0.found.append(
                    "seed \(seed), later: natter \(words.joined(separator: " ")): \(outcome.code) "
                        + outcome.errors.prefix(400))
            }
        }
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
