import Dispatch
import Glibc
import NatterModel
import NatterSystem
import Testing

/// A natterd of its own process.
final class Service {
    /// The program beside the tests, or the one that `NATTER_BIN` names.
    static var program: String {
        if let directory = getenv("NATTER_BIN").map({ String(cString: $0) }), !directory.isEmpty {
            return directory + "/natterd"
        }
        var buffer = [CChar](repeating: 0, count: 4_096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let path = String(decoding: buffer.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        return Path.directory(of: path) + "/natterd"
    }

    let process: pid_t
    private let output: Int32
    private(set) var address = ""
    private(set) var port: UInt16 = 0
    private var isOver = false

    /// Starts it with its log in `DIR.log` and waits until it listens or ends.
    ///
    /// - Parameter wrapper: words of a program that runs it.
    init(_ data: String, _ words: [String] = [], wrapper: [String] = []) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw DiskError(operation: "pipe", path: data) }
        output = ends[0]
        _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
        _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
        let words = wrapper + [Service.program, "--data", data, "serve", "--listen", "127.0.0.1:0"] + words
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_addopen(&actions, 2, data + ".log", O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var process: pid_t = 0
        let variables = ["SWIFT_BACKTRACE=enable=no", "PATH=/usr/bin:/bin", "HOME=" + data]
        let code = Service.withCStrings(words) { arguments in
            Service.withCStrings(variables) { posix_spawnp(&process, words[0], &actions, nil, arguments, $0) }
        }
        close(ends[1])
        self.process = process
        guard code == 0 else { throw DiskError(code: code, operation: "start", path: words[0]) }
        let line = readLine()
        address = line.hasPrefix("natterd: listening on ") ? String(line.dropFirst(22)) : ""
        port = address.split(separator: ":").last.flatMap { UInt16($0) } ?? 0
    }

    deinit {
        if !isOver {
            kill(process, SIGKILL)
            _ = wait()
        }
        close(output)
    }

    private static func withCStrings<Result>(
        _ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let copies: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) } + [nil]
        defer { for copy in copies { free(copy) } }
        return body(copies)
    }

    private func readLine() -> String {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while read(output, &byte, 1) == 1, byte != 0x0A { bytes.append(byte) }
        return String(decoding: bytes, as: UTF8.self)
    }

    func send(_ signal: Int32) { kill(process, signal) }

    /// - Returns: its exit code, or minus the signal that ended it; one that goes on for a minute is killed.
    func wait() -> Int32 {
        let end = DispatchWorkItem { [process] in kill(process, SIGKILL) }
        DispatchQueue.global().asyncAfter(deadline: .now() + 60, execute: end)
        defer { end.cancel() }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        isOver = true
        return status & 0x7F == 0 ? status >> 8 & 0xFF : -(status & 0x7F)
    }

    func log(_ data: String) throws -> String {
        String(decoding: try PosixDisk().contents(of: data + ".log", limit: 1 << 20), as: UTF8.self)
    }

    /// A connection to it, to be closed by the caller.
    ///
    /// - Parameter patience: seconds that a read from it waits; 0 for ever.
    func connect(patience: Int = 0) -> Int32? {
        // Not for the programs that other tests start meanwhile: they would keep it open.
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var limit = timeval(tv_sec: patience, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_port = port.bigEndian
        place.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let connected = withUnsafePointer(to: &place) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if connected == 0 { return descriptor }
        close(descriptor)
        return nil
    }

    /// Sends one request and gives the whole answer; empty if there was none.
    func request(
        _ method: String, _ path: String, body: String = "", token: String? = nil, patience: Int = 0
    ) -> String {
        guard let descriptor = connect(patience: patience) else { return "" }
        defer { close(descriptor) }
        var head =
            "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n"
        if let token { head += "Authorization: Bearer \(token)\r\n" }
        let bytes = Array((head + "\r\n" + body).utf8)
        guard Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { return "" }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            answer += buffer[..<count]
        }
        return String(decoding: answer, as: UTF8.self)
    }

    /// Registers a user and gives their token.
    func register(_ name: String) -> String {
        let answer = request("POST", "/v1/register", body: "{\"name\":\"\(name)\",\"password\":\"password 1\"}")
        return answer.split(separator: "\"token\":\"").dropFirst().first.map { String($0.prefix { $0 != "\"" }) } ?? ""
    }

    /// Posts to `general`; the status, 0 if there was no answer.
    func post(_ text: String, key: String, token: String, patience: Int = 0) -> Int {
        let answer = request(
            "POST", "/v1/messages", body: "{\"conversation\":\"general\",\"text\":\"\(text)\",\"id\":\"\(key)\"}",
            token: token, patience: patience)
        return answer.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    }
}

