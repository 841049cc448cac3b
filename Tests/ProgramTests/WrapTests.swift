internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("wrap")
struct WrapTests {
    private let world: World

    init() throws { world = try World() }

    @Test(
        "ends as the command ends, and sends how it went",
        arguments: [
            ("exit 0", 0, "done"), ("exit 7", 7, "failed with status 7"),
            ("kill -9 $$", 137, "ended by signal 9"),
        ] as [(String, Int32, String)])
    func status(_ command: String, _ code: Int32, _ how: String) throws {
        let outcome = try world.alice("wrap", "-c", "@bob", "--", "sh", "-c", command)
        #expect(outcome.code == code && outcome.bytes.isEmpty && outcome.errors.isEmpty)
        let text = try #require(try world.bob.texts("log", "@alice").first)
        let host = ProcessInfo.processInfo.hostName
        #expect(text.hasPrefix("sh -c '\(command)' on \(host): \(how) after ") && text.hasSuffix(" s"))
    }

    @Test("without -c, the outcome is a note to oneself")
    func note() throws {
        #expect(try world.alice("wrap", "true").code == 0)
        #expect(try world.alice.texts("log").isEmpty)
        #expect(try world.alice.texts("log", "@me").first?.hasPrefix("true on ") == true)
    }

    @Test("a command that can't be run is told of, with the status that a shell gives")
    func missing() throws {
        let missing = try world.alice("wrap", "-c", "general", "--", "no-such-command", "word")
        #expect(missing.code == 127 && missing.bytes.isEmpty)
        #expect(missing.errors == "natter: cannot run 'no-such-command': no such file or directory\n")
        #expect(try world.alice("wrap", "-c", "general", "--", "/").code == 126)
        let texts = try world.bob.texts("log")
        #expect(texts.first?.hasPrefix("no-such-command word on ") == true)
        #expect(texts.first?.hasSuffix(": cannot be run: no such file or directory") == true)
        #expect(texts.last?.hasSuffix(": cannot be run: permission denied") == true)
    }

    @Test("the command gets words that are not UTF-8 byte for byte, and the message has U+FFFD for them")
    func bytes() throws {
        func wrap(_ words: String) throws -> Outcome {
            try ChildProcess(
                "/bin/sh", ["-c", "word=$(printf 'a\\377b'); exec \"$0\" wrap \(words)", Programs.path("natter")],
                environment: ["HOME": world.alice.home, "PATH": "/usr/bin:/bin", "NATTER_SERVER": world.url]
            ).finish()
        }
        let outcome = try wrap("-c general printf %s \"$word\"")
        #expect(outcome.code == 0 && outcome.bytes == [0x61, 0xFF, 0x62] && outcome.errors.isEmpty, "\(outcome)")
        #expect(try world.bob.texts("log").first?.hasPrefix("printf %s 'a\u{FFFD}b' on ") == true)
        // The other words are natter's
        try expect(wrap("-c \"$word\" -- true"), 64, "word 3 of the command line is not UTF-8")
    }

    @Test("a signal to end it is passed on to the command, whose status is sent", arguments: [SIGTERM, SIGHUP])
    func signals(_ number: Int32) throws {
        let script = "trap 'echo bye; exit 9' TERM HUP; echo ready; while :; do sleep 0.05; done"
        let running = try world.alice.start(["wrap", "-c", "general", "--", "sh", "-c", script])
        #expect(try running.line() == "ready")
        let end = running.finish(after: number)
        #expect(end.code == 9 && end.output == "bye\n")
        let text = try #require(try world.bob.texts("log").first)
        #expect(text.contains("failed with status 9 after") && text.hasSuffix("\nready\nbye"))
    }

