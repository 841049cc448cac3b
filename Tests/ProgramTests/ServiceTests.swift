internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("natterd serve, where the system fails it")
struct ServiceTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private var data: String { directory("data") }

    private func natterd(_ words: String...) throws -> Outcome {
        try Daemon.run(words + ["--data", data], home: directory.path)
    }

    /// The texts of `general`.
    private func texts() throws -> [String] {
        try natterd("export", "general").objects().map { $0[string: "text"] ?? "" }
    }

    @Test("SIGHUP reads the settings again, and a bad file changes nothing")
    func reload() throws {
        let service = try Daemon(data: data)
        func expectLogged(_ text: String) throws { try eventually(text) { service.log.contains(text) } }
        try directory.write("data/natterd.conf", "log-level = loud\n")
        service.process.signal(SIGHUP)
        try expectLogged(" error not_reloaded reason=")
        try directory.write("data/natterd.conf", "log-level = debug\n")
        service.process.signal(SIGHUP)
        try expectLogged(" info reloaded")
        _ = try RawRequest.send("GET", "/healthz", to: service.url)
        try expectLogged(" debug request method=GET")
        // Another store needs a restart, as a note says.
        try directory.write("data/natterd.conf", "store = postgresql://db.example.org/natter\n")
        service.process.signal(SIGHUP)
        try expectLogged(" warning restart_needed options=store")
        #expect(service.stop().code == 0)
    }

    @Test(
        "after a failed fsync the outcome is unknown, nothing more is taken, and it ends with 74",
        .enabled(if: Machine.traces, "strace may not watch a process here"))
    func failedSync() throws {
        // Given a server with a user
        let first = try Daemon(data: data)
        let token = try first.register("alice")
        #expect(first.post("kept", id: "kept", token: token) == 201)
        #expect(first.stop().code == 0)
        // When each fsync fails from the fortieth on, in the middle of the posts
        let strace = [
            "strace", "-f", "-qq", "-o", directory.path + "/trace", "-e", "trace=fdatasync,fsync", "-e",
            "inject=fdatasync,fsync:error=EIO:when=40+",
        ]
        let service = try Daemon(data: data, wrapper: strace)
        var acknowledged = ["kept"]
        var refused = 0
        for number in 0..<100 {
            switch service.post("m\(number)", id: "m\(number)", token: token) {
            case 201: acknowledged.append("m\(number)")
            case 503: refused += 1
            default: break
            }
            if refused > 0 { break }
        }
        // Then that one is 503, and the service ends
        #expect(acknowledged.count > 1 && refused == 1)
        #expect(service.process.finish().code == 74)
        // and acknowledged messages are there at the next start
        let texts = try texts()
        #expect(texts.starts(with: acknowledged))
        #expect(texts.count <= acknowledged.count + 1)
    }

    @Test("clients that go away count as no failure of the server")
    func abandoned() throws {
        let service = try Daemon(data: data)
        let token = try service.register("alice")
        func leave(_ request: String, after condition: () throws -> Bool) throws {
            let client = try RawClient(service.url)
            client.send(
                request.replacing(" *", with: " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(token)\r\n"))
            // The connection lives as long as its client.
            try withExtendedLifetime(client) { try eventually("a request", condition) }
        }
        // One while it waits for news, which then come
        try leave("GET /v1/conversations/general/messages?after=0&wait=60 *\r\n") {
            try service.metric("natter_waiting_requests") == 1
        }
        #expect(service.post("news", id: "1", token: token) == 201)
        try eventually("the end of the wait") { try service.metric("natter_waiting_requests") == 0 }
        // One in the middle of its body
        try leave("POST /v1/messages *Content-Length: 100\r\n\r\n{") {
            try service.metric("natter_connections").map { $0 > 1 } == true
        }
        try eventually("the end of the request") {
            try service.metric("natter_requests_abandoned_total").map { $0 > 0 } == true
        }
        #expect(try service.metric("natter_requests_total{status=\"5xx\"}") == 0)
        #expect(service.stop().code == 0)
    }

    @Test(
        "on a full file system messages are refused, and taken again when there is room",
        .enabled(if: Machine.mounts, "nobody may mount anything here"))
    func fullFileSystem() throws {
        let (done, asked) = (directory.path + "/done", directory.path + "/status")
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
        // A large file fills the small file system; the shell removes it when `done` exists. Only inside can a command reach
        // the server's socket, so the shell runs one when `asked` exists.
        let script = """
            mount -t tmpfs -o size=8m tmpfs '\(data)' && head -c 5000000 /dev/zero >'\(data)/ballast' || exit 99
            (while ! test -e '\(asked)'; do sleep 0.05; done
            "$1" --data '\(data)' status >'\(asked).part' 2>&1; mv '\(asked).part' '\(asked).told'
            while ! test -e '\(done)'; do sleep 0.05; done; rm '\(data)/ballast') &
            exec "$@"
            """
        let service = try Daemon(data: data, wrapper: ["unshare", "-Urm", "sh", "-c", script, "sh"])
        let token = try service.register("alice")
        // It does not get small.
        let text = String((0..<60_000).map { _ in "0123456789abcdefghijklmnopqrstuvwxyz".randomElement() ?? "x" })
        var taken = 0
        var status = 0
        for number in 0..<200 {
            status = service.post(text, id: "\(number)", token: token)
            if status != 201 { break }
            taken += 1
        }
        #expect(status == 507 && taken > 0)
        // Meanwhile those who watch over the server are told why
        let health = try RawRequest.send("GET", "/healthz", to: service.url)
        #expect(health.status == 503 && health.text.contains("\"code\":\"disk_full\""), "\(health)")
        #expect(try service.metric("natter_trouble{kind=\"disk_full\"}") == 1)
        #expect(try service.metric("natter_trouble{kind=\"write_failed\"}") == 0)
        try Files.write([], to: asked)
        try eventually("the answer of natterd status") { Files.text(asked + ".told") != nil }
        #expect(Files.text(asked + ".told")?.contains("the disk is full; messages are refused") == true)
        let doctor = try ChildProcess(
            Programs.path("natter"), ["--home", directory("home"), "--server", service.url, "doctor"],
            environment: ["SWIFT_BACKTRACE": "enable=no"]
        ).finish()
        #expect(doctor.code == 1 && doctor.output.contains("the disk is full"), "\(doctor)")
        // With room again the same id is taken, and the service is well
        try Files.write([], to: done)
        try eventually("room on the file system") {
            status = service.post(text, id: "\(taken)", token: token)
            return status != 507
        }
        #expect(status == 201)
        #expect(try RawRequest.send("GET", "/healthz", to: service.url).status == 200)
        #expect(try service.metric("natter_trouble{kind=\"disk_full\"}") == 0)
        #expect(try service.metric("natter_trouble{kind=\"low_on_space\"}") == 1)
        #expect(service.stop().code == 0)
    }

    @Test(
        "interrupted reads and writes are continued",
        .enabled(if: Machine.traces, "strace may not watch a process here"))
    func interrupted() throws {
        // Given a server of which each third read and write of a file is broken off, once its libraries are loaded
        let trace = directory("trace")
        let strace = [
            "strace", "-D", "-f", "-qq", "-o", trace, "-e", "trace=pread64,pwrite64", "-e",
            "inject=pread64:error=EINTR:when=60+3", "-e", "inject=pwrite64:error=EINTR:when=2+3",
        ]
        let service = try Daemon(data: data, wrapper: strace)
        // When it is used, and seals
        let token = try service.register("alice")
        let text = String(repeating: "some text ", count: 200)
        for number in 0..<60 { #expect(service.post("\(number) \(text)", id: "\(number)", token: token) == 201) }
        // Then nothing is different
        #expect(service.stop().code == 0)
        #expect(Files.text(trace)?.contains("INJECTED") == true)
        #expect(try natterd("fsck").code == 0)
        #expect(try texts().count == 60)
    }

    @Test("with too many open files it refuses, loses nothing, and recovers when some are closed")
    func tooManyFiles() throws {
        let service = try Daemon(data: data, wrapper: ["/bin/sh", "-c", "ulimit -n 48; exec \"$@\"", "sh"])
        let token = try service.register("alice")
        #expect(service.post("before", id: "before", token: token) == 201)
        // When there are more connections than descriptors
        var sockets = (0..<80).compactMap { _ in try? RawClient(service.url) }
        #expect(sockets.count > 40)
        var acknowledged = ["before"]
        for number in 0..<5
        where service.post("m\(number)", id: "m\(number)", token: token, timeoutSeconds: 1) == 201 {
            acknowledged.append("m\(number)")
        }
        sockets = []
        // Then it serves again by itself
        try eventually("an answer after the connections are closed") {
            [200, 201].contains(service.post("after", id: "after", token: token, timeoutSeconds: 1))
        }
        #expect(service.stop().code == 0)
        #expect(try natterd("fsck").code == 0)
        #expect(try Set(texts()).isSuperset(of: acknowledged + ["after"]))
    }
}
