import Glibc
import NatterSystem
import Testing
import TestSupport

/// A natterd in a process of its own.
final class Service {
    /// The program beside the tests, unless `NATTER_BIN` names another.
    private static var program: String { "\(directory)/natterd" }
    /// Where both programs are.
    static var directory: String { Programs.given ?? Programs.besideTests }

    let address: String
    let port: UInt16
    private let process: ChildProcess

    /// Starts it with its log in `DIR.log` and waits until it listens or ends.
    ///
    /// - Parameter wrapper: words of a program that runs it.
    init(_ data: String, _ words: [String] = [], wrapper: [String] = []) throws {
        process = try ChildProcess(
            "/usr/bin/env", wrapper + [Service.program, "--data", data, "serve", "--listen", "127.0.0.1:0"] + words,
            environment: ["SWIFT_BACKTRACE": "enable=no", "PATH": "/usr/bin:/bin", "HOME": data],
            errors: .end("\(data).log"))
        let line = (try? process.line()) ?? ""
        address = line.hasPrefix("natterd: listening on ") ? String(line.dropFirst(22)) : ""
        port = address.split(separator: ":").last.flatMap { UInt16($0) } ?? 0
    }

    func send(_ signal: Int32) { process.signal(signal) }

    /// - Returns: its exit code, or 128 and the signal that ended it.
    func wait() -> Int32 { process.finish().code }

    func log(_ data: String) throws -> String { Files.text("\(data).log") ?? "" }

    /// - Returns: nil if there was no answer.
    func request(
        _ method: String, _ path: String, body: String = "", token: String? = nil, patience: Int = 60
    ) -> Answer? {
        let headers = ["Connection: close"] + (token.map { ["Authorization: Bearer \($0)"] } ?? [])
        return try? RawClient(port: port, timeoutSeconds: patience).request(
            method, path, headers: headers, body: Array(body.utf8))
    }

    /// A value of the metrics, by its name and labels.
    func metric(_ name: String) -> Int? {
        let line = request("GET", "/metrics")?.text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
        return line.flatMap { Int($0.dropFirst(name.utf8.count + 1)) }
    }

    /// Registers a user and returns their token.
    func register(_ name: String) -> String {
        let answer = request("POST", "/v1/register", body: "{\"name\":\"\(name)\",\"password\":\"password 1\"}")
        return answer?.text.split(separator: "\"token\":\"").dropFirst().first.map { String($0.prefix { $0 != "\"" }) }
            ?? ""
    }

    /// Posts to `general`; the status, 0 if there was no answer.
    func post(_ text: String, key: String, token: String, patience: Int = 60) -> Int {
        let body = "{\"conversation\":\"general\",\"text\":\"\(text)\",\"id\":\"\(key)\"}"
        return request("POST", "/v1/messages", body: body, token: token, patience: patience)?.status ?? 0
    }
}

