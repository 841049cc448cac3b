import Foundation
import NatterModel
import NatterSearch
import NatterSystem
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

/// Searches that cost more than one request may: their pages end early, and together they are the same.
@Suite("the budget of a search")
struct SearchBudgetTests {
    /// A store of three conversations with `count` messages each, all indexed, and one more of each that is not.
    private func open(_ count: Int, _ budget: SearchBudget) throws -> (TestStore, TemporaryDirectory) {
        let directory = try TemporaryDirectory()
        let clock = TestClock(stepMilliseconds: 1)
        let path = directory("data")
        let store = try TestStore(path, clock: clock) { options in
            var options = options
            options.keepsSearchIndex = true
            options.searchBudget = budget
            return try Store.open(path, clock: clock, options: options)
        }
        let conversations = ["general", "@me", "@bob"]
        _ = try store.user("bob")
        for begin in stride(from: 0, to: count, by: 50) {
            for (place, conversation) in conversations.enumerated() {
                let texts = (begin..<begin + 50).map { number in
                    "common \(number % 2 == 0 ? "even" : "odd") w\(number) \(place == 1 ? "note" : "talk")"
                }
                try store.post(texts, to: conversation, by: "alice")
            }
        }
        for conversation in conversations { try store.seal(conversation) }
        try awaitIndex(store, count)
        for conversation in conversations { try store.post(["common even late talk"], to: conversation) }
        return (store, directory)
    }

    /// A store whose index is kept up.
    private func indexing(_ path: String, _ disk: any Disk = PosixDisk()) throws -> TestStore {
        try TestStore(path) { options in
            var options = options
            options.keepsSearchIndex = true
            return try Store.open(path, disk: disk, options: options)
        }
    }

    private func awaitIndex(_ store: TestStore, _ count: Int) throws {
        let ids = try ["general", "@me", "@bob"].map { try store.store.conversation($0, for: store.user("alice")).id }
        try eventually("everything is indexed") {
            let index = SearchIndex.openForReading(path: store.directory + "/search.db")
            return ids.allSatisfy { (try? index?.indexedUpTo($0)) == Seq(UInt64(count)) }
        }
    }

    /// All pages of a search, and how many there were.
    private func walk(
        _ store: TestStore, _ query: String, from sender: String? = nil, in conversation: String? = nil, limit: Int = 40
    ) throws -> (texts: [String], pages: Int) {
        var request = SearchRequest(query: query, limit: limit)
        (request.sender, request.conversation) = (sender, conversation)
        var places: [SearchPlace] = []
        var texts: [String] = []
        for pages in 1...2_000 {
            let page = try store.store.search(request, for: store.user("alice"))
            for message in page.messages {
                places.append(
                    SearchPlace(time: message.time, conversation: message.conversationID, seq: message.seq))
                texts.append("\(message.conversation) \(message.seq) \(message.text)")
            }
            guard page.more else {
                #expect(places == places.sorted(by: >) && Set(places).count == places.count)
                return (texts, pages)
            }
            #expect(page.next != request.before, "a page that brings nobody on")
            request.before = page.next
        }
        throw Failure("the pages of '\(query)' do not end")
    }

    @Test("pages that end early are together what one page with all would be")
    func pages() throws {
        let (whole, wholeDirectory) = try open(600, SearchBudget())
        let (small, smallDirectory) = try open(600, SearchBudget(steps: 4_000, pages: 400, blocks: 2))
        defer { withExtendedLifetime((wholeDirectory, smallDirectory)) {} }
        for query in ["common", "even odd", "odd", "note", "w17", "com*", "common -even", "\"even w2\"*", "absent"] {
            let all = try walk(whole, query, limit: 1_000)
            let parts = try walk(small, query, limit: 1_000)
            // Ids of conversations are random, so messages of the same time may change places
            let missed = Set(all.texts).subtracting(parts.texts).count
            #expect(missed == 0 && parts.texts.count == all.texts.count, "\(query)")
        }
        #expect(try walk(small, "common", in: "@me", limit: 1_000).texts.count == 601)
        // And each costs a part of it
        #expect(try walk(small, "common", limit: 1_000).pages > walk(whole, "common", limit: 1_000).pages)
    }

