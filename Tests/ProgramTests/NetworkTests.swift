internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("natterd serve in a network")
struct NetworkTests {
    @Test("log -f goes on after something else has answered in the server's place for a while")
    func strangeAnswerWhileFollowing() throws {
        let world = try World()
        let way = try HostileServer(for: world.url)
        defer { way.stop() }
        let alice = world.alice.at(way.url)
        let follower = try alice.start(["log", "-f"])
        try world.bob.sends("one")
        #expect(try follower.line().hasSuffix("one"))
        way.answerAll("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")
        try eventually("it was answered") { way.hasAnswered }
        way.answerAll(nil)
        try world.bob.sends("two")
        #expect(try follower.line().hasSuffix("two"))
        #expect(follower.finish(after: SIGINT).code == 130)
    }

    @Test("an address that others reach needs a proxy that is named", arguments: ["0.0.0.0:0", "[::]:0"])
    func openNetwork(address: String) throws {
        let directory = try TemporaryDirectory()
        try expect(
            Daemon.run(["serve", "--data", directory("data"), "--listen", address], home: directory.path), 78,
            "unencrypted")
        let daemon = try ChildProcess(
            Programs.path("natterd"),
            ["serve", "--data", directory("data"), "--listen", address, "--behind-proxy", "192.0.2.1"], environment: [:]
        )
        #expect(try daemon.line().hasPrefix("natterd: listening on http://"))
        #expect(daemon.finish(after: SIGTERM).code == 0)
    }

    @Test(
        "--behind-proxy takes numeric addresses", arguments: ["localhost", "", "127.0.0.1,", "127.0.0.1:80", "a,b"])
    func badProxy(value: String) throws {
        let directory = try TemporaryDirectory()
        try expect(
            Daemon.run(["serve", "--data", directory("data"), "--behind-proxy", value], home: directory.path), 64)
    }

