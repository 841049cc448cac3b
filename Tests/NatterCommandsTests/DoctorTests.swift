import Glibc
import NatterModel
import NatterSystem
import ServerSupport
import Testing
import TestSupport

@Suite("doctor")
struct DoctorCommandTests {
    @Test("reports nothing if nothing is wrong, before and after the first sync")
    func well() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        let nothing = Outcome.silent
        #expect(alice("doctor") == nothing)
        _ = (alice("send", "one"), alice("sync"))
        #expect(alice("doctor") == nothing)
        #expect(alice("doctor", "--json") == nothing)
        let verbose = alice("doctor", "--verbose")
        #expect(verbose.code == 0 && verbose.output == "")
        for part in ["server:", "session:", "clock:", "outbox:", "replica:", "index:"] {
            #expect(verbose.errors.contains("natter: \(part)"), "\(part)")
        }
        #expect(alice("doctor", "--offline").code == 0)
    }

    @Test("a first sync that leaves many messages to the first search is no problem")
    func notIndexed() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        let lines = (1...21_000).map { "word\($0)\n" }.joined()
        #expect(try bob.send("--lines", input: Array(lines.utf8)).code == 0)
        #expect(alice("sync").code == 0)
        let outcome = alice("doctor", "--verbose")
        #expect(outcome.code == 0 && outcome.output == "", "\(outcome)")
        #expect(outcome.errors.contains("index: 21000 messages not indexed yet"), "\(outcome)")
        #expect(alice("search", "word20999").lines.count == 1)
        #expect(alice("doctor", "--verbose").errors.contains("index: complete"))
    }

    @Test("without a server and without a session: a line for each problem and its solution")
    func nobody() throws {
        let server = try TestServer()
        let stranger = try Person(server: server.url)
        #expect(
            stranger("doctor").lines == [
                "not logged in: use 'natter login NAME', or 'natter register NAME' for a new account"
            ])
        let alice = try server.user("alice")
        server.stop()
        let outcome = alice("doctor", "--timeout", "5")
        #expect(outcome.code == 1 && outcome.lines.count == 1)
        #expect(outcome.output.contains("natter serve"))
        let json = alice("doctor", "--timeout", "5", "--json")
        #expect(json.code == 1 && json.output.hasPrefix(#"{"check":"server","problem":"#))
    }

    @Test("a clock that is more than a minute off")
    func clock() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        let now = SystemClock().now().milliseconds
        func lines(after seconds: Int64) -> [String] {
            alice.run(["doctor"], now: Timestamp(milliseconds: now + seconds * 1_000)).lines
        }
        #expect(lines(after: 30).isEmpty)
        #expect(lines(after: 3_600).first?.contains("ahead of the server's: ") == true)
        #expect(lines(after: -3_600).first?.contains("behind the server's: ") == true)
    }

    @Test("a damaged outbox is named with the remedy")
    func damagedOutbox() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        #expect(alice("send", "--queue", "later", "--server", "http://127.0.0.1:1").code == 0)
        let path = try #require(Files.below(alice.home).first { $0.hasSuffix("/outbox.db") })
        try PosixDisk().replaceContents(of: path, with: [UInt8](repeating: 0xA5, count: 8_192))
        let doctor = alice("doctor")
        #expect(doctor.code == 1 && doctor.lines.count == 1 && doctor.output.contains("move it away"), "\(doctor)")
    }

    @Test("modes, a session that has ended, a setting that can't be, a message that waits")
    func several() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        #expect(alice("send", "--queue", "later", "--server", "http://127.0.0.1:1").code == 0)
        let waiting = alice("doctor")
        #expect(
            waiting.code == 1 && waiting.output.hasPrefix("1 message in the outbox is not sent yet, the oldest queued ")
        )
        #expect(alice("sync").code == 0)
        #expect(alice("doctor").code == 0)
        // Modes
        let token = "\(alice.home)/profiles/default/token"
        chmod(token, 0o644)
        #expect(alice("doctor").lines.contains("'\(token)' can be read or changed by others: use 'chmod 600' on it"))
        chmod(token, 0o600)
        // A setting
        try alice.directory.write("home/config", "timeout = soon\n")
        #expect(alice("doctor", "--timeout", "5").lines.count == 1)
        let bad = alice("doctor").lines
        #expect(bad.count == 1 && bad[0].contains("natter config set"), "\(bad)")
        #expect(alice("config", "set", "timeout", "5").code == 0)
        #expect(alice("doctor").code == 0)
        // A line that is none, which 'config set' can't mend
        try alice.directory.write("home/config", "a broken line\n")
        let broken = alice("doctor").lines
        #expect(broken.count == 1 && broken[0].hasSuffix(": edit the file"), "\(broken)")
        let refused = alice("config", "set", "timeout", "5")
        #expect(refused.code == 78 && refused.errors.contains("line 1"), "\(refused)")
        #expect(Files.text("\(alice.home)/config") == "a broken line\n")
        unlink("\(alice.home)/config")
        // A session
        try alice.directory.write(
            "home/profiles/default/token", (Files.text(token) ?? "").reversed().filter { $0 != "\n" } + "\n")
        let ended = alice("doctor")
        #expect(ended.code == 1 && ended.output.contains("natter login"))
    }
}