    @Test("the command's output goes where it goes, and its end into the message")
    func output() throws {
        let small = try world.alice("wrap", "-c", "general", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        #expect(small.code == 3 && small.output == "out\n" && small.errors == "err\n")
        let large = try world.alice("wrap", "-c", "general", "--", "seq", "100000")
        #expect(large.code == 0 && large.lines.count == 100_000)
        let texts = try world.bob.texts("log")
        #expect(texts.count == 2)
        // From a whole line on, behind a line that says what is not there
        let shown = (texts.last ?? "").split(separator: "\n").dropFirst().map(String.init)
        let kept = shown.dropFirst().reduce(0) { $0 + $1.utf8.count + 1 }
        #expect(shown.first == "[\(588_895 - kept) bytes of output before this are in seq.log]")
        let whole = try world.bob("get", "last", "-o", "-")
        #expect(whole.code == 0 && whole.bytes == large.bytes)
        #expect(shown.dropFirst().allSatisfy { $0.utf8.count == 5 || $0 == "100000" } && kept > 4_000)
        let lines = (texts.first ?? "").split(separator: "\n")
        #expect(Set(lines.dropFirst()) == ["out", "err"])
        let last = texts.last ?? ""
        #expect(last.hasSuffix("\n99999\n100000") && last.utf8.count < 8_192)
    }

    @Test("what the command leaves running delays neither the message nor the end, and its output goes where it went")
    func background() throws {
        let (pipe, output) = (world.directory("pipe"), world.directory("output"))
        #expect(mkfifo(pipe, 0o600) == 0)
        let script = "{ read word <'\(pipe)'; echo $word; } 2>/dev/null & echo ready; exit 3"
        let start = ContinuousClock.now
        let end = try world.alice.run(["wrap", "-c", "general", "--", "sh", "-c", script], output: .path(output))
        let whole = ContinuousClock.now - start
        #expect(end.code == 3)
        let text = try #require(try world.bob.texts("log").first)
        #expect(text.hasSuffix("\nready"))
        // The 2 s for the rest of the output do not count
        let words = text.split { " \n".contains($0) }
        let told = words.drop { $0 != "after" }.dropFirst().first.flatMap { Double($0) }
        #expect(told.map { .seconds($0) <= whole - .seconds(2) } == true, "\(text), \(whole) in all")
        let writer = try #require(FileHandle(forUpdatingAtPath: pipe))
        try writer.write(contentsOf: Array("later\n".utf8))
        try eventually("the output of what runs on") { Files.text(output) == "ready\nlater\n" }
    }

    @Test("an output that another program has made non-blocking gets all of what the command prints")
    func nonBlocking() throws {
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0)
        for end in ends { #expect(fcntl(end, F_SETFD, FD_CLOEXEC) == 0) }
        let running = try world.alice.start(
            ["wrap", "-c", "general", "--", "seq", "100000"], output: .descriptor(ends[1]))
        close(ends[1])
        try eventually("a full pipe") {
            var count: Int32 = 0
            return ioctl(ends[0], UInt(FIONREAD), &count) == 0 && count == 65_536
        }
        let printed = try FileHandle(fileDescriptor: ends[0], closeOnDealloc: true).readToEnd()
        #expect(printed?.count == 588_895)
        #expect(running.finish().code == 0)
    }

    @Test("without the server the message waits; without a session the command is not run")
    func alone() throws {
        try expect(world.alice.alone("wrap", "-c", "general", "--", "sh", "-c", "exit 5"), 5, "queued", isSilent: false)
        #expect(try world.alice("sync").code == 0)
        #expect(try world.bob.texts("log").count == 1)
        try expect(world.person("nobody")("wrap", "-c", "general", "--", "echo", "ran"), 77)
    }

    @Test("where the report cannot go, the command is not run: 67, or 77")
    func nowhere() throws {
        try expect(world.bob("group", "create", "lunch", "--open"), hasNotes: true)
        for (conversation, code) in [("nosuch", 67), ("@nosuch", 67), ("lunch", 77)] as [(String, Int32)] {
            let outcome = try world.alice("wrap", "-c", conversation, "--", "echo", "ran")
            #expect(outcome.code == code && outcome.bytes.isEmpty && isOneLine(outcome.errors), "\(outcome)")
        }
        // The scope of a token answers where it may not look
        try expect(world.alice("group", "create", "ops"), hasNotes: true)
        let file = "\(world.alice.home)/robot.token"
        func take(_ scope: String) throws {
            let token = try world.alice("token", "create", "--scope", scope).output
            try token.write(toFile: file, atomically: true, encoding: .utf8)
            chmod(file, 0o600)
        }
        try take("read:ops")
        try expect(world.alice("wrap", "--token-file", file, "-c", "ops", "echo", "ran"), 77)
        try take("send:@alice")
        #expect(try world.alice("wrap", "--token-file", file, "-c", "@me", "true").code == 0)
        try take("send:ops")
        #expect(try world.alice("wrap", "--token-file", file, "-c", "ops", "true").code == 0)
        try expect(world.alice("wrap", "--token-file", file, "-c", "general", "echo", "ran"), 77)
        #expect(try world.alice.texts("log", "ops").filter { $0.hasPrefix("true on ") }.count == 1)
    }

    @Test("a report waits while something else answers in the server's place, and goes out behind it")
    func strangeAnswer() throws {
        let way = try HostileServer(for: world.url)
        defer { way.stop() }
        let alice = world.alice.at(way.url)
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            "HTTP/1.1 301 Moved\r\nLocation: http://login.example/\r\nContent-Length: 0\r\n\r\n",
        ] {
            way.answerAll(answer)
            let outcome = try alice("wrap", "-c", "general", "--", "true")
            #expect(outcome.code == 0 && outcome.errors.hasPrefix("natter: queued: "), "\(outcome)")
            let status = try #require(try alice("status", "--json").objects().first)
            #expect(status[int: "waiting"] == 1 && status[int: "parked"] == 0)
            way.answerAll(nil)
            #expect(try alice("sync").code == 0)
        }
        #expect(try world.bob.texts("log").count == 2)
    }