    @Test("an index that is made again, in steps that end within a conversation, has each message once")
    func indexedInSteps() throws {
        let (store, directory) = try open(2_000, SearchBudget())
        defer { withExtendedLifetime(directory) {} }
        let before = try walk(store, "odd", limit: 1_000)
        try store.store.search.purge(store.store)
        try awaitIndex(store, 2_000)
        #expect(before.texts.count == 3_000)
        #expect(try walk(store, "odd", limit: 1_000).texts == before.texts)
        for word in ["w0", "w1096", "w1999"] { #expect(try walk(store, word).texts.count == 3) }
    }

    @Test("messages that could not be read when they were indexed are found after a start with the file as it was")
    func unreadableWhenIndexed() throws {
        let directory = try TemporaryDirectory()
        let store = try TestStore(directory.path)
        try store.seal(after: 900)
        store.store.close()
        let log = try #require(try store.logs().first)
        let sound = try Data(contentsOf: URL(fileURLWithPath: log))
        try Files.flipByte(log, at: sound.count / 2)
        for (isSound, reports) in [(false, 0), (true, 1), (true, 0)] {
            if isSound { try sound.write(to: URL(fileURLWithPath: log)) }
            let store = try indexing(directory.path)
            let id = try store.store.conversation("general", for: store.user("alice")).id
            try eventually("everything is indexed") {
                let index = SearchIndex.openForReading(path: store.directory + "/search.db")
                let isDone = try? index?.mark(of: id)?.seq == (isSound ? Seq(900) : .zero)
                return isDone == true && (try? index?.indexedUpTo(id)) == Seq(900)
            }
            #expect(try (walk(store, "message", limit: 1_000).texts.count == 900) == isSound)
            #expect(store.reports.lines.filter { $0.contains("could not be read") }.count == reports)
            store.store.close()
        }
    }

    @Test("a log file that the disk can't read now keeps no other conversation from being indexed")
    func badSector() throws {
        let directory = try TemporaryDirectory()
        let store = try TestStore(directory.path, users: ["alice", "bob"])
        for conversation in ["general", "@me", "@bob"] {
            try store.fill(900, in: conversation)
            try store.seal(conversation)
        }
        let ids = try ["general", "@me", "@bob"].map { try store.store.conversation($0, for: store.user("alice")).id }
        store.store.close()
        let disk = FaultyDisk()
        disk.set(badSector: 2_000, in: "\(ids[0])")
        let faulty = try indexing(directory.path, disk)
        func indexed() -> [UInt64] {
            let index = SearchIndex.openForReading(path: directory.path + "/search.db")
            return ids.compactMap { try? index?.indexedUpTo($0).rawValue }
        }
        try eventually("the others are indexed") { indexed() == [0, 900, 900] }
        try eventually("it is told") { faulty.store.search.trouble?.contains("can't be read") == true }
        // With the next seal it tries again
        disk.set(badSector: .max, in: "nowhere")
        try faulty.post(["more"], to: "@bob")
        try faulty.seal("@bob")
        try eventually("all is indexed") { indexed() == [900, 900, 901] && faulty.store.search.trouble == nil }
    }

    @Test("on a disk that is nearly full the index waits, and erasing does not")
    func nearlyFull() throws {
        let directory = try TemporaryDirectory()
        let disk = FaultyDisk()
        let store = try indexing(directory.path, disk)
        disk.set(freeBytes: 2 << 20)
        try store.seal(after: 300)
        let id = try store.store.conversation("general", for: store.user("alice")).id
        func indexed() throws -> Seq? {
            try store.store.search.withIndex(store.store) { try $0?.indexedUpTo(id) }
        }
        try eventually("it waits") { store.reports.contains("the search index waits until the disk has more room") }
        let erased = try waitFor { store.store.erase([Seq(200)...Seq(200)], in: "general", by: "alice", $0) }
        #expect(try erased.get() == 1)
        #expect(try indexed() == .zero)
        // With the next seal it looks again
        disk.set(freeBytes: nil)
        try store.post(["more"])
        try store.seal()
        try eventually("all is indexed") { try indexed() == Seq(301) }
        #expect(store.reports.lines.count { $0.contains("the search index waits") } == 1)
    }

    @Test("messages of one time that were found are not left to the next page")
    func ties() throws {
        let (store, directory) = try open(600, SearchBudget(steps: 100_000, pages: 256, blocks: 1))
        defer { withExtendedLifetime(directory) {} }
        var request = SearchRequest(query: "com* odd", limit: 60)
        var pages = 0
        while true {
            let page = try store.store.search(request, for: store.user("alice"))
            #expect(!page.messages.isEmpty)
            pages += 1
            guard page.more else { break }
            request.before = page.next
        }
        #expect(pages > 10)
    }

    @Test("a sender of nothing does not make the server look at each message")
    func nobody() throws {
        let (store, directory) = try open(600, SearchBudget(steps: 1_000_000, pages: 10_000, blocks: 2))
        defer { withExtendedLifetime(directory) {} }
        let page = try store.store.search(
            {
                var request = SearchRequest(query: "common", limit: 100)
                request.sender = "nobody"
                return request
            }(), for: store.user("alice"))
        #expect(page.messages.isEmpty && page.more && page.next != nil)
        let all = try walk(store, "common", from: "nobody")
        #expect(all.texts.isEmpty && all.pages > 1)
    }

    /// The first may read no page to start, the second one, the third eight.
    @Test("a prefix that is too frequent for the index is searched in the newest messages", arguments: [2, 256, 2_048])
    func prefix(pages: Int) throws {
        let (store, directory) = try open(
            600, SearchBudget(steps: pages < 10 ? 100 : 100_000, pages: pages, blocks: 64))
        defer { withExtendedLifetime(directory) {} }
        let first = try store.store.search(SearchRequest(query: "com*", limit: 20), for: store.user("alice"))
        #expect(first.messages.count == 20 && first.more)
        let all = try walk(store, "com* ev*")
        #expect(all.texts.count == 3 * 301 && all.pages > 20)
    }

    @Test("beside another word, such a prefix costs no more than the word")
    func others() throws {
        let (store, directory) = try open(600, SearchBudget(steps: 4_000, pages: 600, blocks: 4))
        defer { withExtendedLifetime(directory) {} }
        #expect(try walk(store, "com* w17").texts.map { $0.suffix(4) } == ["talk", "note", "talk"])
        #expect(try walk(store, "w17 -no*").texts.map { $0.suffix(4) } == ["talk", "talk"])
        #expect(try walk(store, "com* w17 -ev*").pages < walk(store, "com* ev*").pages)
        // The longer of two prefixes is that of fewer words.
        let rare = try walk(store, "w17* com*")
        #expect(rare.texts.count == 3 * 11 && rare.pages == 1)
    }
}
