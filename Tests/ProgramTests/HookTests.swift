internal import Glibc
internal import Testing
internal import TestSupport

@Suite("natterd hook")
struct HookTests {
    /// Receives the requests of hooks, one after another, as the test asks for them.
    private final class Receiver {
        let url: String
        private let listener: Int32
        private var client: Int32 = -1

        init() throws {
            let (listener, port) = try Loopback.listen()
            (self.listener, url) = (listener, "http://127.0.0.1:\(port)")
        }

        deinit {
            if client >= 0 { close(client) }
            close(listener)
        }

        /// The head and the body of the next request, which is answered with the status.
        func next(answer status: String) throws -> (head: String, body: String) {
            while true {
                if client < 0 {
                    var request = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
                    guard poll(&request, 1, Int32(ChildProcess.patienceMilliseconds)) > 0 else {
                        throw Failure("no request of a hook")
                    }
                    client = accept(listener, nil, nil)
                }
                guard let bytes = Loopback.message(from: client) else {
                    close(client)
                    client = -1
                    continue
                }
                Loopback.send(Array("HTTP/1.1 \(status)\r\nContent-Length: 0\r\n\r\n".utf8), to: client)
                let parts = String(decoding: bytes, as: UTF8.self).split(
                    separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
                return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
            }
        }
    }

    private func header(_ name: String, _ head: String) -> String? {
        head.split(separator: "\r\n").first { $0.hasPrefix(name + ": ") }.map { String($0.dropFirst(name.count + 2)) }
    }

    @Test(
        "each new text arrives in order, signed; a refused one again, with the same name; nothing is lost by a restart")
    func delivery() throws {
        let world = try World()
        let receiver = try Receiver()
        try world.alice.sends("before the hook")
        let added = try world.natterd("hook", "add", "general", "\(receiver.url)/in?x=1", "--allow-private", "--json")
        #expect(added.code == 0, "\(added.errors)")
        let hook = try #require(added.objects().first)
        let (id, secret) = (try #require(hook[string: "id"]), try #require(hook[string: "secret"]))
        try world.alice.sends("one", "two")
        let refused = try receiver.next(answer: "500 No")
        let first = try receiver.next(answer: "200 OK")
        #expect(refused.head.hasPrefix("POST /in?x=1 HTTP/1.1\r\n") && first.body == refused.body)
        #expect(header("Natter-Delivery", first.head) == header("Natter-Delivery", refused.head))
        let object = try JSON(parsing: first.body)
        #expect(object[string: "text"] == "one" && object[string: "sender"] == "alice" && object[int: "seq"] == 2)
        #expect(try JSON(parsing: try receiver.next(answer: "204 No Content").body)[string: "text"] == "two")
        // Others can check the signature
        let script =
            "import hashlib,hmac,sys;print('sha256='+hmac.new(sys.argv[1].encode(),sys.argv[2].encode(),hashlib.sha256).hexdigest())"
        let signed = try ChildProcess("/usr/bin/python3", ["-c", script, secret, first.body], environment: [:]).finish()
        #expect(signed.lines == [header("Natter-Signature", first.head)])
        // What was sent while no server ran, and what is not a text
        try eventually("the cursor is kept") {
            try world.natterd("hook", "ls", "--json").objects().first?[int: "seq"] == 3
        }
        try world.bob.sends("three")
        #expect(
            try JSON(parsing: try receiver.next(answer: "302 Found\r\nLocation: /x").body)[string: "text"] == "three")
        world.stopServing()
        try world.serve()
        let third = try receiver.next(answer: "200 OK")
        #expect(try third.head.hasPrefix("POST /in") && JSON(parsing: third.body)[string: "text"] == "three")
        let log = try world.natterd("hook", "log", id, "--json").objects()
        #expect(log.map { $0[int: "status"] }.prefix(4) == [500, 200, 204, 302])
        // Removed, it gets nothing more
        #expect(try world.natterd("hook", "rm", id).code == 0)
        #expect(try world.natterd("hook", "ls").lines.isEmpty)
        for words in [["rm", id], ["log", id], ["retry", id]] {
            #expect(try world.natterd(["hook"] + words).code == 67)
        }
    }

    @Test("ntfy's form is the text; with --events everything is sent")
    func ntfy() throws {
        let world = try World()
        let receiver = try Receiver()
        for words in [["--format", "ntfy"]] {
            let added = try world.natterd(["hook", "add", "general", receiver.url, "--allow-private"] + words)
            #expect(added.code == 0 && added.lines.count == 1, "\(added.errors)")
        }
        try world.alice.sends("disk full")
        let request = try receiver.next(answer: "200 OK")
        #expect(request.body == "alice: disk full" && header("Title", request.head) == "general")
        #expect(header("Content-Type", request.head)?.hasPrefix("text/plain") == true)
    }

    @Test("private addresses are refused after the name is resolved, unless they are allowed")
    func privateAddress() throws {
        let world = try World()
        let receiver = try Receiver()
        let port = receiver.url.split(separator: ":").last ?? ""
        for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"] {
            #expect(try world.natterd("hook", "add", "general", "http://\(host):\(port)/").code == 0)
        }
        try world.alice.sends("secret")
        try eventually("all have failed") {
            try world.natterd("hook", "ls", "--json").objects().allSatisfy { ($0[int: "failures"] ?? 0) > 0 }
        }
        for hook in try world.natterd("hook", "ls", "--json").objects() {
            let log = try world.natterd("hook", "log", try #require(hook[string: "id"]), "--json").objects()
            #expect(log.allSatisfy { $0[int: "status"] == nil && $0[string: "error"]?.contains("public") == true })
        }
    }

    @Test("what is no hook is refused")
    func refused() throws {
        let world = try World(isServing: false)
        for (words, code) in [
            (["nix", "https://example.org/"], 67), (["@alice,@nix", "https://example.org/"], 67),
            (["general", "ftp://example.org/"], 65), (["general", "https://u:p@example.org/"], 65),
            (["general", "https://example.org/#a"], 65), (["general", "https://example.org/a b"], 65),
            (["general"], 64), (["general", "https://example.org/", "--format", "xml"], 64),
        ] {
            let outcome = try world.natterd(["hook", "add"] + words)
            #expect(outcome.code == Int32(code) && isOneLine(outcome.errors), "\(words) \(outcome.errors)")
        }
        #expect(try world.natterd("hook", "ls").lines.isEmpty)
        // Without a server it is kept for the next one
        #expect(try world.natterd("hook", "add", "general", "https://example.org/").code == 0)
        #expect(try world.natterd("hook", "ls").lines.count == 1)
    }
}
