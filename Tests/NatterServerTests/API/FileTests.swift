internal import NatterHTTP
internal import NatterModel
internal import NatterProtocol
internal import NatterSystem
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

@testable internal import NatterServer
@testable internal import NatterStore

extension Client {
    /// Uploads a file, and returns what a message needs to name it.
    fileprivate func upload(
        _ content: [UInt8], _ name: String = "build.log", to conversation: String = "general"
    ) throws -> String {
        let path = "/v1/conversations/\(HTTPRequest.encodeSegment(conversation))/files"
        let answer = try send(.post, path + HTTPRequest.encodeQuery([("name", name)]), body: content)
        guard answer.status == 201 else { throw Failure("an upload: \(answer.outcome)") }
        return try #require(answer.json["upload"]?.text)
    }

    fileprivate func post(_ text: String?, _ uploads: [String], to conversation: String = "general") throws -> Answer {
        var body: [String: JSONValue] = [
            "conversation": .string(conversation), "files": .array(uploads.map { .string($0) }),
        ]
        if let text { body["text"] = .string(text) }
        return try post("/v1/messages", .object(body))
    }
}

@Suite("files over HTTP", .enabled(if: !PostgresCluster.servesTests, "a store in PostgreSQL has no files"))
struct FileTests {
    private let server: TestServer
    private let alice: Client
    private static let content = Array("one line and another\n".utf8)

    init() throws {
        server = try TestServer()
        alice = try server.account("alice")
    }

    /// Sends a file in `general`, and returns the path of its bytes.
    private func file(_ content: [UInt8] = Self.content, _ name: String = "build.log") throws -> String {
        let answer = try alice.post("text", [alice.upload(content, name)])
        try #require(answer.status == 201)
        let page = try alice.page(["fold": "1"])
        return "/v1/files/\(try #require(page.messages.last?.files?.last?.id))"
    }

