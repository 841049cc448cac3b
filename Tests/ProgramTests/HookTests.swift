internal import Foundation
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

        /// Closes what a server that has ended had opened.
        func forget() {
            if client >= 0 { close(client) }
            client = -1
            var request = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            while poll(&request, 1, 0) > 0 { close(accept(listener, nil, nil)) }
        }

        /// The head and the body of the next request, which is answered with the status, after `work`.
        ///
        /// - Parameter length: of the answer's body, which never comes.
        func next(
            answer status: String, length: Int = 0, after work: () throws -> Void = {}
        ) throws -> (head: String, body: String) {
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
                try work()
                Loopback.send(Array("HTTP/1.1 \(status)\r\nContent-Length: \(length)\r\n\r\n".utf8), to: client)
                let parts = String(decoding: bytes, as: UTF8.self).split(
                    separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
                return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
            }
        }
    }

    private func header(_ name: String, _ head: String) -> String? {
        head.split(separator: "\r\n").first { $0.hasPrefix(name + ": ") }.map { String($0.dropFirst(name.count + 2)) }
    }

    /// Adds a hook of `general`, and returns its id.
    private func add(_ receiver: Receiver, to world: World) throws -> String {
        let added = try world.natterd("hook", "add", "general", receiver.url, "--allow-private", "--json")
        return try #require(added.objects().first?[string: "id"], "\(added)")
    }

    @Test(
        "a hook whose key could not be printed is named, so that it can be removed",
        arguments: [true, false], [[], ["--json"]])
    func unprinted(isServing: Bool, options: [String]) throws {
        let world = try World()
        if !isServing { world.stopServing() }
        let words = ["--data", world.data, "hook", "add", "general", "https://example.org/x"]
        let outcome = try world.start(words + options, output: .path("/dev/full")).finish()
        #expect(outcome.code == 74 && outcome.errors.filter { $0 == "\n" }.count == 1, "\(outcome)")
        let id = try #require(outcome.errors.firstMatch(of: /'natterd hook rm ([0-9a-f]+)'/)?.1)
        #expect(try world.natterd("hook", "ls", "--json").objects().map { $0[string: "id"] } == [String(id)])
        #expect(try world.natterd("hook", "rm", String(id)).code == 0)
        #expect(try world.natterd("hook", "ls").bytes.isEmpty)
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
        // The audit trail has the host alone: whoever knows the path of such an address can often post there.
        #expect(try world.natterd("user", "promote", "alice").code == 0)
        let audit = try world.alice("admin", "log", "--audit", "--json").objects()
        #expect(audit.first { $0[string: "action"] == "hook_added" }?[string: "subject"] == "general \(receiver.url)")
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
        // Messages that were sent while no server ran, and one that is not a text
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
        let after = try world.alice("admin", "log", "--audit", "--json").objects()
        #expect(after.contains { $0[string: "action"] == "hook_removed" })
        #expect(try world.natterd("hook", "ls").lines.isEmpty)
        for words in [["rm", id], ["log", id], ["retry", id]] {
            #expect(try world.natterd(["hook"] + words).code == 67)
        }
    }

    @Test("with --events everything is sent, without it texts alone")
    func events() throws {
        let world = try World()
        let (texts, all) = (try Receiver(), try Receiver())
        #expect(try world.natterd("hook", "add", "general", texts.url, "--allow-private").code == 0)
        #expect(try world.natterd("hook", "add", "general", all.url, "--allow-private", "--events").code == 0)
        try world.alice.sends("one")
        try expect(world.alice("edit", "1", "One"))
        try expect(world.alice("delete", "1"))
        try world.alice.sends("two")
        var kinds: [String] = []
        for _ in 0..<4 {
            kinds.append(try JSON(parsing: try all.next(answer: "200 OK").body)[string: "kind"] ?? "text")
        }
        #expect(kinds == ["text", "edit", "delete", "text"])
        // The first one may have come before it was deleted
        var seqs: [Int] = []
        while seqs.last != 4 {
            let object = try JSON(parsing: try texts.next(answer: "200 OK").body)
            #expect(object[string: "kind"] == nil)
            seqs.append(try #require(object[int: "seq"]))
        }
        #expect(seqs == [4] || seqs == [1, 4])
    }

    @Test("after a day of failures a hook is parked; retry sends at once, and in order; a damaged file is 74")
    func parking() throws {
        let world = try World()
        let receiver = try Receiver()
        let id = try add(receiver, to: world)
        try world.alice.sends("one")
        _ = try receiver.next(answer: "500 No")
        try eventually("the failure is kept") {
            try world.natterd("hook", "ls", "--json").objects().first?[int: "failures"] == 1
        }
        world.stopServing()
        receiver.forget()
        // Given a first failure of more than a day ago
        let path = "\(world.store)/hooks/\(id).json"
        let text = try #require(Files.text(path)).prefix { $0 != "\n" }
        let old = text.replacing(/"failing_since":[0-9]+/, with: "\"failing_since\":1700000000000")
        #expect(old != text)
        try FileManager.default.removeItem(atPath: path)
        try old.write(toFile: path, atomically: false, encoding: .utf8)
        try world.serve()
        _ = try receiver.next(answer: "500 No")
        try eventually("it is parked") {
            try world.natterd("hook", "ls", "--json").objects().first?[string: "parked"] != nil
        }
        #expect(try world.natterd("hook", "ls").output.contains("parked: "))
        try world.alice.sends("two")
        // When the operator asks for another attempt, also while no server runs
        world.stopServing()
        receiver.forget()
        #expect(try world.natterd("hook", "retry", id).code == 0)
        try world.serve()
        for text in ["one", "two"] {
            #expect(try JSON(parsing: try receiver.next(answer: "200 OK").body)[string: "text"] == text)
        }
        // And while one does, in the middle of a pause
        try world.alice.sends("three")
        for _ in 0..<3 {
            _ = try receiver.next(answer: "503 No")
            #expect(try world.natterd("hook", "retry", id).code == 0)
        }
        _ = try receiver.next(answer: "200 OK")
        world.stopServing()
        for (pattern, value) in [
            (/"failures":[0-9]+/, "\"failures\":9223372036854775807"),
            (/"seq":[0-9]+,"url/, "\"seq\":18446744073709551615,\"url"),
            (/"conversation_id":"[0-9a-f]+"/, "\"conversation_id\":\"x\""), (/"url":"[^"]+"/, "\"url\":\"ftp://x\""),
        ] {
            let good = try #require(Files.text(path)).prefix { $0 != "\n" }
            let bad = good.replacing(pattern, with: value)
            #expect(bad != good)
            try FileManager.default.removeItem(atPath: path)
            try bad.write(toFile: path, atomically: false, encoding: .utf8)
            let outcome = try world.natterd("hook", "ls")
            #expect(outcome.code == 74 && isOneLine(outcome.errors), "\(value) \(outcome)")
            #expect(outcome.errors.contains("'natterd hook rm \(id)'"), "\(outcome)")
            try FileManager.default.removeItem(atPath: path)
            try good.write(toFile: path, atomically: false, encoding: .utf8)
        }
        // The server runs, and sends what the others have
        try FileManager.default.removeItem(atPath: path)
        try "?".write(toFile: path, atomically: false, encoding: .utf8)
        try world.serve()
        _ = try add(receiver, to: world)
        try world.alice.sends("four")
        _ = try receiver.next(answer: "200 OK")
        #expect(try world.natterd("hook", "rm", id).code == 0)
        #expect(try world.natterd("hook", "ls").output.split(separator: "\n").count == 1)
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test(
        "a backup has the hooks, and a restored one goes on with its cursor and its key",
        .enabled(if: !PostgresCluster.servesTests, "a store in PostgreSQL has no such files"))
    func backup() throws {
        let world = try World()
        let receiver = try Receiver()
        let id = try add(receiver, to: world)
        let gone = try world.natterd("hook", "add", "general", receiver.url, "--allow-private", "--json")
        let backup = world.directory("backup")
        #expect(try world.natterd("backup", backup).code == 0)
        #expect(try world.natterd("hook", "rm", try #require(gone.objects().first?[string: "id"])).code == 0)
        #expect(try world.natterd("backup", backup).code == 0)
        world.stopServing()
        let restored = world.directory("restored")
        func natterd(_ words: String...) throws -> Outcome {
            try Daemon.run(["--data", restored] + words, home: world.directory.path)
        }
        #expect(try natterd("restore", backup).code == 0)
        let hooks = try natterd("hook", "ls", "--json").objects()
        #expect(hooks.map { $0[string: "id"] } == [id])
        #expect(Files.text("\(restored)/hooks/\(id).json") == Files.text("\(world.store)/hooks/\(id).json"))
        #expect(Files.mode("\(restored)/hooks/\(id).json") == 0o600)
    }

    @Test(
        "a hook that has delivered more than the log has, as after a copy of old files, says so and goes on from the end"
    )
    func rewound() throws {
        let world = try World()
        let receiver = try Receiver()
        try world.alice.sends("one")
        let id = try add(receiver, to: world)
        world.stopServing()
        let path = "\(world.store)/hooks/\(id).json"
        let text = try #require(Files.text(path)).prefix { $0 != "\n" }
        let ahead = text.replacing(/"seq":1,"url/, with: "\"seq\":9,\"url")
        #expect(ahead != text)
        try FileManager.default.removeItem(atPath: path)
        try ahead.write(toFile: path, atomically: false, encoding: .utf8)
        try world.serve()
        try world.alice.sends("two")
        #expect(try JSON(parsing: try receiver.next(answer: "200 OK").body)[string: "text"] == "two")
        let log = try world.natterd("hook", "log", id, "--json").objects()
        #expect(log.first?[int: "seq"] == 9 && log.first?[string: "error"]?.contains("the log ends at 1") == true)
    }

    @Test("what is deleted while an earlier message is delivered is not sent")
    func deletedMeanwhile() throws {
        let world = try World()
        let receiver = try Receiver()
        #expect(try world.natterd("hook", "add", "general", receiver.url, "--allow-private").code == 0)
        try world.alice.sends("one", "two", "three")
        // The second attempt comes after all three were there.
        _ = try receiver.next(answer: "500 No")
        let first = try receiver.next(answer: "200 OK") { try expect(world.alice("delete", "2")) }
        #expect(try JSON(parsing: first.body)[string: "text"] == "one")
        #expect(try JSON(parsing: try receiver.next(answer: "200 OK").body)[string: "text"] == "three")
    }

    @Test("a message is delivered when the answer's status says so, whatever its body is")
    func longAnswer() throws {
        let world = try World()
        let receiver = try Receiver()
        let id = try add(receiver, to: world)
        try world.alice.sends("one", "two")
        for text in ["one", "two"] {
            let request = try receiver.next(answer: "200 OK", length: 1_000_000)
            #expect(try JSON(parsing: request.body)[string: "text"] == text)
        }
        try eventually("both are delivered") {
            try world.natterd("hook", "log", id, "--json").objects().map { $0[int: "status"] } == [200, 200]
        }
    }

    @Test(
        "a hook goes on behind messages that a repair has stated as lost, and says so",
        .enabled(if: !PostgresCluster.servesTests, "it damages a file of the log"))
    func lost() throws {
        let world = try World()
        let receiver = try Receiver()
        let id = try add(receiver, to: world)
        world.stopServing()
        let lines = (1...3_000).map { #"{"ts":1700000000000,"sender":"x","text":"message \#($0 &* 7_919)"}"# }
        let file = try world.directory.write("in.ndjson", lines.joined(separator: "\n") + "\n")
        #expect(try world.natterd("import", "general", file).code == 0)
        let logs = world.data + "/logs"
        let log = try #require(
            FileManager.default.enumerator(atPath: logs)?.compactMap { $0 as? String }.first { $0.hasSuffix(".log") })
        let handle = try #require(FileHandle(forUpdatingAtPath: logs + "/" + log))
        try handle.seek(toOffset: handle.seekToEnd() / 2)
        try handle.write(contentsOf: [1, 2, 3, 4])
        try handle.close()
        #expect(try world.natterd("fsck", "--repair").code == 1)
        try world.serve()
        try world.alice.sends("after")
        #expect(try JSON(parsing: try receiver.next(answer: "200 OK").body)[string: "text"] == "after")
        #expect(try world.natterd("hook", "log", id).output.contains("do not exist any more"))
    }

    @Test("a group that was renamed has its new name")
    func renamed() throws {
        let world = try World()
        let receiver = try Receiver()
        #expect(try world.alice.run(["group", "create", "ops"]).code == 0)
        try expectSuccess(world.natterd("hook", "add", "ops", receiver.url, "--allow-private", "--format", "ntfy"))
        #expect(try world.alice.run(["group", "rename", "ops", "crew"]).code == 0)
        let listed = try world.natterd("hook", "ls", "--json").objects()
        #expect(listed.count == 1 && listed.first?[string: "conversation"] == "crew")
        try world.alice.sends("hello", to: "crew")
        #expect(header("Title", try receiver.next(answer: "200 OK").head) == "crew")
    }

    @Test("ntfy's form is the text")
    func ntfy() throws {
        let world = try World()
        let receiver = try Receiver()
        let added = try world.natterd("hook", "add", "general", receiver.url, "--allow-private", "--format", "ntfy")
        #expect(added.code == 0 && added.lines.count == 1, "\(added.errors)")
        try world.alice.sends("disk full")
        let request = try receiver.next(answer: "200 OK")
        #expect(request.body == "alice: disk full" && header("Title", request.head) == "general")
        #expect(header("Content-Type", request.head)?.hasPrefix("text/plain") == true)
        // A header is ASCII, and ntfy reads encoded words of RFC 2047.
        try expect(world.alice("group", "create", "Наши-новости-дня"), hasNotes: true)
        try expectSuccess(
            world.natterd("hook", "add", "Наши-новости-дня", receiver.url, "--allow-private", "--format", "ntfy"))
        try world.alice.sends("да", to: "Наши-новости-дня")
        let title = try #require(header("Title", try receiver.next(answer: "200 OK").head))
        let words = title.split(separator: " ")
        #expect(words.count > 1 && words.allSatisfy { $0.utf8.count <= 75 && $0.utf8.allSatisfy { $0 < 0x80 } })
        let script = "import sys, email.header as h; print(h.make_header(h.decode_header(sys.argv[1])))"
        let decoded = try ChildProcess(
            "/usr/bin/python3", ["-c", script, title], environment: ["PYTHONIOENCODING": "utf-8"]
        ).finish()
        #expect(decoded.output == "Наши-новости-дня\n", "\(title)")
    }

    @Test("private addresses are refused at once, and those of a name after it is resolved, unless they are allowed")
    func privateAddress() throws {
        let world = try World()
        let receiver = try Receiver()
        let port = receiver.url.split(separator: ":").last ?? ""
        for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.1.2.3", "[fd00::1]"] {
            let refused = try world.natterd("hook", "add", "general", "http://\(host):\(port)/")
            #expect(refused.code == 65 && isOneLine(refused.errors), "\(host) \(refused)")
            #expect(refused.errors.contains("has no public address"), "\(host) \(refused)")
        }
        #expect(try world.natterd("hook", "add", "general", "http://localhost:\(port)/").code == 0)
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
