internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

/// A real server under abuse: its cost, and its effect on other clients.
@Suite("abuse of a running server")
struct AbuseTests {
    private let world: World

    init() throws { world = try World() }

    /// Bytes of memory that a process has had at most so far.
    private func peakMemory(_ daemon: Daemon?) throws -> Int {
        let status = Files.text("/proc/\(daemon?.process.id ?? 0)/status") ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        guard let kibibytes = line?.split(whereSeparator: { !$0.isNumber }).first.flatMap({ Int($0) }) else {
            throw Failure("there is no such process")
        }
        return kibibytes << 10
    }

    /// Memory that a server has had at most when its start is over: a hash for unknown names, of 64 MiB, is made beside
    /// the first requests, and a login with such a name waits for it.
    private func peakMemoryAfterStart() throws -> Int {
        let login = HostileText.object(["name": "nobody", "password": "not a password"])
        #expect(try RawRequest.send("POST", "/v1/login", to: world.url, body: login).status == 401)
        return try peakMemory(world.daemon)
    }

    private func post(_ token: String, length: String, _ rest: String = "") throws -> RawClient {
        let connection = try RawClient(world.url, timeoutSeconds: 60)
        connection.send(
            "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(token)\r\n\(length)\r\n\r\n\(rest)"
        )
        return connection
    }

