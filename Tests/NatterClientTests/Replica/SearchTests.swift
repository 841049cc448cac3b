import NatterConversation
@testable import NatterClient
import NatterModel
import NatterSearch
import NatterStore
import NatterSystem
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@Suite("Searching a replica")
struct ReplicaSearchTests {
    private func search(
        _ text: String, _ replica: Replica, in conversation: ReplicaConversation? = nil,
        _ filter: MessageFilter = MessageFilter(), limit: Int = .max
    ) throws -> [Message] {
        var found: [Message] = []
        try ReplicaSearch.run(
            try ReplicaQuery(text), in: replica, conversations: conversation.map { [$0] }, filter, limit: limit
        ) {
            found += $0.messages()
        }
        return found
    }

    @Test("a text is found once by the names of its files, also by a pattern, with and without an index")
    func files() throws {
        let server = try TestStore(users: ["alice"])
        let alice = try server.user("alice")
        for (text, names) in [("It failed", ["build.log", "build.png"]), ("build", []), ("", ["x.bin"])] {
            var message = NewMessage(conversation: "general", text: text, key: nil)
            for name in names {
                message.uploads.append(
                    try server.store.beginUpload(of: name, to: "general", length: nil, for: alice).finish().upload)
            }
            #expect(server.post([message], by: alice).first?.message != nil)
        }
        let location = server.location(of: "alice")
        try server.sync("alice", location)
        for isIndexed in [false, true] {
            if isIndexed { while try !ReplicaIndexing.run(at: location) {} }
            let replica = try #require(try Replica.open(at: location))
            func found(_ query: String) throws -> [UInt64] { try search(query, replica).map(\.seq.rawValue) }
            #expect(try found("build") == [4, 1] && found("png") == [1] && found("png -failed") == [1])
            #expect(try found("has:file") == [5, 1] && found("has:file failed") == [1] && found("-has:file") == [4])
            var seqs: [UInt64] = []
            // The key and the id are hexadecimal, the type is "application/octet-stream".
            for regex in ["build", "^x.bin$", "octet|[0-9a-f]{16}"] {
                let found = try ReplicaPatternSearch.run(Pattern(regex: regex), in: replica) {
                    seqs += $0.messages().map(\.seq.rawValue)
                }
                #expect(found.foundCount == ["build": 2, "^x.bin$": 1][regex] ?? 0)
            }
            #expect(seqs == [4, 1, 5])
        }
    }

    @Test("each turn of indexing adds something, however slow the machine is")
    func slowMachine() throws {
        let server = try TestStore(users: ["alice", "bob"])
        let location = server.location(of: "alice")
        for name in ["general", "@bob", "@me"] { try server.mustPost(["apple"], to: name, by: "alice") }
        try server.sync("alice", location)
        // The time is up before anything is open.
        var turns = 0
        while turns < 10, try !ReplicaIndexing.run(at: location, budgetMilliseconds: 0) { turns += 1 }
        #expect(turns < 10)
        let replica = try #require(try Replica.open(at: location))
        #expect(try replica.countNotIndexed() == 0)
    }

    @Test("results do not depend on the progress of the index", arguments: UInt64(1)...3)
    func partial(seed: UInt64) throws {
        // Given a replica that is indexed now and then, for a moment
        var random = SeededGenerator(seed: seed)
        let server = try TestStore(users: ["alice", "bob"])
        let location = server.location(of: "alice")
        let words = ["apple", "pear", "plum", "fig"]
        for _ in 0..<20 {
            let target = ["general", "@bob", "@me"].randomElement(using: &random) ?? "general"
            let count = [1, 5, 250].randomElement(using: &random) ?? 1
            let texts = (0..<count).map { _ in
                (0..<4).map { _ in words.randomElement(using: &random) ?? "fig" }.joined(separator: " ")
            }
            try server.mustPost(texts, to: target, by: "alice")
            if Bool.random(using: &random) { try server.seal("general", as: "alice") }
            try server.sync("alice", location)
            if Bool.random(using: &random) {
                try ReplicaIndexing.run(at: location, budgetMilliseconds: Int.random(in: 0...3, using: &random))
            }
            // When something is searched for
            let replica = try #require(try Replica.open(at: location))
            let all = try server.export(for: "alice").values.flatMap { $0 }
            let expected = all.filter { $0.text.contains("apple") && !$0.text.contains("pear") }.sorted {
                if $0.time != $1.time { return $0.time > $1.time }
                if $0.conversationID != $1.conversationID { return $0.conversationID < $1.conversationID }
                return $0.seq > $1.seq
            }
            // Then all of it is found, newest first
            #expect(try search("apple -pear", replica) == expected)
            #expect(try search("apple -pear", replica, limit: 3) == Array(expected.prefix(3)))
            let general = try #require(try replica.conversation(named: target))
            let own = expected.filter { $0.conversation == general.name }.sorted { $0.seq > $1.seq }
            #expect(try search("apple -pear", replica, in: general) == own)
            #expect(try search("apple -pear", replica, in: general, limit: 5) == Array(own.prefix(5)))
        }
        // And once all is indexed it stays so
        #expect(try ReplicaIndexing.run(at: location))
        let replica = try #require(try Replica.open(at: location))
        let before = try search("plum", replica)
        #expect(before.count > 100)
        // Damage only costs time
        let disk = PosixDisk()
        let file = try disk.open(location.searchPath, .readWrite)
        for page in 1..<Int(try file.size() / 4_096) where page % 3 == 0 {
            try file.write([UInt8](repeating: 7, count: 100), at: UInt64(page * 4_096))
        }
        #expect(try search("plum", replica) == before)
        #expect(try ReplicaIndexing.run(at: location))
        #expect(try search("plum", replica) == before)
    }

