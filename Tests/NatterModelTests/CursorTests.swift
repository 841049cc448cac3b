import NatterModel
import Testing
import TestSupport

@Suite("a cursor")
struct CursorTests {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/. ")

    private static func message(using generator: inout SeededGenerator) -> MessageCursor {
        MessageCursor(
            conversation: ConversationID(using: &generator), seq: Seq(generator.number()),
            hashPrefix: generator.number())
    }

    private static func store(using generator: inout SeededGenerator) -> StoreCursor {
        let continuation =
            Bool.random(using: &generator)
            ? StoreCursor.Continuation(
                target: Commit(generator.number()), conversation: ConversationID(using: &generator),
                seq: Seq(generator.number()))
            : nil
        return StoreCursor(
            store: StoreID(using: &generator), epoch: Epoch(rawValue: generator.number()),
            commit: Commit(generator.number()), continuation: continuation)
    }

    @Test("returns what it was made of", arguments: UInt64(1)...200)
    func roundTrip(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let (message, store) = (Self.message(using: &generator), Self.store(using: &generator))
        #expect(MessageCursor(message.description) == message)
        #expect(StoreCursor(store.description) == store)
    }

    @Test("is short, printable and safe in a URL", arguments: UInt64(1)...50)
    func form(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for text in [Self.message(using: &generator).description, Self.store(using: &generator).description] {
            #expect(text.utf8.count <= 128)
            #expect(
                text.unicodeScalars.allSatisfy {
                    $0.isASCII && ($0.properties.isAlphabetic || "0123456789-_".unicodeScalars.contains($0))
                })
        }
    }

    @Test("with one character changed is refused", arguments: UInt64(1)...10)
    func changed(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let (message, store) = (Self.message(using: &generator), Self.store(using: &generator))
        for (text, isRefused) in [
            (message.description, { MessageCursor($0) == nil }), (store.description, { StoreCursor($0) == nil }),
        ] as [(String, (String) -> Bool)] {
            for index in text.indices {
                for character in Self.alphabet where character != text[index] {
                    var changed = text
                    changed.replaceSubrange(index...index, with: String(character))
                    #expect(isRefused(changed), "\(changed)")
                }
            }
        }
    }

    @Test("cut short, or with something added, is refused", arguments: UInt64(1)...10)
    func cut(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let (message, store) = (Self.message(using: &generator).description, Self.store(using: &generator).description)
        for count in 0..<message.count {
            #expect(MessageCursor(message.prefix(count)) == nil)
            #expect(MessageCursor(message.dropFirst(count + 1)) == nil)
        }
        for count in 0..<store.count {
            #expect(StoreCursor(store.prefix(count)) == nil)
            #expect(StoreCursor(store.dropFirst(count + 1)) == nil)
        }
        for character in Self.alphabet {
            #expect(MessageCursor(message + String(character)) == nil)
            #expect(StoreCursor(store + String(character)) == nil)
            #expect(StoreCursor(String(character) + store) == nil)
        }
    }

    @Test("of one kind is refused in the place of the other", arguments: UInt64(1)...50)
    func foreignKind(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        #expect(MessageCursor(Self.store(using: &generator).description) == nil)
        #expect(StoreCursor(Self.message(using: &generator).description) == nil)
    }

    @Test(
        "is nothing that no server gave out",
        arguments: [
            "", "0", "now", "17", "EQ", "EQAAAAA", String(repeating: "A", count: 128), "Маша", "\u{0}", "IQAAAAAA",
        ])
    func foreign(text: String) {
        #expect(MessageCursor(text) == nil)
        #expect(StoreCursor(text) == nil)
    }

    @Test("of any length is refused without much work")
    func endless() {
        let text = String(repeating: "A", count: 10_000_000)
        #expect(MessageCursor(text) == nil)
        #expect(StoreCursor(text) == nil)
    }

    @Test("knows what it is of")
    func owner() {
        var generator = SeededGenerator(seed: 7)
        let (conversation, other) = (ConversationID(using: &generator), ConversationID(using: &generator))
        let cursor = MessageCursor(conversation: conversation, seq: Seq(3), hashPrefix: 4)
        #expect(cursor.isOf(conversation) && !cursor.isOf(other))
        let (store, otherStore) = (StoreID(using: &generator), StoreID(using: &generator))
        let place = StoreCursor(store: store, epoch: Epoch(run: 1, random: 2), commit: Commit(9))
        #expect(place.isOf(store) && !place.isOf(otherStore))
    }

    // Cursors outlive versions: these were given out by the first one.
    @Test("that was given out once is good for ever")
    func kept() {
        let message = MessageCursor(
            conversation: ConversationID(high: 0x0123_4567_89AB_CDEF, low: 1), seq: Seq(300),
            hashPrefix: 0xFEDC_BA98_7654_3210)
        let store = StoreCursor(
            store: StoreID(high: 0x0123_4567_89AB_CDEF, low: 1), epoch: Epoch(run: 2, random: 3),
            commit: Commit(1_000_000))
        #expect(message.description == "Ee_Nq4lnRSMBrAIQMlR2mLrc_pZPQqQ")
        #expect(store.description == "Ie_Nq4lnRSMBAwAAAAIAAADAhD0cZSWy")
    }
}