@Suite("natterd serve")
struct ServiceTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private var data: String { directory.path + "/data" }

    @Test("SIGHUP reads the settings again, and a bad file changes nothing")
    func reload() throws {
        let service = try Service(data)
        func expectLogged(_ text: String) throws { try eventually(text) { try service.log(data).contains(text) } }
        try PosixDisk().replaceContents(of: data + "/natterd.conf", with: Array("log-level = loud\n".utf8))
        service.send(SIGHUP)
        try expectLogged(" error not_reloaded reason=")
        try PosixDisk().replaceContents(of: data + "/natterd.conf", with: Array("log-level = debug\n".utf8))
        service.send(SIGHUP)
        try expectLogged(" info reloaded")
        _ = service.request("GET", "/healthz")
        try expectLogged(" debug request method=GET")
        // Another store needs a restart, as a note says.
        try PosixDisk().replaceContents(
            of: data + "/natterd.conf", with: Array("store = postgresql://db.example.org/natter\n".utf8))
        service.send(SIGHUP)
        try expectLogged(" warning restart_needed options=store")
        service.send(SIGTERM)
        #expect(service.wait() == 0)
    }

    @Test("after a failed fsync the outcome is unknown, nothing more is taken, and it ends with 74")
    func failedSync() throws {
        guard access("/usr/bin/strace", X_OK) == 0 else {
            print("skipped: there is no strace to make fsync fail")
            return
        }
        // Given a server with a user
        let first = try Service(data)
        let token = first.register("alice")
        #expect(first.post("kept", key: "kept", token: token) == 201)
        first.send(SIGTERM)
        #expect(first.wait() == 0)
        // When each fsync fails from the fortieth on, in the middle of the posts
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
        // and acknowledged messages are there at the next start
        let texts = natterd("export", "general", "--data", data).lines.compactMap {
            $0.split(separator: "\"text\":\"").last.map { String($0.prefix { $0 != "\"" }) }
        }
        #expect(texts.starts(with: acknowledged))
        #expect(texts.count <= acknowledged.count + 1)
    }

    @Test("clients that go away count as no failure of the server")
    func abandoned() throws {
        let service = try Service(data)
        try #require(service.port != 0)
        let token = service.register("alice")
        func leave(_ request: String, after condition: () throws -> Bool) throws {
            let client = try RawClient(port: service.port)
            client.send(
                request.replacing(" *", with: " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(token)\r\n"))
            // The connection lives as long as its client.
            try withExtendedLifetime(client) { try eventually("a request", condition) }
        }
        // One while it waits for news, which then come
        try leave("GET /v1/conversations/general/messages?after=0&wait=60 *\r\n") {
            service.metric("natter_waiting_requests") == 1
        }
        #expect(service.post("news", key: "1", token: token) == 201)
        try eventually("the end of the wait") { service.metric("natter_waiting_requests") == 0 }
        // One in the middle of its body
        try leave("POST /v1/messages *Content-Length: 100\r\n\r\n{") {
            service.metric("natter_connections").map { $0 > 1 } == true
        }
        try eventually("the end of the request") {
            service.metric("natter_requests_abandoned_total").map { $0 > 0 } == true
        }
        #expect(service.metric("natter_requests_total{status=\"5xx\"}") == 0)
        service.send(SIGTERM)
        #expect(service.wait() == 0)
    }

    @Test("on a full file system messages are refused, and taken again when there is room")
    func fullFileSystem() throws {
        guard access("/usr/bin/unshare", X_OK) == 0, system("/usr/bin/unshare -Urm true 2>/dev/null") == 0 else {
            print("skipped: no user namespaces to mount a small file system in")
            return
        }
        let (done, asked) = (directory.path + "/done", directory.path + "/status")
        try PosixDisk().makeDirectories(data)
        // A large file fills the small file system; the shell removes it when `done` exists. Only inside can a command reach
        // the server's socket, so the shell runs one when `asked` exists.
        let script = """
            mount -t tmpfs -o size=8m tmpfs '\(data)' && head -c 5000000 /dev/zero >'\(data)/ballast' || exit 99
            (while ! test -e '\(asked)'; do sleep 0.05; done
            "$1" --data '\(data)' status >'\(asked).part' 2>&1; mv '\(asked).part' '\(asked).told'
            while ! test -e '\(done)'; do sleep 0.05; done; rm '\(data)/ballast') &
            exec "$@"
            """
        let service = try Service(data, wrapper: ["unshare", "-Urm", "sh", "-c", script, "sh"])
        try #require(service.port != 0)
        let token = service.register("alice")
        // It does not get small.
        let text = String((0..<60_000).map { _ in "0123456789abcdefghijklmnopqrstuvwxyz".randomElement() ?? "x" })
        var taken = 0
        var status = 0
        for number in 0..<200 {
            status = service.post(text, key: "\(number)", token: token)
            if status != 201 { break }
            taken += 1
        }
        #expect(status == 507 && taken > 0)
        // Meanwhile those who watch over the server are told why
        let health = try #require(service.request("GET", "/healthz"))
        #expect(health.status == 503 && health.text.contains("\"code\":\"disk_full\""), "\(health)")
        #expect(service.metric("natter_trouble{kind=\"disk_full\"}") == 1)
        #expect(service.metric("natter_trouble{kind=\"write_failed\"}") == 0)
        try PosixDisk().open(asked, .create).sync()
        try eventually("the answer of natterd status") { Files.text(asked + ".told") != nil }
        #expect(Files.text(asked + ".told")?.contains("the disk is full; messages are refused") == true)
        let doctor = try ChildProcess(
            Service.directory + "/natter", ["--home", directory.path + "/home", "--server", service.address, "doctor"],
            environment: ["SWIFT_BACKTRACE": "enable=no"]
        ).finish()
        #expect(doctor.code == 1 && doctor.output.contains("the disk is full"), "\(doctor)")
        // With room again the same id is taken, and the service is well
        try PosixDisk().open(done, .create).sync()
        try eventually("room on the file system") {
            status = service.post(text, key: "\(taken)", token: token)
            return status != 507
        }
        #expect(status == 201)
        #expect(service.request("GET", "/healthz")?.status == 200)
        #expect(service.metric("natter_trouble{kind=\"disk_full\"}") == 0)
        #expect(service.metric("natter_trouble{kind=\"low_on_space\"}") == 1)
        service.send(SIGTERM)
        #expect(service.wait() == 0)
    }
}
