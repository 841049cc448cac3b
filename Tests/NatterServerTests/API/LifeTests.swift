internal import NatterHTTP
internal import NatterModel
internal import NatterStore
internal import NatterProtocol
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

@Suite("replies, edits and deletions")
struct LifeTests {
    private static let page = "/v1/conversations/general/messages"

    @Test("a record stays as it is on a page; folded, an original has its newest text")
    func folding() throws {
        let clock = TestClock(Timestamp(milliseconds: 1_795_159_445_123), stepMilliseconds: 1_000)
        let server = try TestServer(clock: clock)
        let alice = try server.account("alice")
        #expect(try alice.say("helo").json["seq"] == 1)
        let reply = try server.account("bob").change("text", of: 1, "hi").json
        #expect(reply["about"] == 1 && reply.keys.contains("kind") == false)
        let edit = try alice.change("edit", of: 1, "hello").json
        #expect(edit["kind"] == "edit" && edit["about"] == 1 && edit["seq"] == 3)
        let plain = try alice.page().messages
        #expect(plain.map(\.text) == ["helo", "hi", "hello"])
        #expect(plain.first?.edited?.rfc3339 == edit["time"]?.text)
        let folded = try alice.page(["fold": "1"])
        #expect(folded.messages.map(\.text) == ["hello", "hi"])
        #expect(folded.messages.first?.edited?.rfc3339 == edit["time"]?.text)
        #expect(folded.next == 3)
        // The limit counts what is given
        #expect(try alice.page(["fold": "1", "limit": "2"]).messages.map(\.seq) == [1, 2])
        #expect(try alice.page(["fold": "1", "limit": "1"]).messages.map(\.seq) == [2])
        let one = try alice.get("\(LifeTests.page)/1").json
        #expect(one["replies"] == [2] && one["edits"] == [3] && one["text"] == "helo")
        #expect(try alice.get("\(LifeTests.page)/1", ["fold": "1"]).json["text"] == "hello")
        let last = try alice.get("\(LifeTests.page)/3").json
        #expect(try last["hash"] == alice.get("/v1/conversations/general").json["hash"])
        #expect(try alice.get("\(LifeTests.page)/9").outcome == "404 no_such_message")
        #expect(try alice.get("\(LifeTests.page)/0").outcome == "404 no_such_message")
        #expect(try alice.get("\(LifeTests.page)/x").outcome == "400 bad_request")
    }

    @Test("folded, the page around a message counts the messages that it gives", arguments: [false, true])
    func foldedAround(isSealed: Bool) throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        var originals: [UInt64] = []
        for number in 1...40 {
            let seq = UInt64(try #require(try alice.say("text \(number)").json["seq"]?.int))
            originals.append(seq)
            for _ in 0..<(number % 5) { _ = try alice.change("edit", of: seq, "text \(number)") }
        }
        if isSealed { try server.seal(as: bob) }
        for (place, seq) in originals.enumerated() {
            let page = try bob.page(["around": "\(seq)", "limit": "8", "fold": "1"])
            let first = min(max(place - 4, 0), originals.count - 8)
            #expect(page.messages.map(\.seq) == Array(originals[first..<first + 8]), "around \(seq)")
            #expect(page.more == (first + 8 < originals.count || page.next < page.head))
        }
        // A filter by sender is the same
        _ = try bob.say("one of bob")
        let own = try bob.page(["around": "\(originals[20])", "limit": "8", "from": "bob"])
        #expect(own.messages.map(\.sender) == ["bob"])
    }