    @Test(
        "events are found by no search: on the server or in a replica, indexed, not indexed, or by an older version's index"
    )
    func events() throws {
        // Given a group whose first event and first message have a word in common
        let server = try TestStore(users: ["alice"])
        let location = server.location(of: "alice")
        let text = "the group was created"
        let alice = try server.user("alice")
        _ = try waitFor { server.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        try server.mustPost([text], to: "team", by: "alice")
        func onServer() throws -> [String] {
            try server.store.search(SearchRequest(query: "created", limit: 10), for: server.user("alice"))
                .messages.map(\.text)
        }
        // Then the message alone is found: scanned,
        #expect(try onServer() == [text])
        try server.sync("alice", location)
        let replica = try #require(try Replica.open(at: location))
        #expect(try search("created", replica).map(\.text) == [text])
        // and indexed,
        #expect(try ReplicaIndexing.run(at: location))
        #expect(try search("created", replica).map(\.text) == [text])
        // and by an index with the text of the event, as an older version made it
        try server.seal("team")
        let team = try #require(try replica.conversation(named: "team"))
        #expect(team.head == Seq(2))
        try server.reopen { directory in
            let path = directory + "/search.db"
            try SearchIndex.discard(path: path)
            try SearchIndex.openForWriting(path: path).write { writer in
                try writer.add(team.id, from: Seq(1)) { rows in
                    for text in ["created", text] {
                        try rows.append(time: Timestamp(milliseconds: 1), text: Array(text.utf8))
                    }
                }
            }
        }
        #expect(try onServer() == [text])
    }

    @Test("an index of another history hides nothing and finds nothing that is not there", arguments: [5, 8])
    func otherHistory(count: Int) throws {
        // Given two histories of one store that differ from the second message on
        let (first, second) = (try TemporaryDirectory(), try TemporaryDirectory())
        let server = try TestStore(first.path, users: ["alice"])
        try server.mustPost(["one"], to: "general", by: "alice")
        try server.reopen { try Files.copy($0, to: second.path) }
        let other = try TestStore(second.path)
        try server.mustPost(["apple", "apple", "apple", "apple", "apple"], to: "general", by: "alice")
        try other.mustPost(Array(repeating: "pear", count: count), to: "general", by: "alice")
        // When the replica of one has the index of the other
        let (home, otherHome) = (try TemporaryDirectory(), try TemporaryDirectory())
        let (location, otherLocation) = (server.location(home, "alice"), other.location(otherHome, "alice"))
        try server.sync("alice", location)
        try other.sync("alice", otherLocation)
        #expect(try ReplicaIndexing.run(at: location))
        let disk = PosixDisk()
        for end in ["", "-wal"] where try disk.information(location.searchPath + end) != nil {
            try disk.replaceContents(
                of: otherLocation.searchPath + end, with: disk.contents(of: location.searchPath + end, limit: 1 << 24))
        }
        // Then a search finds what is there, before and after the index is made again
        let replica = try #require(try Replica.open(at: otherLocation))
        for _ in 0..<2 {
            #expect(try search("pear", replica).count == count)
            #expect(try search("apple", replica).isEmpty)
            #expect(try search("pear", replica, in: replica.conversation(named: "general")).count == count)
            #expect(try ReplicaIndexing.run(at: otherLocation))
            #expect(try replica.countNotIndexed() == 0)
        }
    }
}
