internal import NatterHTTP
internal import NatterModel
internal import NatterProtocol
internal import ServerSupport
internal import Testing
internal import TestSupport

@Suite("requests that name a conversation by its id")
struct ConversationIDTests {
    /// Alice's group 'ops' with one message of hers, renamed to 'crew', and another 'ops', both with bob.
    private struct Scene {
        let server: TestServer
        let (alice, bob): (Client, Client)
        let id: String

        init() throws {
            server = try TestServer()
            (alice, bob) = (try server.account("alice"), try server.account("bob"))
            id = try #require(try alice.post("/v1/groups", ["name": "ops"]).json["id"]?.text)
            try #require(try alice.send(.put, "/v1/groups/ops/members/bob").status == 200)
            try #require(try alice.say("old", to: "ops").status == 201)
            try #require(try alice.json(.patch, "/v1/groups/ops", ["name": "crew"]).status == 200)
            try #require(try alice.post("/v1/groups", ["name": "ops"]).status == 201)
            try #require(try alice.send(.put, "/v1/groups/ops/members/bob").status == 200)
            try #require(try alice.say("new", to: "ops").status == 201)
        }

        func texts(_ name: String) throws -> [String] {
            try bob.page(["fold": "1"], of: name).messages.filter { $0.kind == nil }.map(\.text)
        }

        func fields(_ more: [String: JSONValue]) -> [String: JSONValue] {
            more.merging(["conversation": "ops", "conversation_id": .string(id)]) { $1 }
        }
    }

    @Test("a message goes to the group with that id, whatever name is beside it, in each way to send one")
    func posting() throws {
        let scene = try Scene()
        let one = try scene.bob.post("/v1/messages", .object(scene.fields(["text": "one", "id": "k"])))
        #expect(one.status == 201)
        #expect(try one.json["conversation"] == "crew" && one.json["conversation_id"] == .string(scene.id))
        // A retry without any name
        let again = try scene.bob.post(
            "/v1/messages", ["conversation_id": .string(scene.id), "text": "one", "id": "k"])
        #expect(again.status == 200)
        #expect(try again.json["seq"] == one.json["seq"])
        let lines = [
            #"{"conversation":"ops","conversation_id":"\#(scene.id)","text":"two"}"#,
            #"{"conversation":"ops","text":"by name"}"#, #"{"conversation_id":"\#(scene.id)","text":"thr\u00e9"}"#,
        ]
        let bulk = try scene.bob.send(
            .post, "/v1/messages", body: Array(lines.joined(separator: "\n").utf8),
            headers: [("Content-Type", "application/x-ndjson")])
        #expect(try bulk.lines.map { $0["conversation"] } == ["crew", "ops", "crew"])
        let text = try scene.bob.send(
            .post, "/v1/conversations/ops/messages?conversation_id=\(scene.id)", body: Array("four".utf8))
        #expect(text.status == 201)
        #expect(try scene.texts("crew") == ["old", "one", "two", "thr\u{E9}", "four"])
        #expect(try scene.texts("ops") == ["new", "by name"])
    }

    @Test("edits, deletions and read marks are about the numbers of the group with that id")
    func changes() throws {
        let scene = try Scene()
        let seq = try #require(try scene.alice.page(of: "crew").messages.first { $0.text == "old" }).seq
        let before = try scene.bob.get("/v1/conversations/ops").json["read"]
        let edit = scene.fields(["kind": "edit", "about": .number(Double(seq)), "text": "older"])
        #expect(try scene.alice.post("/v1/messages", .object(edit)).status == 201)
        #expect(try scene.texts("crew") == ["older"])
        // Sealed, the store reads it from its log
        try scene.server.seal("crew", as: scene.alice)
        let deletion = scene.fields(["kind": "delete", "about": .number(Double(seq))])
        #expect(try scene.alice.post("/v1/messages", .object(deletion)).status == 201)
        #expect(try scene.texts("crew") == [""] && scene.texts("ops") == ["new"])
        let mark = try scene.bob.json(
            .put, "/v1/conversations/ops/read", ["seq": 3, "conversation_id": .string(scene.id)])
        #expect(try mark.json["read"] == 3)
        #expect(try scene.bob.get("/v1/conversations/crew").json["read"] == 3)
        #expect(try scene.bob.get("/v1/conversations/ops").json["read"] == before)
    }