    @Test("a deleted text and those of its edits are given to nobody", arguments: [false, true])
    func deletion(isSealed: Bool) throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        _ = try alice.say("secret one", id: "k1")
        _ = try alice.change("edit", of: 1, "secret two", id: "k2")
        if isSealed {
            try server.seal(as: bob)
        }
        let deletion = try alice.change("delete", of: 1, id: "k3")
        #expect(deletion.status == 201)
        #expect(try deletion.json["text"] == "")
        // A retry with the id is the same deletion, although its message is deleted by now
        #expect(try alice.change("delete", of: 1, id: "k3").status == 200)
        #expect(try alice.change("delete", of: 1).outcome == "422 bad_about")
        let head = try bob.page().head
        for answer in [
            try bob.get(LifeTests.page, ["limit": "1000", "after": "0"]),
            try bob.get(LifeTests.page, ["limit": "1000", "after": "0", "fold": "1"]),
            try bob.get("\(LifeTests.page)/1"), try bob.get("\(LifeTests.page)/2"),
            try bob.get("/v1/sync"), try bob.get("/v1/search", ["q": "secret"]),
            try alice.say("secret one", id: "k1"), try alice.change("edit", of: 1, "secret two", id: "k2"),
        ] {
            #expect(answer.status == 200)
            #expect(!answer.text.contains("secret"))
        }
        let folded = try bob.page(["fold": "1", "after": "0", "limit": "1"]).messages
        #expect(folded.first?.deleted == true && folded.first?.text == "" && folded.first?.sender == "alice")
        #expect(try bob.get("\(LifeTests.page)/2").json["deleted"]?.isTrue == true)
        #expect(try bob.page().head == head)
    }

    @Test("'about' names an earlier text of the conversation that is not deleted")
    func badAbout() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        for kind in ["text", "edit", "delete"] {
            let text = kind == "delete" ? nil : "x"
            #expect(try alice.change(kind, of: 1, text).outcome == "422 bad_about")
            #expect(try alice.change(kind, of: 0, text).outcome == "422 bad_about")
        }
        _ = try alice.say("one")
        _ = try alice.change("edit", of: 1, "two")
        for kind in ["text", "edit", "delete"] {
            let text = kind == "delete" ? nil : "x"
            #expect(try alice.change(kind, of: 2, text).outcome == "422 bad_about")
            #expect(try alice.change(kind, of: 3, text).outcome == "422 bad_about")
        }
        _ = try alice.change("delete", of: 1)
        #expect(try alice.change("text", of: 1, "x").outcome == "422 bad_about")
        #expect(try alice.change("edit", of: 1, "x").outcome == "422 bad_about")
        #expect(try alice.change("edit", of: 1).outcome == "400 bad_request")
        #expect(try alice.change("event", of: 1, "x").outcome == "400 bad_request")
        #expect(try alice.change("delete", of: 1, "x").outcome == "422 bad_text")
        #expect(
            try alice.post("/v1/messages", ["conversation": "general", "kind": "edit", "text": "x"]).outcome
                == "422 bad_about")
        #expect(
            try alice.post("/v1/messages", ["conversation": "general", "text": "x", "about": "1"]).outcome
                == "400 bad_request")
        #expect(try alice.page().head == 3)
    }

    @Test("a batch may edit what it sent before, and an id with another 'about' is another content")
    func inOneBatch() throws {
        let alice = try TestServer().account("alice")
        let lines = try alice.bulk([
            #"{"conversation":"general","text":"a","id":"1"}"#,
            #"{"conversation":"general","text":"b","kind":"edit","about":1,"id":"2"}"#,
            #"{"conversation":"general","kind":"delete","about":1,"id":"3"}"#,
            #"{"conversation":"general","kind":"delete","about":1}"#,
            #"{"conversation":"general","text":"b","id":"2"}"#,
        ]).lines
        #expect(lines.map { $0["seq"]?.int } == [1, 2, 3, nil, nil])
        #expect(lines[3]["error"]?["code"] == "bad_about")
        #expect(lines[4]["error"]?["code"] == "id_reused")
    }

    @Test("only the sender edits; the sender and admins delete; events and imported messages are for admins")
    func rights() throws {
        let server = try TestServer()
        let (alice, bob, root) = (try server.account("alice"), try server.account("bob"), try server.account("root"))
        let store = server.store
        try server.makeAdmin("root")
        _ = try alice.say("one")
        _ = try alice.say("two")
        #expect(try bob.change("edit", of: 1, "x").outcome == "403 forbidden")
        #expect(try bob.change("delete", of: 1).outcome == "403 forbidden")
        #expect(try root.change("edit", of: 1, "x").outcome == "403 forbidden")
        #expect(try root.change("delete", of: 1).status == 201)
        // A group's admin deletes there, also its events
        _ = try bob.post("/v1/groups", ["name": "ops"])
        _ = try bob.send(.put, "/v1/groups/ops/members/alice", body: [])
        let said = try alice.say("in ops", to: "ops").json["seq"]?.int ?? 0
        #expect(try alice.change("delete", of: 1, in: "ops").outcome == "403 forbidden")
        #expect(try alice.change("text", of: 1, "x", in: "ops").outcome == "422 bad_about")
        #expect(try bob.change("edit", of: 1, "x", in: "ops").outcome == "403 forbidden")
        #expect(try bob.change("delete", of: 1, in: "ops").status == 201)
        #expect(try bob.change("delete", of: UInt64(said), in: "ops").status == 201)
        #expect(try server.account("eve").change("delete", of: 1, in: "ops").outcome == "404 no_such_conversation")
        let importer = try StoreImporter(into: "general", of: store)
        try importer.append(time: Timestamp(milliseconds: 1_600_000_000_000), sender: Array("alice".utf8), text: [97])
        let imported = UInt64(try importer.finish().first.rawValue)
        #expect(try alice.change("edit", of: imported, "x").outcome == "403 forbidden")
        #expect(try alice.change("delete", of: imported).outcome == "403 forbidden")
        #expect(try root.change("edit", of: imported, "x").outcome == "403 forbidden")
        #expect(try alice.change("text", of: imported, "x").status == 201)
        #expect(try root.change("delete", of: imported).status == 201)
    }

    @Test("a message of a token carries its label; a token that sends changes only what carries it")
    func via() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        func robot(_ label: String) throws -> Client {
            let made = try alice.post("/v1/tokens", ["label": .string(label), "scope": "send:general"])
            return Client(server, token: try made.json["token"]?.text)
        }
        let (backup, other) = (try robot("backup"), try robot("other"))
        _ = try alice.say("mine")
        let sent = try backup.say("done").json
        #expect(sent["via"] == "backup" && sent["sender"] == "alice")
        // It counts as unread for alice too
        #expect(try alice.get("/v1/conversations/general").json["unread"] == 1)
        #expect(try backup.change("edit", of: 1, "x").outcome == "403 forbidden")
        #expect(try other.change("edit", of: 2, "x").outcome == "403 forbidden")
        #expect(try other.change("delete", of: 2).outcome == "403 forbidden")
        // The store looks at it in a log file, too
        try server.seal(as: alice)
        #expect(try backup.change("edit", of: 2, "done twice").status == 201)
        #expect(try alice.page().messages.map(\.via) == [nil, "backup", "backup"])
        #expect(try backup.change("delete", of: 2).status == 201)
        #expect(try alice.get("/v1/conversations/general").json["unread"] == 0)
    }

    @Test("unread messages are texts that are not deleted, whoever deleted them")
    func unread() throws {
        let server = try TestServer()
        let (alice, bob, root) = (try server.account("alice"), try server.account("bob"), try server.account("root"))
        try server.makeAdmin("root")
        func unread(_ client: Client) throws -> Int? { try client.get("/v1/conversations/general").json["unread"]?.int }
        for text in ["a1", "a2", "a3"] { _ = try alice.say(text) }
        _ = try bob.say("b4")
        _ = try alice.change("edit", of: 1, "A1")
        #expect(try [unread(alice), unread(bob), unread(root)] == [1, 3, 4])
        _ = try root.change("delete", of: 2)
        #expect(try [unread(alice), unread(bob), unread(root)] == [1, 2, 3])
        _ = try bob.send(.put, "/v1/conversations/general/read", body: Array(#"{"seq":1}"#.utf8))
        #expect(try [unread(alice), unread(bob), unread(root)] == [1, 1, 3])
        _ = try bob.change("delete", of: 4)
        #expect(try [unread(alice), unread(bob), unread(root)] == [0, 1, 2])
        server.stop()
        try server.start()
        let back = [alice, bob, root].map { Client(server, token: $0.token) }
        #expect(try back.map(unread) == [0, 1, 2])
    }

    @Test("a search finds the newest text alone, in the tail and in the index")
    func search() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        func found(_ query: String, _ fold: String = "0") throws -> [Int?] {
            try bob.get("/v1/search", ["q": query, "fold": fold]).json["messages"]?.items.map { $0["seq"]?.int } ?? []
        }
        _ = try alice.say("walrus one")
        _ = try alice.change("edit", of: 1, "penguin")
        _ = try alice.say("walrus three")
        _ = try alice.change("delete", of: 3)
        for isSealed in [false, true] {
            if isSealed {
                try server.seal(as: bob)
            }
            #expect(try found("walrus") == [])
            #expect(try found("penguin") == [2])
            #expect(try found("penguin", "1") == [1])
        }
        let folded = try bob.get("/v1/search", ["q": "penguin", "fold": "1"]).json["messages"]?.items.first
        #expect(folded?["text"] == "penguin" && folded?["kind"] == nil)
    }

    @Test("'written' is kept where it is over a minute earlier, and never later than the time")
    func written() throws {
        let now: Int64 = 1_795_159_445_123
        let alice = try TestServer(clock: TestClock(Timestamp(milliseconds: now))).account("alice")
        func say(_ written: Int64) throws -> Int? {
            try alice.post(
                "/v1/messages",
                ["conversation": "general", "text": "x", "written": .number(Double(written))]
            ).json["written"]?.int
        }
        #expect(try say(now - 60_001) == Int(now - 60_001))
        #expect(try say(now - 60_000) == nil)
        #expect(try say(now + 5_000) == nil)
        for early: Int64 in [1, 0, -1, -62_167_219_200_000] { #expect(try say(early) == Int(early)) }
        #expect(try say(.min) == nil)
        let stored = [now - 60_001, nil, nil, 1, 0, -1, -62_167_219_200_000, nil]
        #expect(try alice.page().messages.map(\.written) == stored)
    }

    @Test("a message that is deleted and erased counts as unread for nobody, before a restart and after it")
    func erasedDeletion() throws {
        let server = try TestServer()
        let people = try ["alice", "bob", "carol"].map { try server.account($0) }
        _ = try people[0].say("mine")
        for _ in 0..<2 { _ = try people[1].say("of bob") }
        #expect(try people[0].change("delete", of: 1).status == 201)
        let store = server.store
        let erased = try waitFor { store.erase([Seq(1)...Seq(1)], in: "general", by: "test", $0) }.get()
        #expect(erased == 1)
        for _ in 0..<3 {
            let unread = try people.map { try $0.get("/v1/conversations/general").json["unread"] }
            #expect(unread == [2, 0, 2])
            try server.seal(as: people[0])
            server.stop()
            try server.start()
        }
    }

    @Test("an id of an erased message is good for another try of the same kind alone", arguments: [false, true])
    func erasedID(isSealed: Bool) throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        for text in ["one", "two"] { _ = try alice.say(text) }
        _ = try alice.say("three", id: "text")
        _ = try alice.change("edit", of: 1, "uno", id: "edit")
        let store = server.store
        _ = try waitFor { store.erase([Seq(3)...Seq(4)], in: "general", by: "test", $0) }.get()
        if isSealed {
            try server.seal(as: alice)
            server.stop()
            try server.start()
        }
        // Nobody knows the erased text, so any text counts as the same.
        #expect(try alice.change("edit", of: 1, "eins", id: "edit").json["seq"] == 4)
        #expect(try alice.say("drei", id: "text").json["seq"] == 3)
        // The message that it was about is known.
        #expect(try alice.change("edit", of: 2, "dos", id: "edit").outcome == "409 id_reused")
        #expect(try alice.change("text", of: 1, "re", id: "edit").outcome == "409 id_reused")
        #expect(try alice.change("delete", of: 1, id: "edit").outcome == "409 id_reused")
        #expect(try alice.say("text", id: "edit").outcome == "409 id_reused")
        #expect(try alice.change("edit", of: 1, "uno", id: "text").outcome == "409 id_reused")
        #expect(try alice.page().head == 4)
    }

    @Test("an original that was erased with all its edits is not edited, folded or not")
    func erasedEdits() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        for text in ["one", "two"] { _ = try alice.say(text) }
        _ = try alice.change("edit", of: 1, "uno")
        _ = try alice.change("edit", of: 2, "dos")
        let store = server.store
        _ = try waitFor { store.erase([Seq(1)...Seq(1)], in: "general", by: "test", $0) }.get()
        for fold in ["0", "1"] {
            let messages = try alice.page(["fold": fold, "limit": "10", "after": "0"]).messages
            #expect(messages.first?.erased == true && messages.first?.edited == nil, "\(fold)")
            #expect(messages[1].edited != nil)
        }
    }

    @Test("an erased edit is not the last one, folded or not", arguments: [false, true])
    func erasedNewestEdit(isSealed: Bool) throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        _ = try alice.say("one")
        let times = try ["two", "three"].map { try alice.change("edit", of: 1, $0).json["time"]?.text }
        for (index, left) in [(1, 0), (0, nil)] {
            if isSealed { try server.seal(as: alice) }
            let store = server.store
            let seq = Seq(UInt64(index + 2))
            _ = try waitFor { store.erase([seq...seq], in: "general", by: "test", $0) }.get()
            for fold in ["0", "1"] {
                let first = try alice.page(["fold": fold, "limit": "10", "after": "0"]).messages.first
                #expect(first?.edited?.rfc3339 == left.flatMap { times[$0] }, "\(index) \(fold)")
            }
        }
    }

    @Test(
        "an erased text counts as unread for everyone but its author, wherever the marks are",
        arguments: PostgresCluster.servesTests ? [false] : [false, true])
    func erasedText(isRebuilt: Bool) throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        func erase(_ seqs: ClosedRange<UInt64>) throws {
            let store = server.store
            _ = try waitFor {
                store.erase([Seq(seqs.lowerBound)...Seq(seqs.upperBound)], in: "general", by: "test", $0)
            }
            .get()
        }
        func unread(_ person: Client, readTo seq: UInt64? = nil) throws -> Int? {
            if let seq {
                let body: JSONValue = ["seq": .number(Double(seq))]
                let answer = try person.json(.put, "/v1/conversations/general/read", body)
                #expect(answer.status == 200)
            }
            return try person.get("/v1/conversations/general").json["unread"]?.int
        }
        _ = try alice.say("1")
        try erase(1...1)
        for number in 2...5 { _ = try bob.say("\(number)") }
        #expect(try unread(alice) == 4)
        #expect(try unread(alice, readTo: 1) == 4)
        for number in 6...7 { _ = try alice.say("\(number)") }
        for number in 8...11 { _ = try bob.say("\(number)") }
        try erase(6...7)
        if isRebuilt {
            server.stop()
            _ = try StoreRebuild.run(server.directory.path, .reindex)
            try server.start()
        }
        #expect(try unread(alice) == 8)
        #expect(try unread(bob) == 3)
        #expect(try unread(alice, readTo: 6) == 4)
        #expect(try unread(alice, readTo: 8) == 3)
        // Deleted as well: it never counted for its author, and now for nobody.
        let root = try server.account("root")
        try server.makeAdmin("root")
        #expect(try root.change("delete", of: 7).status == 201)
        for _ in 0..<2 {
            #expect(try unread(alice) == 3)
            #expect(try unread(bob) == 2)
            server.stop()
            try server.start()
        }
        #expect(try unread(bob, readTo: 7) == 0)
    }

    @Test(
        "kinds, labels and what a message is about survive sealing and a rebuilt index",
        .enabled(if: !PostgresCluster.servesTests, "a store in PostgreSQL has no such files"))
    func rebuilt() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let made = try alice.post("/v1/tokens", ["label": "ci", "scope": "all"])
        let robot = Client(server, token: try made.json["token"]?.text)
        _ = try robot.say("from ci")
        _ = try alice.change("text", of: 1, "re")
        _ = try alice.say("typo")
        _ = try alice.change("edit", of: 3, "fixed")
        _ = try alice.change("delete", of: 2)
        try server.seal(as: alice)
        let before = try alice.page(["after": "0", "limit": "5"]).messages
        let unread = try alice.get("/v1/conversations/general").json["unread"]
        server.stop()
        _ = try StoreRebuild.run(server.directory.path, .reindex)
        try server.start()
        let again = Client(server, token: alice.token)
        #expect(try again.page(["after": "0", "limit": "5"]).messages == before)
        #expect(
            try again.page(["after": "0", "limit": "3", "fold": "1"]).messages.map(\.text) == ["from ci", "", "fixed"])
        #expect(try again.get("/v1/conversations/general").json["unread"] == unread)
    }
}
