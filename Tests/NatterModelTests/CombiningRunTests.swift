import NatterModel
import Testing

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