    @Test("metrics are for this machine: not through a proxy, named or not")
    func metrics() throws {
        let world = try World()
        let metrics = try RawRequest.send("GET", "/metrics", to: world.url)
        #expect(metrics.status == 200 && metrics.text.contains(/\nnatter_free_bytes \d{6,}\n/))
        for header in ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"] {
            #expect(try RawRequest.send("GET", "/metrics", to: world.url, headers: [header]).status == 401)
        }
        world.stopServing()
        try world.serve(["--behind-proxy", "127.0.0.1"])
        #expect(try RawRequest.send("GET", "/metrics", to: world.url).status == 401)
        let token = try world.alice.token()
        #expect(try RawRequest.send("GET", "/metrics", to: world.url, token: token).status == 403)
    }

    @Test("--host names the server, and natterd.conf does so for a running one")
    func host() throws {
        let world = try World(isServing: false)
        func status(_ host: String) throws -> Int? {
            let connection = try RawClient(world.url)
            connection.send("GET /healthz HTTP/1.1\r\nHost: \(host)\r\n\r\n")
            return try connection.status()
        }
        try world.serve(["--host", "chat.example.org, chat"])
        for name in ["chat.example.org", "chat:7117", "localhost"] { #expect(try status(name) == 200) }
        #expect(try status("evil.example") == 421)
        world.stopServing()
        try expect(world.natterd("serve", "--host", "chat:7117"), 64)
    }

    /// An address of this machine by which others reach it; nil if it has none.
    private static let ownAddress: String? = {
        guard let found = try? ChildProcess("/usr/bin/hostname", ["-I"], environment: [:]).finish(), found.code == 0
        else { return nil }
        return found.output.split { $0 == " " || $0 == "\n" }.map(String.init).first { $0.contains(".") }
    }()

    @Test(
        "behind a proxy nobody else may connect",
        .enabled(if: NetworkTests.ownAddress != nil, "this machine has no address on a network"))
    func strangers() throws {
        let address = try #require(NetworkTests.ownAddress)
        for (proxy, isServed) in [("192.0.2.1", false), (address, true)] {
            let directory = try TemporaryDirectory()
            let daemon = try ChildProcess(
                Programs.path("natterd"),
                ["serve", "--data", directory("data"), "--listen", "0.0.0.0:0", "--behind-proxy", proxy],
                environment: [:])
            let port = try daemon.line().split(separator: ":").last.map(String.init) ?? ""
            func curl(_ host: String) throws -> Outcome {
                try ChildProcess(
                    "/usr/bin/curl",
                    ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://\(host):\(port)/healthz"],
                    environment: [:]
                ).finish()
            }
            // This machine itself may always connect
            #expect(try curl("127.0.0.1").output == "200")
            #expect(try curl(address).output == (isServed ? "200" : "000"))
            #expect(daemon.finish(after: SIGTERM).code == 0)
        }
    }

    @Test("who may register: by option, by natterd.conf, and after SIGHUP")
    func registration() throws {
        let world = try World(isServing: false)
        let configuration = try world.directory.write("data/natterd.conf", "registration = closed\nno-web = yes\n")
        let daemon = try world.start(["serve", "--listen", "127.0.0.1:0"])
        let url = String(try daemon.line().dropFirst("natterd: listening on ".count))
        func register(_ name: String) throws -> Outcome {
            try Person(name: name, home: world.directory(name), server: url).enter("register", name)
        }
        try expect(register("dora"), 77, "no new accounts")
        try Data("registration = open\nid-retention = 60\n".utf8).write(to: URL(filePath: configuration))
        daemon.signal(SIGHUP)
        try daemon.waitForErrors("restart_needed options=id-retention,no-web")
        #expect(try register("dora").code == 0)
        // A setting that needs a restart has not changed.
        #expect(try RawRequest.send("GET", "/", to: url).status == 404)
        try Data("registration = perhaps\n".utf8).write(to: URL(filePath: configuration))
        daemon.signal(SIGHUP)
        try daemon.waitForErrors("not_reloaded")
        #expect(try register("emil").code == 0)
        // A restart would fail, and 'status' says so until it would not.
        func problems() throws -> [String?] {
            let status = try #require(try world.natterd("status", "--json").objects().first)
            return status[objects: "problems"].map { $0[string: "message"] }
        }
        let problem = try #require(try problems().first ?? nil)
        #expect(problem.contains("a restart would fail: '\(configuration)', line 1: "), "\(problem)")
        #expect(try world.natterd("status").output.contains(problem))
        // So would one with a certificate that can't be read, which is not used before
        try Data("tls-cert = none.pem\ntls-key = none.key\n".utf8).write(to: URL(filePath: configuration))
        daemon.signal(SIGHUP)
        try eventually("the certificate is missed") { (try problems().first ?? nil)?.contains("none.pem") == true }
        try Data("id-retention = 60\n".utf8).write(to: URL(filePath: configuration))
        daemon.signal(SIGHUP)
        try daemon.waitForErrors("restart_needed options=id-retention,no-web\n")
        try daemon.waitForErrors("reloaded registration=open\n")
        #expect(try problems() == [])
        #expect(daemon.finish(after: SIGTERM).code == 0)
    }

    @Test("a block that a client has is 304 with the block's length, and its address has one spelling")
    func knownBlock() throws {
        let world = try World()
        let line = JSON.line(ts: 1_700_000_000_000, sender: "a", text: "x")
        #expect(try world.natterd("import", "general", "-", input: .text(line)).code == 0)
        let token = try world.alice.token()
        func ask(_ path: String, _ headers: String...) throws -> Answer {
            try RawRequest.send("GET", "/v1/\(path)", to: world.url, token: token, headers: headers)
        }
        let id = try #require(try JSON(parsing: ask("conversations/general").text)[string: "id"])
        let block = try ask("blocks/\(id)/1-0")
        let tag = try #require(block.header("etag"))
        #expect(block.status == 200)
        let known = try ask("blocks/\(id)/1-0", "If-None-Match: \(tag)")
        #expect(known.status == 304 && known.header("content-length") == "\(block.body.count)")
        for address in ["+1-0", "1-+0"] { #expect(try ask("blocks/\(id)/\(address)").status == 400) }
    }

    @Test("a type with the quality 0 is not accepted")
    func refusedType() throws {
        let world = try World()
        for (accepted, type) in [
            ("application/x-ndjson;q=0", "application/json"), ("application/x-ndjson; Q=0.00, */*", "application/json"),
            ("application/x-ndjson;q=0.1", "application/x-ndjson"),
        ] {
            let answer = try RawRequest.send(
                "GET", "/v1/users", to: world.url, token: world.alice.token(), headers: ["Accept: \(accepted)"])
            #expect(answer.header("content-type")?.hasPrefix(type) == true, "\(accepted)")
        }
    }

    @Test("the page for browsers has its files, headers that let nothing else run, and tags that spare bytes")
    func page() throws {
        let world = try World()
        let answer = try RawRequest.send("GET", "/", to: world.url)
        #expect(answer.status == 200 && answer.head.contains("Content-Type: text/html; charset=utf-8"))
        #expect(answer.text.contains("<noscript>") && answer.text.contains("natter register"))
        for forbidden in ["<style", "style=", "javascript:", "http://", "https://", "RELEASE"] {
            #expect(!answer.text.contains(forbidden), "\(forbidden)")
        }
        for header in [
            "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
                + "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
                + "frame-ancestors 'none'; require-trusted-types-for 'script'",
            "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer",
            "Cross-Origin-Opener-Policy: same-origin",
            "Cross-Origin-Resource-Policy: same-origin", "Cache-Control: no-cache",
        ] {
            #expect(answer.head.contains("\(header)\r\n"), "\(header)")
        }
        let tag = try #require(answer.head.firstMatch(of: /ETag: (".*")\r\n/)?.1)
        let known = try RawRequest.send("GET", "/", to: world.url, headers: ["If-None-Match: \(tag)"])
        #expect(known.status == 304 && known.body.isEmpty)
        #expect(known.header("content-length") == "\(answer.body.count)")
        // Each file that the document names is there, for ever the same, and smaller if compressed.
        let paths = answer.text.matches(of: /"(\/page\/[0-9a-f]+\/[a-z.]+)"/).map { String($0.1) }
        #expect(paths.count > 5)
        var bytes = answer.body.count
        for path in paths {
            let plain = try RawRequest.send("GET", path, to: world.url)
            #expect(plain.status == 200 && plain.head.contains("Cache-Control: public, max-age=31536000, immutable"))
            let small = try RawRequest.send("GET", path, to: world.url, headers: ["Accept-Encoding: br, gzip"])
            #expect(small.head.contains("Content-Encoding: gzip") && small.body.count < plain.body.count)
            for coding in ["gzip;q=0", "gzip; Q=0.0"] {
                let refused = try RawRequest.send("GET", path, to: world.url, headers: ["Accept-Encoding: \(coding)"])
                #expect(refused.body == plain.body, "\(coding)")
            }
            bytes += small.body.count
            // A text over several lines would lose its indentation.
            let lines = plain.text.split(separator: "\n")
            #expect(!path.hasSuffix(".js") || lines.allSatisfy { $0.count { $0 == "`" } % 2 == 0 }, "\(path)")
        }
        // Its goal is 60 KB with the first messages and with 300 bytes for the head of each answer.
        #expect(bytes + 300 * paths.count < 60_000, "\(bytes)")
        #expect(try RawRequest.send("GET", "/page/0123456789abcdef/app.js", to: world.url).status == 404)
        let head = try RawRequest.send("HEAD", "/", to: world.url)
        #expect(
            head.status == 200 && head.text.isEmpty && head.head.contains("Content-Length: \(answer.body.count)"))
        let refused = try RawRequest.send("POST", "/", to: world.url)
        #expect(refused.status == 405 && refused.head.contains("Allow: GET, HEAD"))
    }

    @Test(
        "what all its readers share is compressed for clients that take gzip; sync and lists of conversations never are"
    )
    func compression() throws {
        let world = try World()
        for number in 1...20 { try world.alice.sends("the same words again and again, number \(number)") }
        let token = try world.alice.token()
        func ask(_ target: String, _ headers: String...) throws -> Answer {
            try RawRequest.send("GET", target, to: world.url, token: token, headers: headers)
        }
        let gzip = "Accept-Encoding: deflate, gzip"
        let page = "/v1/conversations/general/messages"
        for headers in [[], ["Accept: application/x-ndjson"]] {
            let plain = try RawRequest.send("GET", page, to: world.url, token: token, headers: headers)
            let small = try RawRequest.send("GET", page, to: world.url, token: token, headers: headers + [gzip])
            #expect(!plain.head.contains("Content-Encoding") && plain.head.contains("Vary: Accept-Encoding\r\n"))
            #expect(small.head.contains("Content-Encoding: gzip\r\n") && small.body.count < plain.body.count / 3)
            let unpacked = try ChildProcess("/bin/gzip", ["-dc"], environment: [:], input: .bytes(small.body)).finish()
            #expect(unpacked.code == 0 && unpacked.bytes == plain.body)
        }
        let blocks = "Accept: application/vnd.natter.blocks"
        for answer in [
            try ask(page, "Accept-Encoding: gzip;q=0"), try ask(page, gzip, blocks), try ask("\(page)?limit=1", gzip),
            try ask("/v1/sync", gzip), try ask("/v1/conversations", gzip), try ask("/v1/search?q=words", gzip),
        ] {
            #expect(answer.status == 200 && !answer.head.contains("Content-Encoding"))
        }
    }

    @Test("with --no-web there is no page")
    func noPage() throws {
        let world = try World(isServing: false)
        try world.serve(["--no-web"])
        for method in ["GET", "HEAD", "POST"] {
            #expect(try RawRequest.send(method, "/", to: world.url).status == 404)
            #expect(try RawRequest.send(method, "/page/0123456789abcdef/app.js", to: world.url).status == 404)
        }
        #expect(try RawRequest.send("GET", "/healthz", to: world.url).status == 200)
    }
}