    @Test("a file goes up, and down again to whoever may read its message")
    func whole() throws {
        let (bob, content) = (try server.account("bob"), (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        let answer = try alice.send(
            .post, "/v1/conversations/general/files?name=a%2Fbuild%20%D1%8F.log", body: content,
            headers: [("Content-Type", "text/html")])
        #expect(answer.status == 201)
        let json = try answer.json
        #expect(json.keys == ["name", "size", "type", "upload"])
        #expect(json["name"] == "build я.log" && json["size"]?.int == 3_000_000)
        #expect(json["type"] == "application/octet-stream")
        // Without a text, and named by a user of the same conversation
        let posted = try alice.post(nil, [try #require(json["upload"]?.text)])
        #expect(posted.status == 201)
        let folded = try #require(try bob.page(["fold": "1"]).messages.first)
        let file = try #require(folded.files?.first)
        #expect(folded.text == "" && file.name == "build я.log" && file.size == 3_000_000 && file.key == nil)
        let records = try bob.page().messages
        #expect(records.map { $0.kind ?? "text" } == ["text", "file"])
        #expect(records[1].file?.id == file.id && records[1].file?.key?.count == 32 && records[1].text == file.name)
        let read = try bob.get("/v1/files/\(file.id)")
        #expect(read.status == 200 && read.body == content)
        #expect(read.header("Content-Type") == "application/octet-stream")
        #expect(read.header("ETag") == "\"\(file.id)\"")
        #expect(read.header("X-Content-Type-Options") == "nosniff")
        #expect(read.header("Content-Security-Policy")?.hasPrefix("sandbox") == true)
        #expect(read.header("Content-Disposition") == "attachment; filename*=UTF-8''build%20%D1%8F.log")
        // A reader can verify it.
        let record = try #require(records[1].file?.record)
        #expect(Digest(of: record.key + read.body).description == file.id)
    }

    @Test("over a connection, in chunks or with its length, and by HEAD")
    func connection() throws {
        let content = (0..<700_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let connection = try RawClient(port: server.port)
        let path = "/v1/conversations/general/files?name=x.bin"
        let plain = try connection.request("POST", path, token: alice.token, body: content)
        #expect(plain.outcome == "201")
        let empty = try connection.request("POST", path, token: alice.token, body: [])
        #expect(empty.outcome == "201")
        var chunks: [UInt8] = []
        for start in stride(from: 0, to: content.count, by: 70_000) {
            chunks += Array("\(String(70_000, radix: 16))\r\n".utf8) + content[start..<start + 70_000] + [13, 10]
        }
        let chunked = try connection.request(
            "POST", path, headers: ["Transfer-Encoding: chunked"], token: alice.token,
            body: chunks + Array("0\r\n\r\n".utf8))
        #expect(chunked.outcome == "201")
        let uploads = try [plain, empty, chunked].compactMap { try $0.json["upload"]?.text }
        #expect(try alice.post("text", uploads).status == 201)
        let files = try #require(try alice.page(["fold": "1"]).messages.first?.files)
        #expect(files.map(\.size) == [700_000, 0, 700_000])
        let reader = try RawClient(port: server.port)
        for (file, expected) in zip(files, [content, [], content]) {
            let answer = try reader.request("GET", "/v1/files/\(file.id)", token: alice.token)
            #expect(answer.status == 200 && answer.body == expected)
            let head = try reader.request("HEAD", "/v1/files/\(file.id)", token: alice.token)
            #expect(head.status == 200 && head.header("Content-Length") == "\(expected.count)")
        }
    }

    @Test("a part of a file, so that a cut download goes on")
    func range() throws {
        let path = try file()
        let tag = try #require(try alice.get(path).header("ETag"))
        func get(_ headers: [(name: String, value: String)]) throws -> Answer {
            try alice.send(.get, path, headers: headers)
        }
        for (range, expected) in [
            ("bytes=0-2", "one"), ("bytes=4-", "line and another\n"), ("bytes=-8", "another\n"), ("bytes=-99", nil),
            ("bytes=20-99", "\n"), ("bytes=0-0", "o"), ("bytes=0-99999999999999999999999", nil),
        ] {
            let answer = try get([("Range", range)])
            #expect(answer.status == 206 && answer.text == expected ?? "one line and another\n", "\(range)")
        }
        #expect(try get([("Range", "bytes=4-7")]).header("Content-Range") == "bytes 4-7/21")
        for range in ["bytes=21-", "bytes=-0", "bytes=30-40"] {
            let answer = try get([("Range", range)])
            #expect(answer.status == 416 && answer.header("Content-Range") == "bytes */21", "\(range)")
        }
        // What is no single range asks for the whole.
        for range in ["bytes=0-1,3-4", "bytes=5-4", "bytes=", "bytes=-", "lines=0-1", "bytes=a-b", "bytes=+1-2"] {
            #expect(try get([("Range", range)]).status == 200, "\(range)")
        }
        #expect(try get([("Range", "bytes=0-2"), ("If-Range", tag)]).status == 206)
        #expect(try get([("Range", "bytes=0-2"), ("If-Range", "\"other\"")]).status == 200)
        let known = try get([("If-None-Match", tag)])
        #expect(known.status == 304 && known.body == [])
    }

    @Test("a name of any bytes is a name in the header, and nothing else")
    func disposition() {
        #expect(FileRoutes.disposition("a b.txt") == "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt")
        for (name, expected) in [
            ("a\"b", "a%22b"), ("a\\b", "a%5Cb"), ("50%", "50%25"), ("\u{202E}gpj.exe", "%E2%80%AEgpj.exe"),
            ("'", "%27"),
        ] {
            let quoted = name == "'" ? "filename=\"'\"; " : ""
            #expect(FileRoutes.disposition(name) == "attachment; \(quoted)filename*=UTF-8''\(expected)")
        }
    }

    @Test("an upload is judged by its head, before a byte of its body is there")
    func head() throws {
        var limits = FileLimits()
        (limits.fileBytes, limits.accountBytes) = (1 << 20, 100)
        server.store.use(limits)
        func answer(_ path: String, length: Int, token: String?) throws -> Answer {
            let connection = try RawClient(port: server.port)
            connection.sendRequest("POST", path, headers: ["Content-Length: \(length)"], token: token)
            return try connection.answer()
        }
        let path = "/v1/conversations/general/files"
        for (path, length, token, expected) in [
            (path + "?name=x", 2 << 20, nil, "401 unauthorized"),
            (path + "?name=x", 2 << 20, alice.token, "413 too_large"),
            (path + "?name=x", 200_000, alice.token, "403 quota"),
            (path, 5_000, alice.token, "400 bad_request"),
            (path + "?name=a%2F..", 5_000, alice.token, "422 bad_name"),
            (path + "?name=a%0Ab", 5_000, alice.token, "422 bad_name"),
            ("/v1/conversations/nix/files?name=x", 5_000, alice.token, "404 no_such_conversation"),
        ] {
            let answer = try answer(path, length: length, token: token)
            #expect(answer.outcome == expected)
            let error = try answer.json["error"]
            switch expected {
            case "413 too_large":
                #expect(error?["limit"]?.int == 1 << 20 && error?["used"]?.int == 2 << 20)
                #expect(error?["setting"] == "file-size")
            case "403 quota":
                #expect(error?["limit"]?.int == 100 && error?["used"]?.int == 0)
                #expect(error?["setting"] == "files-per-user")
            default: #expect(error?["limit"] == nil)
            }
        }
        limits.totalBytes = 10
        limits.accountBytes = nil
        server.store.use(limits)
        let full = try answer(path + "?name=x", length: 5_000, token: alice.token)
        #expect(full.outcome == "507 disk_full")
        #expect(try full.json["error"]?["setting"] == "files-total")
    }

    @Test("admins see how many files there are, what they take, which wait, and whose they are")
    func counted() throws {
        try server.makeAdmin("alice")
        _ = try alice.post("text", [alice.upload([1, 2, 3]), alice.upload([4])])
        _ = try server.account("bob").upload([5, 6])
        func expect(_ count: Int, _ bytes: Int, waiting: Int, alice own: Int) throws {
            let stats = try alice.get("/v1/admin/stats").json
            #expect(stats["files"]?.int == count && stats["file_bytes"]?.int == bytes)
            #expect(stats["waiting_files"]?.int == waiting)
            let metrics = try alice.get("/metrics").text
            for (name, value) in [("files", count), ("file_bytes", bytes), ("waiting_files", waiting)] {
                #expect(metrics.contains("\nnatter_\(name) \(value)\n"))
            }
            let users = try #require(try alice.get("/v1/admin/users").json["users"]?.items)
            #expect(users.first { $0["name"] == "alice" }?["file_bytes"]?.int == own)
            #expect(users.first { $0["name"] == "bob" }?["file_bytes"]?.int == 2)
        }
        try expect(3, 6, waiting: 1, alice: 4)
        let erased = try alice.post("/v1/admin/erase", ["conversation": "general", "seqs": [2]])
        #expect(erased.status == 200)
        try expect(2, 3, waiting: 1, alice: 1)
    }

    @Test("a body that turns out too long is refused, and one that breaks off leaves nothing")
    func cut() throws {
        var limits = FileLimits()
        limits.fileBytes = 1 << 20
        server.store.use(limits)
        let path = "/v1/conversations/general/files?name=x"
        let chunk = Array("40000\r\n".utf8) + [UInt8](repeating: 7, count: 0x40000) + [13, 10]
        let connection = try RawClient(port: server.port)
        connection.sendRequest("POST", path, headers: ["Transfer-Encoding: chunked"], token: alice.token)
        for _ in 0..<5 { connection.send(chunk) }
        #expect(try connection.answer().outcome == "413 too_large")
        do {
            let connection = try RawClient(port: server.port)
            connection.sendRequest("POST", path, headers: ["Content-Length: 900000"], token: alice.token)
            connection.send([UInt8](repeating: 7, count: 600_000))
            try eventually("it is being received") { Files.below(server.directory.path + "/files/new").count > 1 }
        }
        try eventually("nothing is left") { Files.below(server.directory.path + "/files/new").count == 1 }
        // What it had reserved is free again.
        limits.accountBytes = 1 << 20
        server.store.use(limits)
        try eventually("its room is free") {
            try alice.send(.post, path, body: [UInt8](repeating: 7, count: 900_000)).status == 201
        }
    }

    @Test("a message names only uploads that are there, and is refused as a whole otherwise")
    func refusals() throws {
        let (bob, upload) = (try server.account("bob"), try alice.upload(Self.content))
        #expect(try alice.post("x", [upload, "nonsense"]).outcome == "404 not_found")
        #expect(try bob.post("x", [upload]).outcome == "404 not_found")
        #expect(try alice.post("x", [upload, upload]).outcome == "400 bad_request")
        #expect(try alice.post("x", Array(repeating: upload, count: 21)).outcome == "400 bad_request")
        #expect(try alice.post("", []).outcome == "422 bad_text")
        #expect(try alice.post(nil, []).outcome == "400 bad_request")
        #expect(try alice.page().messages.isEmpty)
        #expect(try alice.post("", [upload]).status == 201)
    }

    @Test("a file that may not be read is not there, and one that was deleted is gone")
    func gone() throws {
        let bob = try server.account("bob")
        #expect(try alice.post("x", [alice.upload(Self.content, to: "@bob")], to: "@bob").status == 201)
        let file = try #require(try bob.page(["fold": "1"], of: "@alice").messages.first?.files?.first)
        let path = "/v1/files/\(file.id)"
        #expect(try bob.get(path).status == 200)
        #expect(try server.account("eve").get(path).outcome == "404 not_found")
        for none in ["/v1/files/\(String(repeating: "0", count: 64))", "/v1/files/x", path + "0"] {
            #expect(try bob.get(none).outcome == "404 not_found")
        }
        #expect(try alice.change("delete", of: 1, in: "@bob").status == 201)
        #expect(try bob.get(path).outcome == "410 gone")
        let records = try bob.page(of: "@alice").messages
        #expect(records.allSatisfy { $0.text.isEmpty && $0.file == nil && $0.files == nil })
    }
}
