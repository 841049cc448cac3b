import Glibc
import NatterClient
import NatterSystem
import Testing

/// Tests that need the program itself: `NATTER_BIN` is the directory that it lies in.
private let program = getenv("NATTER_BIN").flatMap { directory -> String? in
    let path = String(cString: directory) + "/natter"
    return access(path, X_OK) == 0 ? path : nil
}

@Suite("natter as a process", .enabled(if: program != nil), .serialized)
struct ProcessTests {
    /// Starts natter with `words` and a file as its standard input; standard output and errors go to nowhere.
    private func start(_ person: Person, _ words: [String], input: String = "/dev/null") throws -> pid_t {
        let path = try #require(program)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        let environment = ["NATTER_HOME=\(person.directory.path)", "NATTER_SERVER=\(person.server)"]
        var arguments = ([path] + words).map { strdup($0) } + [nil]
        var variables = environment.map { strdup($0) } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var process: pid_t = 0
        try #require(posix_spawn(&process, path, &actions, nil, &arguments, &variables) == 0)
        return process
    }

    /// - Returns: the exit code; nil for one that was killed.
    private func wait(_ process: pid_t) -> Int32? {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return status & 0x7F == 0 ? (status >> 8) & 0xFF : nil
    }

    @Test(
        "killed at any moment, send --queue has kept what it reported, and nothing is there twice",
        arguments: UInt64(1)...6)
    func killedQueueing(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let server = try TestServer()
        let alice = try server.user("alice")
        server.stop()
        var reported: [String] = []
        for number in 1...12 {
            let process = try start(alice, ["send", "--queue", "message \(number)"])
            usleep(UInt32.random(in: 0...15_000, using: &generator))
            kill(process, SIGKILL)
            if wait(process) == 0 { reported.append("message \(number)") }
        }
        try server.start()
        // When deliveries are killed, too
        for _ in 0..<6 {
            let process = try start(alice, ["sync"])
            usleep(UInt32.random(in: 0...20_000, using: &generator))
            kill(process, SIGKILL)
            _ = wait(process)
        }
        #expect(alice("sync").code == 0)
        let texts = try alice.texts()
        #expect(Set(texts).count == texts.count)
        #expect(texts.filter { reported.contains($0) } == reported)
    }

    @Test("send --lines that is killed goes on with the same command", arguments: UInt64(1)...4)
    func killedLines(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let server = try TestServer()
        let alice = try server.user("alice")
        let lines = (1...8_000).map { "line \($0)" }
        let input = "\(alice.directory.path)/lines"
        try PosixDisk().open(input, .create).write(Array(lines.joined(separator: "\n").utf8), at: 0)
        for _ in 0..<4 {
            let process = try start(alice, ["send", "--lines", "--id", "job"], input: input)
            usleep(UInt32.random(in: 0...150_000, using: &generator))
            kill(process, SIGKILL)
            _ = wait(process)
        }
        #expect(wait(try start(alice, ["send", "--lines", "--id", "job"], input: input)) == 0)
        #expect(try difference(alice.texts(), lines) == nil)
    }

    @Test("sixteen processes at once, with the server away: all is queued and comes once")
    func concurrent() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        server.stop()
        let senders = try (0..<16).map { try start(alice, ["send", "--queue", "message \($0)"]) }
        #expect(senders.map { wait($0) }.allSatisfy { $0 == 0 })
        try server.start()
        let syncs = try (0..<4).map { _ in try start(alice, ["sync"]) }
        #expect(syncs.map { wait($0) }.allSatisfy { $0 == 0 })
        #expect(alice("sync").code == 0)
        #expect(try alice.texts().sorted() == (0..<16).map { "message \($0)" }.sorted())
    }
}