    @Test("a report that is refused afterwards is parked: 75 where the command was well, else its own status")
    func parked() throws {
        try expect(world.bob("group", "create", "ops"), hasNotes: true)
        for (number, (script, code)) in [("exit 0", 75), ("exit 3", 3)].enumerated() {
            try expect(world.bob("group", "add", "ops", "alice"), hasNotes: true)
            let job = try world.alice.start(
                ["wrap", "-c", "ops", "sh", "-c", "echo ready; read x; \(script)"], input: .pipe)
            #expect(try job.line() == "ready")
            try expect(world.bob("group", "remove", "ops", "alice"), hasNotes: true)
            job.type("\n")
            let end = job.finish()
            #expect(end.code == Int32(code) && isOneLine(end.errors) && end.errors.contains("parked"), "\(end)")
            #expect(try world.alice("outbox", "--json").objects().count == number + 1)
        }
        try expect(world.bob("group", "add", "ops", "alice"), hasNotes: true)
        let job = try world.alice.start(
            ["wrap", "--json", "-c", "ops", "sh", "-c", "echo ready; read x"], input: .pipe)
        #expect(try job.line() == "ready")
        try expect(world.bob("group", "remove", "ops", "alice"), hasNotes: true)
        job.type("\n")
        let end = job.finish()
        #expect(try end.code == 75 && JSON(parsing: end.errors)[object: "error"]?[int: "exit"] == 75, "\(end)")
        let waiting = try world.alice("outbox").output
        #expect(waiting.contains("refused") && waiting.contains("sh -c 'echo ready"))
    }

    @Test("options end at the command; --on-failure sends nothing if it succeeds")
    func onFailure() throws {
        #expect(try world.alice("wrap", "-c", "general", "echo", "-n", "--json", "--", "x").output == "--json -- x")
        #expect(try world.alice("wrap", "-c", "general", "--on-failure", "true").code == 0)
        #expect(try world.alice("wrap", "-c", "general", "--on-failure", "sh", "-c", "exit 4").code == 4)
        let texts = try world.bob.texts("log")
        #expect(texts.count == 2 && texts.first?.hasPrefix("echo -n --json -- x on ") == true)
        #expect(texts.last?.contains("failed with status 4") == true)
    }

