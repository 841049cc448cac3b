internal import Glibc
internal import NatterHTTP
internal import NatterModel
internal import NatterProtocol
@testable internal import NatterServer
internal import NatterSystem
@testable internal import NatterStore
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

/// Permissions: every request of the API by every role, with the status that the table `Tests/AuthorityMatrix.txt` has for it.
///
/// With `RECORD=1` the test writes the table anew from what the server does. Read it line by line before you commit it.
@Suite("the matrix of who may do what")
struct MatrixTests {
    /// The columns of the table.
    private enum Role: String, CaseIterable {
        /// No token.
        case anonymous
        /// Sam is in no group.
        case stranger
        /// Mia, of the groups 'ops' and 'club'.
        case member
        /// Rex was in both.
        case removed
        /// Ada created both.
        case admin
        /// An admin of the server, in no group.
        case root
        /// Dan, a member whose account was disabled.
        case disabled
        /// Tokens that mia made: for everything, to send to 'ops', to read 'ops'.
        case all, send, read
        /// A token that mia made for everything, past its time; and one that she revoked.
        case expired, revoked
    }

    private struct Row {
        let method: String
        let target: String
        let body: String?
        var statuses: [Role: Int] = [:]

        var request: String { [method, target, body].compactMap { $0 }.joined(separator: " ") }
        var changesSomething: Bool { method != "GET" }
    }

    /// A server's directory in which everybody of the table is, to be copied for each request that changes something.
    private struct Scene {
        let directory: TemporaryDirectory
        var tokens: [Role: String] = [:]
        /// Tokens for everything that end in an hour.
        var ending: [Role: String] = [:]
        /// The values for `<…>` in a row.
        var names: [String: String] = [:]
        static let start = Timestamp(milliseconds: 1_795_000_000_000)

        init() throws {
            directory = try TemporaryDirectory()
            let clock = TestClock(Scene.start)
            let server = try TestServer(directory: directory, isCopied: true, clock: clock)
            let people = try Dictionary(
                uniqueKeysWithValues: ["sam", "mia", "rex", "ada", "root", "dan"].map { ($0, try server.account($0)) })
            func by(_ name: String) throws -> Client { try #require(people[name]) }
            try server.makeAdmin("root")
            for (group, isOpen) in [("ops", false), ("club", true)] {
                let made = try by("ada").post("/v1/groups", ["name": .string(group), "open": .bool(isOpen)])
                names["\(group)-id"] = try made.json["id"]?.text
                for member in ["mia", "rex", "dan"] {
                    let added = try by("ada").send(.put, "/v1/groups/\(group)/members/\(member)")
                    try #require(added.status == 200)
                }
                let removed = try by("ada").send(.delete, "/v1/groups/\(group)/members/rex")
                try #require(removed.status == 200)
            }
            // Enough that a block is sealed
            for number in 1...30 {
                let text = (0..<300).map { "\(number &* 7_919 &+ $0 &* 104_729)" }.joined(separator: " ")
                try #require(try by("ada").say("secret-ops \(text)", to: "ops").status == 201)
            }
            let upload = try by("ada").send(
                .post, "/v1/conversations/ops/files?name=f", body: Array("secret-ops".utf8))
            let named = try by("ada").post(
                "/v1/messages", ["conversation": "ops", "text": "x", "files": .array([upload.json["upload"] ?? ""])])
            try #require(named.status == 201 || PostgresCluster.servesTests)
            names["file-id"] = try by("ada").page(["fold": "1"], of: "ops").messages.last?.files?.first?.id
            let personal = try by("ada").say("secret-pm", to: "@mia")
            try #require(personal.status == 201)
            names["no-id"] = String(repeating: "0", count: 32)
            names["pm-id"] = try personal.json["conversation_id"]?.text
            try #require(try by("sam").say("hello", to: "general").status == 201)
            try self.makeTokens(of: try by("mia"))
            for (role, name) in [
                (Role.stranger, "sam"), (.member, "mia"), (.removed, "rex"), (.admin, "ada"), (.root, "root"),
                (.disabled, "dan"),
            ] { tokens[role] = try by(name).token }
            for (role, name) in [(Role.member, "mia"), (.admin, "ada"), (.root, "root")] {
                let end = Scene.start.advanced(milliseconds: 3_600_000).rfc3339
                let made = try by(name).post(
                    "/v1/tokens", ["label": "ending", "scope": "all", "expires": .string(end)])
                ending[role] = try #require(made.json["token"]?.text)
            }
            names["session"] = try by("mia").get("/v1/sessions").json["sessions"]?.items.first?["id"]?.text
            names["invite"] = try by("root").post("/v1/admin/invites", [:]).json["id"]?.text
            let disabled = try by("root").json(.patch, "/v1/admin/users/dan", ["disabled": true])
            try #require(disabled.status == 200)
            try Scene.waitForBlock(names["ops-id"], by: try by("ada"))
            server.stop()
        }

        private mutating func makeTokens(of mia: Client) throws {
            for (role, scope) in [
                (Role.all, "all"), (.send, "send:ops"), (.read, "read:ops"), (.expired, "all"), (.revoked, "all"),
            ] {
                var body: [String: JSONValue] = ["label": .string(role.rawValue), "scope": .string(scope)]
                if role == .expired { body["expires"] = .string(Scene.start.advanced(milliseconds: 3_600_000).rfc3339) }
                let made = try mia.post("/v1/tokens", .object(body)).json
                tokens[role] = try #require(made["token"]?.text)
                names["token-\(role)"] = made["id"]?.text
            }
            let revoked = try mia.send(.delete, "/v1/tokens/\(names["token-revoked"] ?? "")")
            try #require(revoked.status == 200)
        }

        /// Nothing tells when a conversation was sealed; asking again soon is all there is.
        private static func waitForBlock(_ id: String?, by reader: Client) throws {
            try eventually("a block is sealed") { try reader.get("/v1/blocks/\(id ?? "")/1-0").status == 200 }
        }

        /// A server over a copy, by default two hours later.
        func serve(
            _ clock: TestClock = TestClock(Scene.start.advanced(milliseconds: 7_200_000)), usesSockets: Bool = false
        ) throws -> TestServer {
            let copy = try TemporaryDirectory()
            try Files.clone(directory.path, into: copy.path)
            return try TestServer(directory: copy, isCopied: true, clock: clock, usesSockets: usesSockets)
        }

        func answer(to row: Row, for role: Role, on server: TestServer) throws -> Answer {
            try answer(to: row, by: tokens[role], on: server)
        }

        func answer(to row: Row, by token: String?, on server: TestServer) throws -> Answer {
            let method = try #require(HTTPMethod(rawValue: row.method))
            var target = row.target
            var body = row.body
            for (name, value) in names {
                target = target.replacing("<\(name)>", with: value)
                body = body?.replacing("<\(name)>", with: value)
            }
            let isLines = row.body?.hasPrefix("{") == true && target.contains("?stop")
            let isText = row.target.hasPrefix("/v1/conversations/") && row.target.contains("/messages")
            let type = isLines ? "application/x-ndjson" : isText ? "text/plain" : "application/json"
            return try Client(server, token: token).send(
                method, target, body: body.map { Array($0.utf8) },
                headers: row.body == nil ? [] : [("Content-Type", type)])
        }
    }

