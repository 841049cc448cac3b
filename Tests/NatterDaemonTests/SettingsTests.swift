import NatterCLI
import NatterModel
import NatterServer
import NatterStore
import NatterSystem
import SystemSupport
import Testing
import TestSupport

@testable import NatterDaemon

@Suite("natterd's settings")
struct SettingsTests {
    @Test(
        "where to listen",
        arguments: [
            ("127.0.0.1:7117", "127.0.0.1", 7_117, true), ("[::1]:0", "::1", 0, true),
            ("localhost:80", "localhost", 80, true),
            ("0.0.0.0:1", "0.0.0.0", 1, false), ("[::]:65535", "::", 65_535, false),
            ("127.9.9.9:1", "127.9.9.9", 1, true),
            ("127.evil.example.1:1", "127.evil.example.1", 1, false), ("192.168.0.1:1", "192.168.0.1", 1, false),
        ] as [(String, String, UInt16, Bool)])
    func addresses(text: String, host: String, port: UInt16, isLoopback: Bool) throws {
        let address = try #require(ListenAddress(text))
        #expect(address.host == host && address.port == port && address.isLoopback == isLoopback)
        #expect(address.description == text)
    }

    @Test(
        "invalid addresses",
        arguments: ["", ":1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "a:+1", "a:1x"])
    func noAddresses(text: String) { #expect(ListenAddress(text) == nil) }

    private func settings(_ directory: TemporaryDirectory, _ words: String..., conf: String? = nil) throws
        -> ServeSettings
    {
        if let conf { try directory.write("natterd.conf", conf) }
        guard case .run(_, let arguments) = try ArgumentParser.parse(["serve"] + words, for: DaemonProgram.spec) else {
            throw UsageError("nothing to run", remedy: "")
        }
        return try ServeSettings(arguments, directory: directory.path)
    }

    @Test("the command line goes before the file, and the file before the defaults")
    func order() throws {
        let directory = try TemporaryDirectory()
        #expect(try settings(directory).listen == .standard)
        let conf = "# comment\nlisten = [::1]:99\nlog-level = debug\nlog-format=json\nid-retention = 60\n"
        let filled = try settings(directory, "--log-level", "error", conf: conf)
        #expect(filled.listen == ListenAddress(host: "::1", port: 99))
        #expect(filled.log == EventLog.Settings(level: .error, format: .json))
        #expect(filled.retentionDays == 60)
    }

    @Test(
        "an error in a file is 78, with its line",
        arguments: [
            "nonsense", "colour = red", "listen = here", "log-level = loud", "id-retention = 1", "data = /tmp",
            "listen = 0.0.0.0:1",
        ])
    func badFile(conf: String) throws {
        let directory = try TemporaryDirectory()
        try directory.write("natterd.conf", conf)
        let outcome = natterd("serve", "--data", directory.path)
        #expect(outcome.code == 78)
        #expect(outcome.errors.filter { $0 == "\n" }.count == 1)
        if !conf.contains("0.0.0.0") { #expect(outcome.errors.contains("natterd.conf'"), "\(outcome.errors)") }
    }

    @Test("a bad option is 64, an address that others reach 78, with the reason")
    func badOptions() throws {
        let directory = try TemporaryDirectory()
        #expect(natterd("serve", "--data", directory.path, "--listen", "here").code == 64)
        #expect(natterd("serve", "--data", directory.path, "--id-retention", "29").code == 64)
        #expect(natterd("serve", "--data", "").code == 64)
        let exposed = natterd("serve", "--data", directory.path, "--listen", "0.0.0.0:0")
        #expect(exposed.code == 78 && exposed.errors.contains("unencrypted"))
        #expect(natterd("frobnicate").code == 64)
        #expect(natterd().code == 0)
    }

    @Test("the data directory: the option, NATTERD_DATA, systemd's, XDG's, home's; made private")
    func directories() throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write("in", line(1, "a", "b"))
        func run(_ environment: [String: String]) -> Int32 {
            natterd("import", "general", file, environment: environment).code
        }
        let root = directory.path
        #expect(
            run([
                "HOME": root + "/home", "XDG_DATA_HOME": root + "/xdg", "STATE_DIRECTORY": root + "/state",
                "NATTERD_DATA": root + "/own/",
            ]) == 0)
        #expect(
            run(["HOME": root + "/home", "XDG_DATA_HOME": root + "/xdg", "STATE_DIRECTORY": root + "/state:/other"])
                == 0)
        #expect(run(["HOME": root + "/home", "XDG_DATA_HOME": root + "/xdg"]) == 0)
        #expect(run(["HOME": root + "/home"]) == 0)
        for path in ["own", "state", "xdg/natterd", "home/.local/share/natterd"] {
            #expect(try PosixDisk().information("\(root)/\(path)/store.db")?.mode == 0o600, "\(path)")
            #expect(try PosixDisk().information("\(root)/\(path)")?.mode == 0o700, "\(path)")
        }
    }

    @Test("while the store is open, other commands are 75")
    func locked() throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write("in", line(1, "a", "b"))
        let store = try Store.open(directory.path)
        #expect(natterd("import", "general", file, "--data", directory.path).code == 75)
        #expect(natterd("export", "general", "--data", directory.path).code == 75)
        #expect(natterd("fsck", "--data", directory.path).code == 75)
        #expect(natterd("serve", "--data", directory.path, "--listen", "127.0.0.1:0").code == 75)
        store.close()
        #expect(natterd("fsck", "--data", directory.path).code == 0)
    }
}

@Suite("the service's log")
struct EventLogTests {
    private let time = Timestamp(milliseconds: 1_795_000_000_123)
    private let event = Event(
        .warning, "request",
        [
            ("method", "GET"), ("path", "/v1/a b"), ("empty", ""), ("quoted", "say \"hi\\\""), ("sign", "a=b"),
            ("escape", "\u{1B}[31m\n\u{202E}"), ("name", "Маша"),
        ])

    @Test("as text each value is on the line, escaped, and its end can be seen")
    func text() {
        let line = String(decoding: EventLog.line(event, at: time, .text), as: UTF8.self)
        #expect(
            line
                == #"2026-11-18T11:06:40.123Z warning request method=GET path="/v1/a b" empty="" quoted="say \"hi\\\"" "#
                + #"sign="a=b" escape="\x1b[31m\x0a\u{202e}" name=Маша"# + "\n")
    }

    @Test("as JSON it is one object")
    func json() {
        let line = String(decoding: EventLog.line(event, at: time, .json), as: UTF8.self)
        #expect(
            line
                == #"{"time":"2026-11-18T11:06:40.123Z","level":"warning","event":"request","method":"GET","path":"/v1/a b","#
                + #""empty":"","quoted":"say \"hi\\\"","sign":"a=b","escape":"\u001b[31m\n\u202e","name":"Маша"}"#
                + "\n")
    }

    @Test("events below the level are left out, and the level can change")
    func levels() {
        let output = Output.memory()
        let log = EventLog(output, settings: EventLog.Settings(), clock: TestClock(time))
        log.write(Event(.debug, "no"))
        log.write(Event(.info, "yes"))
        log.use(EventLog.Settings(level: .debug, format: .text))
        log.write(Event(.debug, "now"))
        let lines = String(decoding: output.collected, as: UTF8.self).split(separator: "\n")
        #expect(lines.map { $0.split(separator: " ").last } == ["yes", "now"])
    }
}