    @Test(
        "output that cannot be written: the outcome is sent, and the status is 74 where the command was well",
        arguments: [("exit 0", 74), ("exit 3", 3)] as [(String, Int32)])
    func lostOutput(_ end: String, _ code: Int32) throws {
        let outcome = try world.alice.run(
            ["wrap", "-c", "general", "--", "sh", "-c", "echo important; \(end)"], output: .path("/dev/full"))
        #expect(outcome.code == code)
        #expect(outcome.errors == "natter: cannot write standard output: no space left on device\n")
        #expect(try world.bob.texts("log").first?.hasSuffix("\nimportant") == true)
    }

    @Test("a command whose output nobody reads any more ends as it does without wrap, and its outcome is sent")
    func closedOutput() throws {
        let outcome = try world.alice.run(["wrap", "-c", "general", "--", "yes"], output: .closedPipe)
        #expect(outcome.code == 128 + SIGPIPE && outcome.errors.isEmpty, "\(outcome)")
        #expect(try world.bob.texts("log").first?.contains("ended by signal 13") == true)
    }

    @Test("SIGINT that a script ignores for its background jobs stays ignored")
    func ignoredInterrupt() throws {
        let script = "trap '' INT; exec \"$0\" wrap -- sh -c 'kill -INT $PPID $$; echo alive'"
        let outcome = try ChildProcess(
            "/bin/sh", ["-c", script, try Programs.path("natter")],
            environment: ["HOME": world.alice.home, "PATH": "/usr/bin:/bin", "NATTER_SERVER": world.url]
        ).finish()
        #expect(outcome.code == 0 && outcome.output == "alive\n" && outcome.errors.isEmpty, "\(outcome)")
    }

    @Test("of several outcomes that wait for a server, each is sent once, and none is said to wait")
    func together() throws {
        let jobs = try (1...3).map { number in
            let job = try world.alice.start(
                ["wrap", "-c", "general", "--", "sh", "-c", "echo ready; read x; exit \(number)"], input: .pipe)
            #expect(try job.line() == "ready")
            return job
        }
        let daemon = try #require(world.daemon).process
        daemon.freeze()
        defer { daemon.signal(SIGCONT) }
        for job in jobs { job.type("\n") }
        try eventually("the messages in the outbox") { try world.alice("outbox").lines.count == jobs.count }
        daemon.signal(SIGCONT)
        for (index, job) in jobs.enumerated() {
            let end = job.finish()
            #expect(end.code == Int32(index + 1) && end.errors.isEmpty, "\(end)")
        }
        #expect(try world.bob.texts("log").count == jobs.count)
    }

    @Test("SIGINT while the outcome is being sent: 130, and the message waits in the outbox")
    func interruptedReport() throws {
        let job = try world.alice.start(
            ["wrap", "-c", "general", "--", "sh", "-c", "echo ready; read x; exit 3"], input: .pipe)
        #expect(try job.line() == "ready")
        // Given a server that has stopped answering
        let daemon = try #require(world.daemon).process
        daemon.freeze()
        defer { daemon.signal(SIGCONT) }
        job.type("\n")
        try eventually("the message in the outbox") { try !world.alice("outbox").output.isEmpty }
        // Before that moment, SIGINT does nothing
        try eventually("the end of wrap") {
            job.signal(SIGINT)
            var information = siginfo_t()
            let code = waitid(P_PID, id_t(job.id), &information, WEXITED | WNOHANG | WNOWAIT)
            return code == 0 && information.si_signo == SIGCHLD
        }
        #expect(job.finish().code == 130)
        // Then it arrives once when the server answers again
        daemon.signal(SIGCONT)
        try expect(world.alice("sync"))
        #expect(try world.bob.texts("log").filter { $0.contains("failed with status 3") }.count == 1)
    }
}