    @Test("each request has the status in the table, and no text reaches the wrong reader")
    func matrix() throws {
        let (preface, rows) = try MatrixTests.table()
        let scene = try Scene()
        let shared = try scene.serve()
        var found: [Row] = []
        for row in rows {
            var row = row
            var own: TestServer?
            for role in Role.allCases {
                let server = row.changesSomething ? try own ?? scene.serve() : shared
                let answer = try scene.answer(to: row, for: role, on: server)
                if let expected = row.statuses[role] {
                    #expect(answer.status == expected, "\(row.request) by \(role): \(answer.outcome)")
                }
                row.statuses[role] = answer.status
                // A refused request has changed nothing, but for the count of wrong passwords
                own = answer.status < 300 || row.target == "/v1/login" ? nil : server
                let text = String(decoding: answer.body, as: UTF8.self)
                let readsGroup: Set<Role> = [.member, .admin, .all, .read]
                let readsPersonal: Set<Role> = [.member, .admin, .all]
                // The result of a user's own request is no news
                if !row.request.contains("secret") {
                    #expect(readsGroup.contains(role) || !text.contains("secret-ops"), "\(row.request) by \(role)")
                    #expect(readsPersonal.contains(role) || !text.contains("secret-pm"), "\(row.request) by \(role)")
                }
            }
            found.append(row)
        }
        if Files.isRecording { try MatrixTests.write(preface, found) }
    }

