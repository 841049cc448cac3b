import NatterSQLite
import ServerSupport
import TestSupport
import Testing

/// A newer natter may have used the same home, on this machine or another one.
@Suite("a home of a newer natter")
struct NewerHomeTests {
    private let server: TestServer
    private let alice: Person

    init() throws {
        server = try TestServer()
        alice = try server.user("alice")
    }

    /// Adds steps to those that a database of the home has taken, or takes them away.
    private func take(_ steps: Int, in name: String) throws {
        let path = try #require(Files.below(alice.home).first { $0.hasSuffix("/\(name)") })
        let connection = try Connection(path: path, role: .writer)
        try connection.execute("PRAGMA user_version=\(Schema.version(of: connection) + steps)")
    }

    @Test("a replica is neither read nor made anew: 78, and the newer natter goes on with it")
    func replica() throws {
        _ = (alice("send", "one"), alice("sync"))
        try take(1, in: "replica.db")
        for words in [
            ["log", "--offline"], ["search", "one"], ["sync"], ["ls", "--offline"], ["verify", "--offline"],
        ] {
            let outcome = alice.run(words)
            #expect(outcome.code == 78 && outcome.output.isEmpty, "\(words): \(outcome)")
            #expect(outcome.errors.contains("was made by a newer natter"), "\(words): \(outcome)")
        }
        try take(-1, in: "replica.db")
        #expect(try alice.texts("log", "--offline") == ["one"])
    }

    @Test("an outbox is neither sent nor made anew, and the newer natter sends it")
    func outbox() throws {
        #expect(alice("send", "--queue", "--offline", "one").code == 0)
        try take(1, in: "outbox.db")
        for words in [["send", "--queue", "two"], ["send", "--queue", "--offline", "two"], ["outbox", "ls"]] {
            let outcome = alice.run(words)
            #expect(outcome.code == 74 && outcome.output.isEmpty, "\(words): \(outcome)")
            #expect(outcome.errors.contains("was made by a newer natter"), "\(words): \(outcome)")
        }
        try take(-1, in: "outbox.db")
        #expect(alice("sync").code == 0)
        #expect(try alice.texts("log", "--offline") == ["one"])
    }
}
