import NatterModel
import NatterSearch
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

@Suite("files in searches and hooks", .aboutFiles)
struct FileSearchTests {
    private let directory: TemporaryDirectory
    private let store: TestStore

    init() throws {
        directory = try TemporaryDirectory()
        let path = directory("data")
        store = try TestStore(path, users: ["alice", "bob"]) { options in
            var options = options
            options.keepsSearchIndex = true
            return try Store.open(path, options: options)
        }
        // 1 to 3, 4 to 5, 6, 7 to 8
        try store.post("It failed again", ["build.log", "shot of build.png"].map { try store.upload([1], $0) })
        try store.post("", [store.upload([2], "Übersicht.pdf")], by: "alice")
        try store.post(["build without a file"])
        try store.post("build of bob", [store.upload([3], "x.bin", by: "bob")], by: "bob")
    }

    private func found(_ query: String, isFolded: Bool = true, limit: Int = 20) throws -> [UInt64] {
        var request = SearchRequest(query: query, limit: limit)
        request.isFolded = isFolded
        var seqs: [UInt64] = []
        for _ in 0..<20 {
            let page = try store.store.search(request, for: store.user("alice"))
            seqs += page.messages.map(\.seq.rawValue)
            request.before = page.next
            if !page.more { break }
        }
        return seqs
    }

    private func change(_ kind: MessageKind, _ text: String = "", of seq: Seq) throws {
        let message = NewMessage(conversation: "general", text: text, key: nil, kind: kind, about: seq)
        #expect(try store.post([message], by: store.user("alice")).first?.message != nil)
    }

    @Test("a text is found once by the names of its files, and by having some")
    func byNames() throws {
        for step in ["tail", "scan", "index"] {
            if step == "scan" { try store.seal() }
            if step == "index" {
                let id = try store.store.conversation("general", for: store.user("alice")).id
                try eventually("everything is indexed") {
                    let index = SearchIndex.openForReading(path: store.directory + "/search.db")
                    return (try? index?.indexedUpTo(id)) == Seq(8)
                }
            }
            for limit in [1, 20] {
                #expect(try found("build", limit: limit) == [7, 6, 1], "\(step)")
                #expect(try found("has:file", limit: limit) == [7, 4, 1])
                #expect(try found("has:file build", limit: limit) == [7, 1])
                #expect(try found("-has:file", limit: limit) == [6])
            }
            #expect(try found("ubersicht") == [4] && found("png from:bob") == [] && found("bin") == [7])
            // Neither key nor type is a text.
            #expect(try found("image") == [] && found("octet") == [])
            #expect(try found("build", isFolded: false) == [7, 6, 3, 2])
            #expect(try found("from:alice", isFolded: false) == [6, 4, 1])
        }
        var request = SearchRequest(query: "png", limit: 1)
        request.isFolded = true
        let hit = try store.store.search(request, for: store.user("bob")).messages.first
        #expect(hit?.text == "It failed again" && hit?.files.map(\.name) == ["build.log", "shot of build.png"])
    }

    @Test("a hook gets a text as it was written, with the names of its files")
    func hooks() throws {
        try change(.edit, "newer", of: Seq(1))
        try change(.delete, of: Seq(4))
        let (id, name, _) = try store.store.hookTarget("general")
        let page = try #require(try store.store.hookMessages(of: id, named: name, after: .zero))
        let texts = page.messages.filter { $0.kind == .text }
        #expect(texts.map(\.text) == ["It failed again", "", "build without a file", "build of bob"])
        #expect(texts.map(\.files.count) == [2, 0, 0, 1] && texts.first?.files.first?.name == "build.log")
    }

    @Test("an edited text is found by its files, a deleted or erased one is not")
    func afterChanges() throws {
        try change(.edit, "build it once more", of: Seq(1))
        #expect(try found("build") == [1, 7, 6] && found("png") == [1])
        try StoreErasingTests.erase([3], store)
        #expect(try found("png") == [] && found("has:file") == [1, 7, 4])
        try StoreErasingTests.erase([2], store)
        #expect(try found("has:file") == [7, 4])
        try change(.delete, of: Seq(4))
        #expect(try found("ubersicht") == [] && found("has:file") == [7])
    }
}
