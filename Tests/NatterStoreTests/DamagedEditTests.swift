import NatterConversation
import NatterModel
import NatterSystem
import StoreSupport
import SystemSupport
import Testing

@testable import NatterStore

/// An edit in a block that can't be read: nobody knows what its message says now.
@Suite("damaged edits", .aboutFiles)
struct DamagedEditTests {
    /// The fault of a block.
    enum Fault: CaseIterable {
        case flippedBit
        case badSector
    }

    /// A store whose message 3 has two edits, the newer of them in a block that can't be read. Message 4 is unchanged.
    private func open(_ fault: Fault) throws -> TestStore {
        let disk = FaultyDisk()
        let store = try TestStore(disk: disk, users: ["alice"])
        try store.post(["first", "second", "strawberry", "fourth"])
        try edit(3, "blueberry", store)
        try store.seal()
        try edit(3, "raspberry", store)
        try store.seal()
        try store.post(["last"])
        let row = try #require(try store.blocks().last)
        #expect(row.firstSeq == Seq(6))
        let log = try #require(try store.logs().first)
        let offset = row.offset + UInt64(row.length) - 3
        try store.reopen { _ in
            guard fault == .flippedBit else { return disk.set(badSector: offset, in: Path.name(of: log)) }
            let file = try PosixDisk().open(log, .readWrite)
            let byte = try file.read(count: 1, at: offset)
            try file.write([byte[0] ^ 4], at: offset)
        }
        return store
    }

    private func edit(_ seq: UInt64, _ text: String, _ store: TestStore) throws {
        let message = NewMessage(conversation: "general", text: text, key: nil, kind: .edit, about: Seq(seq))
        #expect(store.post([message], by: try store.user("alice")).first?.message != nil)
    }

    private func isDamaged(_ seq: UInt64, _ error: (any Error)?) -> Bool {
        guard case .damaged(Seq(seq), Seq(seq), _)? = error as? StoreError else { return false }
        return true
    }

    @Test("a folded page ends before the message, and one that begins with it is damaged", arguments: Fault.allCases)
    func pages(fault: Fault) throws {
        let store = try open(fault)
        let before = try store.page { ($0.after, $0.isFolded) = (.zero, true) }
        #expect(before.messages.map(\.text) == ["first", "second"])
        #expect(before.more && before.next == Seq(2))
        let behind = try store.page { ($0.before, $0.isFolded) = (Seq(6), true) }
        #expect(behind.messages.map(\.text) == ["fourth"])
        #expect(behind.more && behind.next == Seq(4))
        #expect(
            isDamaged(
                3, #expect(throws: StoreError.self) { try store.page { ($0.after, $0.isFolded) = (Seq(2), true) } }))
        #expect(
            isDamaged(
                3, #expect(throws: StoreError.self) { try store.page { ($0.before, $0.isFolded) = (Seq(4), true) } }))
        let alice = try store.user("alice")
        let one = #expect(throws: StoreError.self) {
            try store.store.message(Seq(3), in: "general", isFolded: true, for: alice)
        }
        #expect(isDamaged(3, one))
        // The records themselves are whole.
        #expect(try store.page { ($0.after, $0.limit) = (.zero, 5) }.messages.count == 5)
        #expect(
            try store.store.message(Seq(3), in: "general", isFolded: false, for: alice).message.text == "strawberry")
    }

    @Test("a search does not find the message by an older text", arguments: [false, true], Fault.allCases)
    func search(isFolded: Bool, fault: Fault) throws {
        let store = try open(fault)
        for word in ["strawberry", "blueberry", "raspberry", "fourth"] {
            var request = SearchRequest(query: word, limit: 10)
            request.isFolded = isFolded
            let found = try store.store.search(request, for: store.user("alice")).messages
            #expect(found.map(\.text) == (word == "fourth" ? ["fourth"] : []), "\(word)")
        }
    }

    @Test(
        "an export with the newest texts names the message and prints the others", arguments: [false, true],
        Fault.allCases)
    func export(isFolded: Bool, fault: Fault) throws {
        let store = try open(fault)
        let exporter = try StoreExporter("general", of: store.store, isFolded: isFolded, form: .newest)
        var (texts, missing): ([String], [ClosedRange<UInt64>]) = ([], [])
        while let piece = try exporter.next() {
            switch piece {
            case .folded(let messages): texts += messages.map(\.text)
            case .messages(let messages):
                messages.forEach { texts.append(String(decoding: $4, as: UTF8.self)) }
            case .damaged(let from, let to, _): missing.append(from.rawValue...to.rawValue)
            }
        }
        #expect(texts == ["first", "second", "fourth", "last"])
        #expect(missing == [3...3, 6...6])
    }
}
