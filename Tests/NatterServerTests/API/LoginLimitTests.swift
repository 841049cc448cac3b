internal import NatterSystem
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

@Suite("wrong passwords are limited")
struct LoginLimitTests {
    private let server: TestServer

    init() throws { server = try TestServer() }

    private func login(_ client: Client, _ name: String, _ password: String = TestServer.password) throws -> Answer {
        try client.post("/v1/login", ["name": .string(name), "password": .string(password)])
    }

    @Test("after ten failures an account waits, the right password too; other accounts do not")
    func account() throws {
        let alice = try server.account("alice")
        try server.account("bob")
        let stranger = server.stranger()
        // Given failures in every spelling of the name, and successes between them, which count nothing
        for index in 0..<10 {
            #expect(try login(stranger, index % 2 == 0 ? "alice" : "ALICE", "wrong").outcome == "401 bad_credentials")
            if index < 9 { #expect(try login(stranger, "alice").outcome == "200") }
        }
        // Then
        for password in ["wrong", TestServer.password] {
            let answer = try login(stranger, "Alice", password)
            #expect(answer.outcome == "429 slow_down")
            let seconds = Int(answer.header("Retry-After") ?? "") ?? 0
            #expect((1...300).contains(seconds))
        }
        #expect(try login(stranger, "bob").outcome == "200")
        // A logged-in user stays logged in.
        #expect(try alice.get("/v1/whoami").status == 200)
    }

    @Test("an unknown name is rate-limited like a known one")
    func unknownName() throws {
        let stranger = server.stranger()
        for _ in 0..<10 { #expect(try login(stranger, "nobody").outcome == "401 bad_credentials") }
        #expect(try login(stranger, "nobody").outcome == "429 slow_down")
    }

    @Test("a wrong old password counts as a wrong login does, and the right one changes it")
    func password() throws {
        let alice = try server.account("alice")
        let other = try server.stranger().post(
            "/v1/login", ["name": "alice", "password": .string(TestServer.password)])
        let second = Client(server, token: try other.json["token"]?.text)
        func change(_ old: String) throws -> String {
            try alice.post("/v1/password", ["old": .string(old), "new": "another long one"]).outcome
        }
        for _ in 0..<5 { #expect(try change("wrong") == "401 bad_credentials") }
        #expect(try alice.post("/v1/password", ["old": "wrong", "new": "short"]).outcome != "200")
        #expect(try change(TestServer.password) == "200")
        // Other sessions have ended, this one still works
        #expect(try second.get("/v1/whoami").outcome == "401 unauthorized")
        #expect(try alice.get("/v1/whoami").status == 200)
        #expect(try login(server.stranger(), "alice").outcome == "401 bad_credentials")
        #expect(try login(server.stranger(), "alice", "another long one").outcome == "200")
        for _ in 0..<5 where try change("wrong") != "401 bad_credentials" { break }
        #expect(try change("another long one") == "429 slow_down")
        #expect(try login(server.stranger(), "alice", "another long one").outcome == "429 slow_down")
    }

    @Test("after fifty failures an address waits, whatever the account")
    func address() throws {
        try server.account("alice")
        let outcomes = try concurrently(2) { thread in
            let client = server.stranger()
            return try (0..<25).map { try login(client, "x\(thread)-\($0)", "wrong").outcome }
        }
        #expect(outcomes.joined().allSatisfy { $0 == "401 bad_credentials" })
        let answer = try login(server.stranger(), "alice")
        #expect(answer.outcome == "429 slow_down")
        #expect(answer.header("Retry-After") != nil)
    }

    @Test("only failures count: right passwords may come as often, and as many at once, as they like")
    func successes() throws {
        try server.account("alice")
        // Given more logins at once than there may be failures
        let crowd = try concurrently(200) { _ in try login(server.stranger(), "alice").outcome }
        // Then each is logged in, or told to retry soon; none gets the answer for too many wrong passwords
        #expect(Set(crowd).isSubset(of: ["200", "503 busy"]))
        #expect(crowd.contains("200"))
        for _ in 0..<12 { #expect(try login(server.stranger(), "alice").outcome == "200") }
    }

    @Test("many wrong passwords at once are no way past the limit")
    func crowdOfFailures() throws {
        try server.account("alice")
        let crowd = try concurrently(100) { index in try login(server.stranger(), "alice", "wrong \(index)").outcome }
        #expect(Set(crowd).isSubset(of: ["401 bad_credentials", "429 slow_down", "503 busy"]))
        #expect(crowd.filter { $0 == "401 bad_credentials" }.count <= 10)
    }

    @Test("'slow_down' and 'busy' say when to retry, and the server keeps answering others")
    func busy() throws {
        let bob = try server.account("bob")
        let finished = Monitor(false)
        let crowd = try SystemThread(name: "crowd") {
            let answers = try? concurrently(120) { index in
                try server.stranger().post("/v1/register", ["name": .string("u\(index)"), "password": "long enough"])
            }
            for answer in answers ?? [] {
                #expect(["201", "429 slow_down", "503 busy"].contains(answer.outcome))
                if answer.status != 201 { #expect(Int(answer.header("Retry-After") ?? "") ?? 0 >= 1) }
            }
            finished.signal { $0 = true }
        }
        var answered = 0
        while !finished.withLock({ $0 }) {
            #expect(try bob.get("/v1/whoami").status == 200)
            answered += 1
        }
        crowd.join()
        // Had he to wait for all that are hashed, he would have one answer or two.
        #expect(answered >= 10)
    }
}