    @Test("bodies of huge, zero and false length, and texts beyond the limit, are refused and cost no memory")
    func lengths() throws {
        let token = try world.alice.token()
        try world.alice.sends("before")
        let before = try peakMemoryAfterStart()
        let long = HostileText.object(["conversation": "general", "text": String(repeating: "x", count: 65_537)])
        // More is promised than comes: no answer, nothing kept.
        let cut = try (0..<50).map { _ in
            try post(token, length: "Content-Length: 1048576", String(repeating: "y", count: 1_000))
        }
        for connection in cut { connection.finishSending() }
        for connection in cut { #expect(try connection.status() == nil) }
        for _ in 0..<10 {
            for (length, rest, status) in [
                ("Content-Length: 1048577", "", 413), ("Content-Length: 999999999999999999", "x", 413),
                ("Content-Length: 9223372036854775808", "", 413), ("Content-Length: 18446744073709551616", "", 413),
                ("Content-Length: 0", "", 400),
                ("Content-Length: -1", "", 400), ("Content-Length: 2", "{}", 400), ("X: no length", "", 400),
                ("Content-Length: \(long.count)", String(decoding: long, as: UTF8.self), 422),
            ] {
                #expect(try post(token, length: length, rest).status() == status, "\(length)")
            }
        }
        // A line of bulk that does not end, longer by far than one may be, and than a hash is large.
        let endless = try RawClient(world.url, timeoutSeconds: 60)
        let bulk = "Content-Type: application/x-ndjson"
        endless.sendRequest("POST", "/v1/messages", headers: [bulk, "Transfer-Encoding: chunked"], token: token)
        let piece = Array("10000\r\n".utf8) + [UInt8](repeating: 0x78, count: 0x10000) + Array("\r\n".utf8)
        for _ in 0..<2_048 where !endless.send(piece) { break }
        endless.send("0\r\n\r\n")
        #expect(try endless.status() == 200)
        // A refusal takes far more memory than a short line.
        let lines = String(repeating: "x\n", count: 150_000)
        let refused = try (0..<12).map { _ in
            let connection = try RawClient(world.url, timeoutSeconds: 60)
            connection.sendRequest("POST", "/v1/messages", headers: [bulk], token: token, body: Array(lines.utf8))
            return connection
        }
        for connection in refused { #expect(try connection.status() == 200) }
        #expect(try peakMemory(world.daemon) - before < 32 << 20)
        #expect(try world.bob.texts("log") == ["before"])
    }

    @Test("stalled and slow clients are disconnected, and delay nobody else")
    func standstill() throws {
        let token = try world.alice.token()
        try world.alice.sends("one")
        let before = try peakMemoryAfterStart()
        // Given 300 of each kind
        var held: [RawClient] = []
        for _ in 0..<300 {
            held.append(try RawClient(world.url, timeoutSeconds: 60))
            let head = try RawClient(world.url, timeoutSeconds: 60)
            head.send("GET /v1/whoami HTTP/1.1\r\nHost: localhost\r\n")
            held.append(head)
            held.append(try post(token, length: "Content-Length: 100000", "{"))
            let deaf = try RawClient(world.url, timeoutSeconds: 60, receiveBuffer: 4_096)
            deaf.sendRequest("GET", "/v1/sync?wait=60&cursor=now", token: token)
            held.append(deaf)
        }
        // Then others read and write as if they were not there
        for index in 0..<20 {
            for connection in held[(index * 8)..<(index * 8 + 8)] { connection.send("X") }
            let answer = try RawRequest.send(
                "POST", "/v1/messages", to: world.url, token: token,
                body: HostileText.object(["conversation": "general", "text": "\(index)"]))
            #expect(answer.status == 201)
        }
        #expect(try world.bob.texts("log").count == 21)
        #expect(try peakMemory(world.daemon) - before < 96 << 20)
        #expect(world.stopServing()?.code == 0)
    }

    @Test("200 logins at once: each is answered, with bounded memory, and others do not notice")
    func logins() throws {
        let token = try world.bob.token()
        try world.bob.sends("before")
        let before = try peakMemoryAfterStart()
        let connections = try (0..<200).map { index in
            let body = HostileText.object([
                "name": index % 2 == 0 ? "alice" : "nobody\(index)", "password": "guess \(index)",
            ])
            let connection = try RawClient(world.url, timeoutSeconds: 60)
            connection.send("POST /v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(body.count)\r\n\r\n")
            connection.send(body)
            return connection
        }
        for index in 0..<20 {
            let answer = try RawRequest.send(
                "POST", "/v1/messages", to: world.url, token: token,
                body: HostileText.object(["conversation": "general", "text": "\(index)"]))
            #expect(answer.status == 201)
        }
        var counts: [Int: Int] = [:]
        for connection in connections { counts[try connection.status() ?? 0, default: 0] += 1 }
        #expect(Set(counts.keys).isSubset(of: [401, 429, 503]), "\(counts)")
        #expect(counts[401] ?? 0 > 0 && counts[401] ?? 0 <= 60, "\(counts)")
        // A hash takes 64 MiB, and there are as many at once as processors.
        let processors = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        #expect(try peakMemory(world.daemon) - before < (processors * 64 + 48) << 20)
    }

    /// Nanoseconds of processor that the threads of a name have had.
    private func processorTime(_ daemon: Daemon?, threads name: String) throws -> Int {
        let tasks = "/proc/\(daemon?.process.id ?? 0)/task"
        return try FileManager.default.contentsOfDirectory(atPath: tasks).reduce(0) { sum, thread in
            guard Files.text("\(tasks)/\(thread)/comm") == name + "\n" else { return sum }
            let fields = Files.text("\(tasks)/\(thread)/schedstat")?.split(separator: " ")
            return sum + (fields?.first.flatMap { Int($0) } ?? 0)
        }
    }

    @Test("a large body is decoded by a slow worker, and not by the thread that listens")
    func manyFields() throws {
        let token = try world.alice.token()
        var fields = ["conversation": "general", "text": "hello"]
        for number in 0..<50_000 { fields["f\(number)"] = "" }
        let body = HostileText.object(fields)
        func spent(_ name: String) throws -> Int { try processorTime(world.daemon, threads: name) }
        let before = try (worker: spent("natter-slow"), listener: spent("natter-http"))
        for _ in 0..<5 {
            let answer = try RawRequest.send("POST", "/v1/messages", to: world.url, token: token, body: body)
            #expect(answer.status == 201)
        }
        let after = try (worker: spent("natter-slow"), listener: spent("natter-http"))
        #expect(after.worker - before.worker > after.listener - before.listener, "\(before), \(after)")
    }

    @Test("no memory of a process that holds secrets goes into a core file")
    func coreFiles() throws {
        func limit(_ id: pid_t) -> [Substring] {
            let lines = (Files.text("/proc/\(id)/limits") ?? "").split(separator: "\n")
            return lines.first { $0.hasPrefix("Max core file size") }?.split(separator: " ").suffix(3) ?? []
        }
        let daemon = try #require(world.daemon)
        #expect(limit(daemon.process.id).first == "0")
        let following = try world.bob.start(["log", "-f"])
        try world.alice.sends("one")
        _ = try following.line()
        #expect(limit(following.id).first == "0")
        // natter does not limit programs that others run through it.
        let report = world.directory("limit")
        let script = "ulimit -c unlimited; exec \"$0\" wrap -c general -- sh -c \"ulimit -c >'\(report)'\""
        let outcome = try ChildProcess(
            "/bin/sh", ["-c", script, Programs.path("natter")],
            environment: ["HOME": world.alice.home, "PATH": "/usr/bin:/bin", "NATTER_SERVER": world.url]
        ).finish()
        #expect(outcome.code == 0 && Files.text(report) == "unlimited\n", "\(outcome)")
    }

    @Test("no token or password is on the command line or in the environment of a child process")
    func childEnvironment() throws {
        try world.alice.sends("one")
        let report = world.directory("report")
        // It looks at its own process and those that it came from. Beside them, other tests have these secrets in theirs.
        let script = """
            { env; p=$$; while [ "$p" -gt 1 ]; do tr '\\0' ' ' </proc/$p/cmdline; p=$(sed -n 's/^PPid:.//p' /proc/$p/status); done; } \
            >'\(report)' 2>/dev/null
            """
        #expect(try world.bob("wrap", "-c", "general", "--", "sh", "-c", script).code == 0)
        let seen = try #require(Files.bytes(report))
        let text = String(decoding: seen, as: UTF8.self)
        #expect(text.contains("NATTER_SERVER=") && text.contains("wrap -c general"))
        for secret in try [world.bob.token(), world.alice.token(), World.password] { #expect(!text.contains(secret)) }
    }
}
