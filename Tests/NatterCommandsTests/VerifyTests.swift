import NatterSystem
import ServerSupport
import Testing
import TestSupport

@Suite("verify")
struct VerifyCommandTests {
    @Test("prints nothing in a pipe if nothing is wrong, and a line for each conversation on request")
    func sound() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        #expect(alice("verify").code == 69)
        _ = (alice("send", "one"), alice("send", "two"), alice("pm", "me", "three"))
        #expect(alice("sync").code == 0)
        #expect(alice("verify") == .silent)
        #expect(
            alice("verify", "--verbose").lines == [
                "general: 2 messages, intact, same as the server's",
                "@alice: 1 message, intact, same as the server's",
            ])
        #expect(alice("verify", "@me", "--json").output.contains(#""server":"same""#))
        #expect(alice("verify", "@nobody").code == 67)
        // And newer messages on the server are no damage
        #expect(alice("send", "four").code == 0)
        #expect(alice("verify", "general").code == 0)
    }

    @Test("without the server, it compares with the server's last answer, and says so")
    func offline() throws {
        let (server, alice) = try TestServer.withAlice()
        _ = (alice("send", "one"), alice("sync"))
        let offline = alice("verify", "--offline")
        #expect(offline.code == 0 && offline.output == "" && offline.errors.contains("of the last sync"))
        server.stop()
        let unreached = alice("verify", "--timeout", "5")
        #expect(unreached.code == 0 && unreached.errors.contains("of the last sync"))
    }

    @Test("what the server does not show is not said to be the same as there")
    func hidden() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        #expect(alice("group", "create", "ops").code == 0)
        _ = (alice("send", "-c", "ops", "one"), alice("sync"))
        #expect(alice("verify", "ops", "--json").output.contains(#""server":"same""#))
        #expect(alice("group", "delete", "ops", "--yes").code == 0)
        for _ in 0..<2 {
            let outcome = alice("verify", "ops", "--json")
            #expect(outcome.code == 0 && outcome.output.contains(#""server":"unknown""#), "\(outcome)")
            _ = alice("sync")
        }
    }

    @Test("each damage has its range, and the status is 74")
    func damage() throws {
        // Given a replica with a sealed block, of which a byte has changed
        let server = try TestServer()
        let alice = try server.user("alice")
        for number in UInt64(1)...4 {
            let words = (1...3_000).map { String(number &* 1_000_003 &* $0 &* 0x9E37_79B9_7F4A_7C15, radix: 36) }
            #expect(alice("send", words.joined(separator: " ")).code == 0)
        }
        #expect(alice("sync").code == 0)
        #expect(alice("verify").code == 0)
        let path = try #require(try logFile(of: alice))
        let file = try PosixDisk().open(path, .readWrite)
        let middle = try file.size() / 2
        try file.write(try file.read(count: 1, at: middle).map { ~$0 }, at: middle)
        // Then it is found, on standard output
        let found = alice("verify", "general", "--offline")
        #expect(found.code == 74 && found.output.hasPrefix("general: message"))
        #expect(found.errors.contains("natter sync"))
        // And from then on those messages are missing, until a sync has fetched them
        let again = alice("verify", "general")
        #expect(again.code == 74 && again.output.contains("missing") && again.errors.contains("natter sync"))
        let missing = alice("verify", "--json")
        #expect(missing.code == 74)
        #expect(missing.output.contains(#""damaged":[]"#) && missing.output.contains(#""missing":[{"from":"#))
        let log = alice("log", "--offline")
        #expect(log.code == 74 && log.errors.contains("missing here; 'natter sync' fetches"))
        #expect(alice("sync").code == 0)
        let mended = alice("verify", "--json")
        #expect(mended.code == 0 && mended.output.contains(#""missing":[]"#))
    }

    /// The only log file of a replica.
    private func logFile(of person: Person) throws -> String? {
        let disk = PosixDisk()
        func files(in directory: String) throws -> [String] {
            try disk.list(directory).flatMap { name in
                let path = "\(directory)/\(name)"
                return try disk.information(path)?.isDirectory == true ? files(in: path) : [path]
            }
        }
        return try files(in: "\(person.home)/replicas").first { $0.contains("/logs/") }
    }
}