@Suite("natterd serve")
struct ServiceTests {
    @Test("it says where it listens, answers, and ends with 0 when it is told to", arguments: [SIGTERM, SIGINT])
    func lifecycle(signal: Int32) throws {
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        let service = try Service(data)
        #expect(service.address == "http://127.0.0.1:\(service.port)")
        #expect(service.request("GET", "/healthz").hasPrefix("HTTP/1.1 200"))
        let token = service.register("alice")
        #expect(service.post("secret text", key: "k", token: token) == 201)
        // A second one is refused meanwhile, and the other commands reach the first
        #expect(try Service(data).wait() == 75)
        #expect(natterd("export", "general", "--data", data).text.contains("secret text"))
        service.send(signal)
        #expect(service.wait() == 0)
        // Then all is there, and the log has no secret in it
        #expect(natterd("fsck", "--data", data).code == 0)
        #expect(natterd("export", "general", "--data", data).text.contains("secret text"))
        let log = try service.log(data)
        for secret in ["secret text", "password 1", token] { #expect(!log.contains(secret)) }
        #expect(log.contains(" info listening ") && log.contains(" info stopped"))
    }

    @Test("SIGHUP reads the settings again, and a bad file changes nothing")
    func reload() throws {
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        let service = try Service(data)
        func logged(_ word: String) throws -> Bool {
            let deadline = MonotonicClock.now() + 20_000
            while MonotonicClock.now() < deadline {
                if try service.log(data).contains(word) { return true }
                usleep(2_000)
            }
            return false
        }
        try PosixDisk().replaceContents(of: data + "/natterd.conf", with: Array("log-level = loud\n".utf8))
        service.send(SIGHUP)
        #expect(try logged(" error not_reloaded reason="))
        try PosixDisk().replaceContents(of: data + "/natterd.conf", with: Array("log-level = debug\n".utf8))
        service.send(SIGHUP)
        #expect(try logged(" info reloaded"))
        _ = service.request("GET", "/healthz")
        #expect(try logged(" debug request method=GET"))
        service.send(SIGTERM)
        #expect(service.wait() == 0)
    }

    @Test("a kill at any moment loses nothing that was acknowledged", arguments: UInt64(1)...4)
    func killed(seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        var generator = SeededGenerator(seed: seed)
        var acknowledged: [String] = []
        for round in 1...4 {
            let service = try Service(data)
            let token = service.register("user\(round)")
            // Given some messages, and one whose answer is not waited for
            for number in 0..<Int.random(in: 1...30, using: &generator) {
                let text =
                    "\(round)-\(number)-" + String(repeating: "x", count: Int.random(in: 0...20_000, using: &generator))
                if service.post(text, key: "\(round)-\(number)", token: token) == 201 { acknowledged.append(text) }
            }
            service.send(SIGKILL)
            #expect(service.wait() == -SIGKILL)
            // Then each is there, once and in order, and no damage
            #expect(natterd("fsck", "--data", data).output == [])
            let exported = natterd("export", "general", "--data", data)
            #expect(exported.code == 0)
            let texts = exported.lines.compactMap {
                $0.split(separator: "\"text\":\"").last.map { String($0.prefix { $0 != "\"" }) }
            }
            #expect(texts == acknowledged)
        }
    }

    @Test("after a failed fsync the outcome is unknown, nothing more is taken, and it ends with 74")
    func failedSync() throws {
        guard access("/usr/bin/strace", X_OK) == 0 else {
            print("skipped: there is no strace to make fsync fail")
            return
        }
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        // Given a server with a user
        let first = try Service(data)
        let token = first.register("alice")
        #expect(first.post("kept", key: "kept", token: token) == 201)
        first.send(SIGTERM)
        #expect(first.wait() == 0)
        // When each fsync fails from the fortieth on, which is some way into what is posted
        let strace = [
            "strace", "-f", "-qq", "-o", directory.path + "/trace", "-e", "trace=fdatasync,fsync", "-e",
            "inject=fdatasync,fsync:error=EIO:when=40+",
        ]
        let service = try Service(data, wrapper: strace)
        guard service.port != 0 else {
            print("skipped: strace is not allowed here")
            return
        }
        var acknowledged = ["kept"]
        var refused = 0
        for number in 0..<100 {
            switch service.post("m\(number)", key: "m\(number)", token: token) {
            case 201: acknowledged.append("m\(number)")
            case 503: refused += 1
            default: break
            }
            if refused > 0 { break }
        }
        // Then that one is 503, and the service ends
        #expect(acknowledged.count > 1 && refused == 1)
        #expect(service.wait() == 74)
        // and what was acknowledged is there at the next start
        let texts = natterd("export", "general", "--data", data).lines.compactMap {
            $0.split(separator: "\"text\":\"").last.map { String($0.prefix { $0 != "\"" }) }
        }
        #expect(texts.starts(with: acknowledged))
        #expect(texts.count <= acknowledged.count + 1)
    }

    @Test("on a full file system messages are refused, and taken again when there is room")
    func fullFileSystem() throws {
        guard access("/usr/bin/unshare", X_OK) == 0, system("/usr/bin/unshare -Urm true 2>/dev/null") == 0 else {
            print("skipped: no user namespaces to mount a small file system in")
            return
        }
        let directory = try TemporaryDirectory()
        let (data, done) = (directory.path + "/data", directory.path + "/done")
        try PosixDisk().makeDirectories(data)
        // A file on the small file system is what fills it; the shell makes room once it sees `done`.
        let script = """
            mount -t tmpfs -o size=8m tmpfs '\(data)' && head -c 5000000 /dev/zero >'\(data)/ballast' || exit 99
            (while ! test -e '\(done)'; do sleep 0.05; done; rm '\(data)/ballast') &
            exec "$@"
            """
        let service = try Service(data, wrapper: ["unshare", "-Urm", "sh", "-c", script, "sh"])
        try #require(service.port != 0)
        let token = service.register("alice")
        let text = String(repeating: "x", count: 60_000)
        var taken = 0
        var status = 0
        for number in 0..<200 {
            status = service.post(text, key: "\(number)", token: token)
            if status != 201 { break }
            taken += 1
        }
        #expect(status == 507 && taken > 0)
        // With room again the same id is taken, and the service is well
        try PosixDisk().open(done, .create).sync()
        let deadline = MonotonicClock.now() + 20_000
        while MonotonicClock.now() < deadline {
            status = service.post(text, key: "\(taken)", token: token)
            if status != 507 { break }
            usleep(10_000)
        }
        #expect(status == 201)
        service.send(SIGTERM)
        #expect(service.wait() == 0)
    }
}
