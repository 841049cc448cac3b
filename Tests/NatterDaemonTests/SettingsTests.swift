import Glibc
import NatterCommandLine
import NatterModel
import NatterStore
import NatterSystem
@testable import NatterServer
import SystemSupport
import Testing
import TestSupport

@testable import NatterDaemon

@Suite("natterd's settings")
struct SettingsTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

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

    private func settings(_ words: String..., conf: String? = nil) throws -> ServeSettings {
        if let conf { try directory.write("natterd.conf", conf) }
        guard case .run(_, let arguments) = try ArgumentParser.parse(["serve"] + words, for: DaemonProgram.spec) else {
            throw UsageError("nothing to run", remedy: "")
        }
        return try ServeSettings(arguments, directory: directory.path)
    }

    @Test(
        "words of other programs are told apart from typing errors",
        arguments: [
            (["user", "delete", "bob"], "use 'natterd user erase'"),
            (["user", "rm", "bob"], "use 'natterd user disable'"),
            (["serve", "--port", "80"], "'--port' is not an option of 'serve'; use '--listen'"),
            (["serve", "--port=80"], "'--port' is not an option of 'serve'; use '--listen'"),
        ])
    func otherWords(words: [String], hint: String) {
        let outcome = natterd(words: words)
        #expect(
            outcome.code == 64 && outcome.errors.contains(hint) && !outcome.errors.contains("similar"), "\(outcome)")
    }

    @Test("the command line goes before the file, and the file before the defaults")
    func order() throws {
        #expect(try settings().listen == .standard)
        let conf = "# comment\nlisten = [::1]:99\nlog-level = debug\nlog-format=json\nid-retention = 60\n"
        let filled = try settings("--log-level", "error", conf: conf)
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
        try directory.write("natterd.conf", conf)
        let outcome = natterd("serve", "--data", directory.path)
        #expect(outcome.code == 78)
        #expect(outcome.errors.filter { $0 == "\n" }.count == 1)
        if !conf.contains("0.0.0.0") { #expect(outcome.errors.contains("natterd.conf'"), "\(outcome.errors)") }
    }

    @Test(
        "a wrong value in a file is named by its line",
        arguments: [
            ("max-tokens = 0", "--max-tokens"), ("max-tokens = five # 5", "--max-tokens"), ("host = a,,b", "--host"),
            ("host = a b", "--host"), ("tls-cert = c.pem", "--tls-key"), ("tls-key = k.pem", "--tls-cert"),
            ("session-idle = soon", "--session-idle"), ("listen = 1", "--listen"),
        ])
    func lines(bad: String, word: String) throws {
        // Given lines that are right, some with the same key as the wrong one
        try directory.write("natterd.conf", "# first\nmax-tokens = 7\nregistration = closed\n\n\(bad)\nno-web = yes\n")
        let outcome = natterd("serve", "--data", directory.path)
        #expect(outcome.code == 78 && outcome.errors.filter { $0 == "\n" }.count == 1)
        #expect(outcome.errors.contains("natterd.conf', line 5: "), "\(outcome.errors)")
        #expect(outcome.errors.contains(word), "\(outcome.errors)")
    }

    @Test("serve --check starts nothing, and ends as a start would")
    func check() throws {
        func check(_ words: String..., data: String? = nil, conf: String = "") throws -> Outcome {
            try directory.write("natterd.conf", conf)
            return natterd(words: ["serve", "--check", "--data", data ?? directory.path] + words)
        }
        func isGood(_ outcome: Outcome) -> Bool { outcome.code == 0 && outcome.bytes.isEmpty && outcome.errors.isEmpty }
        // Given settings that are right, with a certificate, and no store yet
        #expect(natterd("tls-self-signed", "--data", directory.path).code == 0)
        let tls = "listen = 0.0.0.0:7117 # everywhere\ntls-cert = tls-cert.pem\ntls-key = tls-key.pem\n"
        #expect(isGood(try check(conf: tls)))
        #expect(isGood(try check(data: directory("none/yet"))))
        for name in ["store.db", "logs", "none"] { #expect(access(directory(name), F_OK) != 0) }
        // When one thing is wrong, then the code is that of a start
        let file = try directory.write("file", "")
        for (words, data, conf, code) in [
            ([], nil, "listen = 0.0.0.0:7117", Int32(78)), ([], nil, "colour = red", 78),
            (["--listen", "x"], nil, "", 64),
            (["--listen", "nosuch:1", "--behind-proxy", "127.0.0.1"], nil, "", 78),
            ([], nil, tls.replacing("tls-cert.pem", with: "none.pem"), 66), ([], file, "", 73),
            ([], file + "/below", "", 73),
        ] as [([String], String?, String, Int32)] {
            try directory.write("natterd.conf", conf)
            let outcome = natterd(words: ["serve", "--check", "--data", data ?? directory.path] + words)
            #expect(outcome.code == code && outcome.errors.hasPrefix("natterd: "), "\(words) \(conf): \(outcome)")
        }
        // A store is checked, also while a server has it open
        try directory.write("natterd.conf", "")
        let store = try Store.open(directory.path)
        #expect(isGood(try check()))
        store.close()
        #expect(isGood(try check()))
        let database = directory("store.db")
        for suffix in ["-wal", "-shm"] { remove(database + suffix) }
        try directory.write("store.db", String(repeating: "no database ", count: 1_000))
        #expect(try check().code == 74)
    }

    @Test("a file that is a symbolic link is refused as such")
    func link() throws {
        let target = try directory.write("elsewhere", "registration = closed\n")
        #expect(symlink(target, directory("natterd.conf")) == 0)
        let outcome = natterd("serve", "--data", directory.path)
        #expect(outcome.code == 66 && outcome.errors.contains("natterd.conf' is a symbolic link"), "\(outcome.errors)")
        for make in [{ mkdir($0, 0o700) }, { mkfifo($0, 0o600) }] {
            #expect(remove(directory("natterd.conf")) == 0 && make(directory("natterd.conf")) == 0)
            let outcome = natterd("fsck", "--data", directory.path)
            #expect(
                outcome.code == 66 && outcome.errors.contains("natterd.conf' is not a regular file"),
                "\(outcome.errors)")
        }
    }

    @Test("half of a certificate and its key on the command line is 64, whatever the file says")
    func halfOnTheCommandLine() throws {
        try directory.write("natterd.conf", "registration = closed\n")
        #expect(natterd("serve", "--data", directory.path, "--tls-cert", "c.pem").code == 64)
    }

    @Test("limits and the idle time of sessions, on the command line and in the file")
    func limits() throws {
        #expect(try settings().limits == AccountLimits())
        let conf =
            "session-idle = 30d\nmax-tokens = 5\nmessages-per-minute = 60\nbytes-per-day = 65536\nhost = a.b, c\n"
        let filled = try settings("--requests-per-second", "50", "--max-sessions", "3", conf: conf)
        var expected = AccountLimits()
        (expected.sessionIdleDays, expected.tokens, expected.messagesPerMinute) = (30, 5, 60)
        (expected.bytesPerDay, expected.requestsPerSecond, expected.sessions) = (65_536, 50, 3)
        #expect(filled.limits == expected)
        #expect(filled.hosts.map(\.description) == ["a.b", "c"])
        for (text, days) in [("30d", 30), ("0", 0), ("never", nil)] as [(String, Int?)] {
            #expect(try settings("--erase-deleted", text).eraseDeletedDays == days)
        }
        #expect(try settings("--session-idle", "never").limits.sessionIdleDays == nil)
        #expect(try settings(conf: "file-retain = 90d\n").fileRetainDays == 90)
        #expect(try settings("--file-retain", "none", conf: "file-retain = 90d\n").fileRetainDays == nil)
        let standard = try settings().files
        #expect(standard.fileBytes == 25 << 20 && standard.accountBytes == 1 << 30 && standard.totalBytes == nil)
        let files = try settings("--file-size", "7", "--files-per-user", "none", conf: "files-total = 3K\n").files
        #expect(files.fileBytes == 7 && files.accountBytes == nil && files.totalBytes == 3_072)
        for bad in [
            ["--file-size", "0"], ["--file-size", "M"], ["--file-size", "25m"], ["--file-size", "+1"],
            ["--files-total", "99999999999G"], ["--files-per-user", ""],
            ["--session-idle", "0d"], ["--session-idle", "90"], ["--session-idle", "+90d"], ["--session-idle", "soon"],
            ["--max-tokens", "0"],
            ["--erase-deleted", "soon"], ["--erase-deleted", "30"],
            ["--file-retain", "0d"], ["--file-retain", "never"],
            ["--bytes-per-day", "65535"], ["--host", "a:1"], ["--host", "a,"], ["--host", "a b"],
        ] {
            #expect(natterd(words: ["serve", "--data", directory.path] + bad).code == 64, "\(bad)")
        }
    }

    @Test("a bad option is 64, an address that others reach 78, with the reason")
    func badOptions() throws {
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
        let file = try directory.write("in", line(1, "a", "b"))
        func run(_ environment: [String: String]) -> Int32 {
            natterd("import", "--old", "general", file, environment: environment).code
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
        let file = try directory.write("in", line(1, "a", "b"))
        let store = try Store.open(directory.path)
        #expect(natterd("import", "--old", "general", file, "--data", directory.path).code == 75)
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

    @Test("a pipe that nobody empties delays nothing: what finds no room is dropped, counted and told of later")
    func fullPipe() throws {
        // Given a log that goes to a full pipe
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let log = try EventLog(
            Output(descriptor: ends[1], name: "a pipe"), settings: EventLog.Settings(), clock: TestClock(time))
        let long = String(repeating: "x", count: 10_000)
        // When more is logged than the pipe and the queue hold
        for number in 0..<500 { log.write(Event(.info, "event_\(number)", [("text", long)])) }
        // Then nobody waited, and a reader who comes late learns how many lines are missing
        let reader = Monitor<[UInt8]>([])
        let thread = try SystemThread(name: "test-reader") { [ends] in
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(ends[0], &buffer, buffer.count)
                guard count > 0 else { return }
                reader.signal { $0 += buffer[..<count] }
            }
        }
        let lines = reader.wait(timeoutMilliseconds: 60_000) { bytes -> [String]? in
            let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
            return lines.last?.contains("log_dropped") == true ? lines : nil
        }
        log.close()
        close(ends[1])
        thread.join()
        ends[1] = -1
        let written = try #require(lines)
        #expect(written.count > 1 && written.count < 500)
        #expect(written.last?.hasSuffix("log_dropped lines=\(500 - (written.count - 1))") == true)
    }

    @Test("a line for the journal of systemd begins with its priority, and for nothing else")
    func journal() throws {
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        var status = stat()
        #expect(fstat(ends[1], &status) == 0)
        let stream = "\(status.st_dev):\(status.st_ino)"
        #expect(EventLog.isJournal(stream, ends[1]))
        #expect(!EventLog.isJournal(nil, ends[1]) && !EventLog.isJournal("1\(stream)", ends[1]))
        #expect(!EventLog.isJournal(stream, -1))
        for (level, priority) in [(Event.Level.error, "<3>"), (.warning, "<4>"), (.info, "<6>"), (.debug, "<7>")] {
            for format in EventLog.Format.allCases {
                let plain = EventLog.line(Event(level, "x"), at: time, format)
                let marked = EventLog.line(Event(level, "x"), at: time, format, isJournal: true)
                #expect(marked == Array(priority.utf8) + plain)
            }
        }
    }

    @Test("events below the level are left out, and the level can change")
    func levels() throws {
        let output = Output.memory()
        let log = try EventLog(output, settings: EventLog.Settings(), clock: TestClock(time))
        log.write(Event(.debug, "no"))
        log.write(Event(.info, "yes"))
        log.use(EventLog.Settings(level: .debug, format: .text))
        log.write(Event(.debug, "now"))
        log.close()
        let lines = String(decoding: output.collected, as: UTF8.self).split(separator: "\n")
        #expect(lines.map { $0.split(separator: " ").last } == ["yes", "now"])
        // Remote admins see no more than that.
        #expect(log.recent.names == ["yes", "now"])
    }
}

extension ServiceLog {
    /// The names of the events that it keeps, oldest first.
    fileprivate var names: [String] { entries(after: nil, limit: 100, level: .debug).0.map(\.event.name) }
}
