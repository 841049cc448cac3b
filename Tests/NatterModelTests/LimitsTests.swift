import NatterModel
import Testing
import TestSupport

@Suite("limits")
struct LimitsTests {
    private func error(of text: String) -> TextError? { failure { () throws(TextError) in try TextError.check(text) } }

    @Test("a text has 1 to 65,536 bytes")
    func textLength() {
        #expect(error(of: "") == .empty)
        #expect(error(of: "a") == nil)
        #expect(error(of: String(repeating: "a", count: 65_536)) == nil)
        #expect(error(of: String(repeating: "a", count: 65_537)) == .tooLong(bytes: 65_537))
        #expect(error(of: String(repeating: "я", count: 32_768)) == nil)
        #expect(error(of: String(repeating: "я", count: 32_769)) == .tooLong(bytes: 65_538))
    }

    @Test(
        "a text holds anything but U+0000",
        arguments: ["\n", "\t", " ", "\u{1B}[2J", "\u{202E}", "\u{FEFF}", "\r\n", "\u{1}"])
    func textContent(text: String) {
        #expect(error(of: text) == nil)
        #expect(error(of: text + "\u{0}" + text) == .containsNul)
    }

    @Test("a key is 1 to 64 printable bytes of ASCII, spaces included")
    func keys() {
        for text in ["a", " ", "~", "!\"#$%&'()*+,-./", String(repeating: "k", count: 64)] {
            #expect(IdempotencyKey(text)?.text == text)
        }
        for text in ["", String(repeating: "k", count: 65), "a\n", "\u{7F}", "\u{1F}", "\u{0}", "é", "я", "a\tb"] {
            #expect(IdempotencyKey(text) == nil)
        }
    }

    @Test("numbers from outside can't overflow a seq")
    func seqs() {
        #expect(Seq(.max).next == Seq(.max))
        #expect(Seq(.max).advanced(by: .max) == Seq(.max))
        #expect(Seq(5).advanced(by: -3) == Seq(5))
        #expect(Seq.zero.previous == .zero)
        #expect(Seq(2).previous == Seq(1))
        #expect(Seq(.max).distance(after: .zero) == .max)
        #expect(Seq(3).distance(after: Seq(5)) == 0)
        #expect(Seq(5).distance(after: Seq(3)) == 2)
    }

    @Test("an epoch counts runs in its upper half")
    func epochs() {
        let epoch = Epoch(run: 7, random: 0xDEAD_BEEF)
        #expect(epoch.rawValue == 0x0000_0007_DEAD_BEEF)
        #expect(epoch.run == 7)
        #expect(epoch.description == "00000007deadbeef")
    }

    @Test("kinds have names, unknown ones too")
    func kinds() {
        for rawValue in UInt8.min...UInt8.max {
            let kind = MessageKind(rawValue: rawValue)
            #expect(MessageKind(name: kind.name) == kind)
        }
        for name in ["", "Text", "kind-", "kind-256", "kind--1", "kind-+5", "kind-x"] {
            #expect(MessageKind(name: name) == nil)
        }
        for kind in ConversationKind.allCases { #expect(ConversationKind(name: kind.name) == kind) }
        #expect(ConversationKind(name: "General") == nil)
    }
}

@Suite("runs of combining marks")
struct CombiningRunTests {
    private static func marks(_ count: Int) -> String {
        String(String.UnicodeScalarView((0..<count).map { $0 % 2 == 0 ? "\u{301}" : "\u{316}" }))
    }

    @Test("up to 128 marks in a row are left alone, however often")
    func short() {
        for text in ["", "plain", "e" + Self.marks(128), String(repeating: "e" + Self.marks(128), count: 50)] {
            #expect(!CombiningRun.isLong(in: text))
            #expect(CombiningRun.split(text).utf8.elementsEqual(text.utf8))
        }
    }

    @Test(
        "a longer run gets a joiner after each 128 marks, and keeps all of them", arguments: [129, 256, 257, 100_000])
    func long(count: Int) {
        let text = "a\(Self.marks(count))b"
        #expect(CombiningRun.isLong(in: text))
        let split = CombiningRun.split(text)
        #expect(!CombiningRun.isLong(in: split))
        let joiners = split.unicodeScalars.filter { $0 == "\u{34F}" }.count
        #expect(joiners == (count - 1) / 128)
        #expect(
            String(String.UnicodeScalarView(split.unicodeScalars.filter { $0 != "\u{34F}" })).utf8.elementsEqual(
                text.utf8))
    }
}
