internal import NatterHTTP
internal import NatterModel
internal import ServerSupport
internal import Testing
internal import TestSupport

@Suite("lists that come whole or in pages")
struct ListTests {
    private struct List {
        let path: String
        let field: String
        let key: String
    }

    private static let all = [
        List(path: "/v1/contacts", field: "users", key: "name"), List(path: "/v1/blocks", field: "users", key: "name"),
        List(path: "/v1/groups/ops/members", field: "users", key: "name"),
        List(path: "/v1/tokens", field: "tokens", key: "id"), List(path: "/v1/sessions", field: "sessions", key: "id"),
        List(path: "/v1/admin/users", field: "users", key: "name"),
        List(path: "/v1/admin/sessions", field: "sessions", key: "id"),
        List(path: "/v1/admin/invites", field: "invites", key: "id"),
    ]

    /// A server on which each of the lists has several objects.
    private func fill() throws -> (TestServer, Client) {
        let server = try TestServer()
        let alice = try server.account("alice")
        try server.makeAdmin("alice")
        #expect(try alice.post("/v1/groups", ["name": "ops"]).status == 201)
        for name in ["Bob", "carol", "ёж", "dave"] {
            try server.account(name)
            let name = name == "ёж" ? "%D1%91%D0%B6" : name
            for path in ["contacts/\(name)", "blocks/\(name)", "groups/ops/members/\(name)"] {
                #expect(try alice.send(.put, "/v1/\(path)").status == 200)
            }
        }
        for number in 1...12 {
            #expect(try alice.post("/v1/tokens", ["label": .string("\(number)"), "scope": "all"]).status == 201)
            if number > 4 { continue }
            #expect(try alice.post("/v1/admin/invites", [:]).status == 201)
            let login = try server.stranger().post(
                "/v1/login", ["name": "alice", "password": .string(TestServer.password)])
            #expect(login.status == 200)
        }
        return (server, alice)
    }

    @Test("'limit' and 'after' give them page by page, and without 'limit' they come whole", arguments: all.indices)
    func pages(index: Int) throws {
        let (server, alice) = try fill()
        defer { withExtendedLifetime(server) {} }
        let list = ListTests.all[index]
        func ids(_ page: JSONValue) -> [String] { page[list.field]?.items.compactMap { $0[list.key]?.text } ?? [] }
        let whole = try alice.get(list.path).json
        let all = ids(whole)
        #expect(all.count >= 4 && whole["more"] == false && whole["next"]?.text == all.last)
        for limit in [1, 2, 3, 1_000] {
            var (found, after, pages): ([String], String?, Int) = ([], nil, 0)
            while pages <= all.count {
                let query: KeyValuePairs = ["limit": "\(limit)", "after": after ?? ""]
                let page = try alice.get(list.path, query).json
                found += ids(page)
                after = page["next"]?.text
                pages += 1
                #expect(ids(page).count <= limit && after == ids(page).last)
                if page["more"] == false { break }
            }
            #expect(found == all)
            #expect(pages == (all.count + limit - 1) / limit)
        }
        // Without a limit, the rest comes whole.
        #expect(try ids(alice.get(list.path, ["after": all[0]]).json) == Array(all.dropFirst()))
        let end = try alice.get(list.path, ["after": all[all.count - 1]]).json
        #expect(ids(end).isEmpty && end["more"] == false && end["next"]?.text == all.last)
        let lines = try alice.get(list.path, ["limit": "2"], accept: "application/x-ndjson").lines
        #expect(lines.compactMap { $0[list.key]?.text } == Array(all.prefix(2)))
    }

    @Test("the next page comes although what the last one ended with is gone")
    func gone() throws {
        let (server, alice) = try fill()
        defer { withExtendedLifetime(server) {} }
        func names(_ query: KeyValuePairs<String, String>) throws -> [String] {
            try alice.get("/v1/contacts", query).json["users"]?.items.compactMap { $0["name"]?.text } ?? []
        }
        #expect(try names(["limit": "2"]) == ["Bob", "carol"])
        #expect(try alice.send(.delete, "/v1/contacts/carol").status == 200)
        #expect(try names(["limit": "2", "after": "carol"]) == ["dave", "ёж"])
        let ids = try alice.get("/v1/tokens").json["tokens"]?.items.compactMap { $0["id"]?.text } ?? []
        #expect(try alice.send(.delete, "/v1/tokens/\(ids[8])").status == 200)
        let left = try alice.get("/v1/tokens", ["after": ids[8]]).json["tokens"]?.items.compactMap { $0["id"]?.text }
        #expect(left == Array(ids[9...]))
    }
}
