import Glibc
import ServerSupport
import Testing
import TestSupport

@Suite("natter as a process", .serialized)
struct ProcessTests {
    private func start(
        _ person: Person, _ words: [String], input: ChildProcess.Stream = .nothing
    ) throws -> ChildProcess {
        try ChildProcess(
            Programs.path("natter"), words,
            environment: ["NATTER_HOME": person.home, "NATTER_SERVER": person.server], input: input)
    }

    @Test(
        "send --queue killed at any moment has kept what it reported, and nothing is sent twice",
        arguments: UInt64(1)...6)
    func killedQueueing(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let (server, alice) = try TestServer.withAlice()
        server.stop()
        var reported: [String] = []
        for number in 1...12 {
            let process = try start(alice, ["send", "--queue", "message \(number)"])
            usleep(UInt32.random(in: 0...15_000, using: &generator))
            if process.finish(after: SIGKILL).code == 0 { reported.append("message \(number)") }
        }
        try server.start()
        // When deliveries are killed, too
        for _ in 0..<6 {
            let process = try start(alice, ["sync"])
            usleep(UInt32.random(in: 0...20_000, using: &generator))
            process.finish(after: SIGKILL)
        }
        #expect(alice("sync").code == 0)
        let texts = try alice.texts()
        #expect(Set(texts).count == texts.count)
        #expect(texts.filter { reported.contains($0) } == reported)
    }

    @Test("a killed send --lines is continued by the same command", arguments: UInt64(1)...4)
    func killedLines(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let server = try TestServer()
        let alice = try server.user("alice")
        let lines = (1...8_000).map { "line \($0)" }
        let input = ChildProcess.Stream.bytes(Array(lines.joined(separator: "\n").utf8))
        for _ in 0..<4 {
            let process = try start(alice, ["send", "--lines", "--id", "job"], input: input)
            usleep(UInt32.random(in: 0...150_000, using: &generator))
            process.finish(after: SIGKILL)
        }
        #expect(try start(alice, ["send", "--lines", "--id", "job"], input: input).finish().code == 0)
        #expect(try difference(alice.texts(), lines) == nil)
    }

    @Test("sixteen concurrent processes without a server: all messages are queued and sent once")
    func concurrent() throws {
        let (server, alice) = try TestServer.withAlice()
        server.stop()
        let senders = try (0..<16).map { try start(alice, ["send", "--queue", "message \($0)"]) }
        #expect(senders.map { $0.finish().code }.allSatisfy { $0 == 0 })
        try server.start()
        let syncs = try (0..<4).map { _ in try start(alice, ["sync"]) }
        #expect(syncs.map { $0.finish().code }.allSatisfy { $0 == 0 })
        #expect(alice("sync").code == 0)
        #expect(try alice.texts().sorted() == (0..<16).map { "message \($0)" }.sorted())
    }
}