    @Test("a request that waits when its token ends gets 401 and does nothing, whichever it is")
    func ended() throws {
        // Given that no worker is free, nor the threads that change the store
        let clock = TestClock(Scene.start.advanced(milliseconds: 60_000))
        let scene = try Scene()
        let server = try scene.serve(clock, usesSockets: true)
        let doors = try server.chat.holdWorkers()
        let mayWrite = Monitor(false)
        #expect(server.store.sealer.submit { _ in mayWrite.wait { $0 } })
        server.store.submit(.upkeep({ _ in mayWrite.wait { $0 } }, { _ in }))
        func open() {
            for door in doors { door.open() }
            mayWrite.signal { $0 = true }
        }
        defer { open() }
        let before = server.store.content
        // When each request is there
        let answers = Monitor<[(row: String, outcome: String)]>([])
        var (threads, expected) = ([SystemThread](), 0)
        for row in try MatrixTests.table().rows {
            let role = [Role.member, .admin, .root].first { row.statuses[$0].map { $0 < 300 } ?? false }
            guard let role, row.statuses[.anonymous] == 401, !MatrixTests.isAnsweredAtOnce(row) else { continue }
            expected += 1
            threads.append(
                try SystemThread(name: "test-request") {
                    let answer = Result { try scene.answer(to: row, by: scene.ending[role], on: server) }
                    answers.signal { $0.append((row.request, (try? answer.get())?.outcome ?? "\(answer)")) }
                })
        }
        #expect(expected > 60)
        // So many that have come are in a queue: one more turn of the listener has taken them there
        try eventually("all have come") { server.chat.connectionCount >= expected }
        for _ in 0..<3 { #expect(try server.stranger().get("/healthz").status == 200) }
        #expect(answers.withLock { $0.map(\.row) } == [])
        // And then the tokens end
        clock.advance(milliseconds: 7_200_000)
        open()
        for thread in threads { thread.join() }
        // Then
        for (row, outcome) in answers.withLock({ $0 }) {
            #expect(["401 unauthorized", "401 token_expired"].contains(outcome), "\(row): \(outcome)")
        }
        #expect(server.store.content == before)
    }

    /// Whether the listener answers it itself. It refuses the tokens that end in an hour, which are for programs, the deletion
    /// of their owner's account.
    private static func isAnsweredAtOnce(_ row: Row) -> Bool {
        if row.method == "DELETE", row.target == "/v1/account" { return true }
        return row.method == "GET"
            && ["/v1/whoami", "/v1/admin/log", "/v1/admin/invites"].contains { row.target.hasPrefix($0) }
    }

    @Test("the table has every request of the API")
    func completeness() throws {
        let rows = try MatrixTests.table().rows
        for route in ChatServer.routes {
            let isThere = rows.contains { row in
                let path = row.target.prefix { $0 != "?" }.split(separator: "/")
                return row.method == route.method && path.count == route.path.count
                    && route.parameters(of: path.map(String.init)) != nil
            }
            #expect(isThere, "\(route.method) /\(route.path.joined(separator: "/"))")
        }
    }

    // MARK: The table

    private static let path = "\(Programs.packageRoot)/Tests/AuthorityMatrix.txt"

    /// The lines before the first row, and the rows: a quoted request, then a status for each role.
    private static func table() throws -> (preface: [Substring], rows: [Row]) {
        let text = String(decoding: try PosixDisk().contents(of: path, limit: 1 << 20), as: UTF8.self)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        var rows: [Row] = []
        for line in lines where !line.isEmpty && !line.hasPrefix("#") {
            // A store in PostgreSQL has no files.
            if PostgresCluster.servesTests, line.contains("/files") { continue }
            let parts = line.split(separator: " | ", maxSplits: 1)
            let words = parts[0].split(separator: " ", maxSplits: 2).map(String.init)
            var row = Row(
                method: try #require(words.first), target: try #require(words.dropFirst().first),
                body: words.count > 2 ? words[2].trimmingSuffix(while: { $0 == " " }) : nil)
            let statuses = parts.dropFirst().first?.split(separator: " ").map { Int($0) } ?? []
            for (role, status) in zip(Role.allCases, statuses) { row.statuses[role] = status }
            rows.append(row)
        }
        return (lines.prefix { $0.hasPrefix("#") }.dropLast(), rows)
    }

    private static func write(_ preface: [Substring], _ rows: [Row]) throws {
        let width = rows.map(\.request.count).max() ?? 0
        func padded(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        let widths = Role.allCases.map { max(3, $0.rawValue.count) }
        var lines = preface.map(String.init)
        lines.append(
            padded("#", width) + " | "
                + zip(Role.allCases, widths).map { padded($0.rawValue, $1) }.joined(separator: " "))
        for row in rows {
            let cells = zip(Role.allCases, widths).map { padded(row.statuses[$0].map(String.init) ?? "-", $1) }
            lines.append(padded(row.request, width) + " | " + cells.joined(separator: " "))
        }
        let file = fopen(path, "w")
        try #require(file != nil)
        for line in lines { fputs(line.trimmingSuffix(while: { $0 == " " }) + "\n", file) }
        fclose(file)
    }
}

extension Store {
    /// How much there is of what requests make and delete.
    fileprivate var content: [String: Int] {
        state.withLock { state in
            [
                "messages": state.conversations.values.reduce(0) { $0 + Int($1.head.rawValue) },
                "conversations": state.conversations.values.count { !$0.isDeleted },
                "members": state.conversations.values.reduce(0) { $0 + $1.members.count },
                "open": state.conversations.values.count(where: \.isOpen),
                "accounts": state.accounts.count, "disabled": state.accounts.values.count(where: \.isDisabled),
                "admins": state.accounts.values.count(where: \.isAdmin), "invites": state.invites.count,
                "reads": state.accounts.values.reduce(0) { $0 + $1.reads.count },
                "contacts": state.accounts.values.reduce(0) { $0 + $1.contacts.count + $1.blocked.count },
            ]
        }
    }
}

extension String {
    fileprivate func trimmingSuffix(while isTrimmed: (Character) -> Bool) -> String {
        String(reversed().drop(while: isTrimmed).reversed())
    }
}