    @Test("changes of a group, its deletion and erasures meet the group with that id, and none of its former name")
    func meantByID() throws {
        let scene = try Scene()
        try scene.server.makeAdmin("alice")
        let id = "?conversation_id=\(scene.id)"
        // An erasure
        let seq = try #require(try scene.alice.page(of: "crew").messages.first { $0.text == "old" }).seq
        let erasure = scene.fields(["seqs": .array([.number(Double(seq))])])
        #expect(try scene.alice.post("/v1/admin/erase", .object(erasure)).json["erased"] == 1)
        #expect(try scene.texts("crew") == [""] && scene.texts("ops") == ["new"])
        let entry = try scene.alice.get("/v1/admin/audit").lines.first
        #expect(entry?["action"] == "messages_erased" && entry?["subject"] == .string("crew \(seq)"))
        // Members and the name
        func members(_ name: String) throws -> [JSONValue?] {
            try scene.alice.get("/v1/groups/\(name)/members").json["users"]?.items.map { $0["name"] } ?? []
        }
        #expect(try scene.alice.send(.delete, "/v1/groups/ops/members/bob\(id)").status == 200)
        #expect(try members("crew") == ["alice"] && members("ops") == ["alice", "bob"])
        // A user who does not see the group learns nothing by its id
        #expect(try scene.bob.send(.delete, "/v1/groups/ops\(id)").outcome == "404 no_such_conversation")
        #expect(try scene.alice.send(.put, "/v1/groups/ops/members/bob\(id)").status == 200)
        #expect(try members("crew") == ["alice", "bob"])
        let renamed = try scene.alice.json(.patch, "/v1/groups/ops\(id)", ["name": "band"])
        #expect(try renamed.json["name"] == "band" && renamed.json["id"] == .string(scene.id))
        for id in ["", "x"] {
            #expect(try scene.alice.send(.delete, "/v1/groups/ops?conversation_id=\(id)").status == 400)
        }
        // The deletion, and again: the group that has the name stays
        #expect(try scene.alice.send(.delete, "/v1/groups/ops\(id)").status == 200)
        #expect(try scene.alice.send(.delete, "/v1/groups/ops\(id)").outcome == "404 no_such_conversation")
        #expect(try scene.texts("ops") == ["new"])
    }

    @Test("an id of what is deleted, unknown or out of sight is 404 whatever the name, a malformed one 400")
    func refusals() throws {
        let scene = try Scene()
        func outcomes(_ id: String) throws -> Set<String> {
            let line = #"{"conversation":"general","conversation_id":"\#(id)","text":"x"}"#
            let bulk = try scene.bob.send(
                .post, "/v1/messages", body: Array(line.utf8), headers: [("Content-Type", "application/x-ndjson")])
            return try [
                scene.bob.post(
                    "/v1/messages", ["conversation": "general", "conversation_id": .string(id), "text": "x"]
                ).outcome,
                scene.bob.send(
                    .post, "/v1/conversations/general/messages?conversation_id=\(id)", body: Array("x".utf8)
                ).outcome,
                scene.bob.json(
                    .put, "/v1/conversations/general/read", ["seq": 1, "conversation_id": .string(id)]
                ).outcome,
                "\(bulk.lines.first?["error"]?["code"] == "bad_request" ? 400 : 404) "
                    + (bulk.lines.first?["error"]?["code"]?.text ?? ""),
            ]
        }
        for id in ["", "x", scene.id.uppercased(), String(scene.id.dropLast()), scene.id + "0"] {
            #expect(try outcomes(id) == ["400 bad_request"], "\(id)")
        }
        let none: Set = ["404 no_such_conversation"]
        #expect(try outcomes(String(repeating: "0", count: 32)) == none)
        // Neither her notebook nor a group that bob has left is his
        let notebook = try #require(try scene.alice.say("x", to: "@me").json["conversation_id"]?.text)
        #expect(try outcomes(notebook) == none)
        #expect(try scene.bob.send(.delete, "/v1/groups/crew/members/bob").status == 200)
        #expect(try outcomes(scene.id) == none)
        #expect(try scene.alice.send(.put, "/v1/groups/crew/members/bob").status == 200)
        #expect(try scene.alice.send(.delete, "/v1/groups/crew").status == 200)
        #expect(try outcomes(scene.id) == none)
        #expect(try scene.bob.page().head == 0)
    }

    @Test("the scope of a token is compared with the id, not with the name beside it")
    func scope() throws {
        let scene = try Scene()
        let other = try #require(try scene.bob.get("/v1/conversations/ops").json["id"]?.text)
        let made = try scene.bob.post("/v1/tokens", ["label": "robot", "scope": "send:crew"]).json
        let robot = Client(scene.server, token: try #require(made["token"]?.text))
        #expect(try robot.post("/v1/messages", .object(scene.fields(["text": "x"]))).status == 201)
        let line = #"{"conversation":"crew","conversation_id":"\#(other)","text":"x"}"#
        for type in ["application/json", "application/x-ndjson"] {
            let answer = try robot.send(
                .post, "/v1/messages", body: Array(line.utf8), headers: [("Content-Type", type)])
            #expect(answer.text.contains(#""forbidden""#), "\(answer.text)")
        }
        #expect(try scene.texts("ops") == ["new"])
    }
}
