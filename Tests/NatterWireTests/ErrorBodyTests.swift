import NatterLanguage
import NatterWire
import Testing

@Suite("errors in parts, for translation")
struct ErrorBodyTests {
    private func decoded(_ text: String) throws -> ErrorBody.Detail {
        try WireJSON.decode(ErrorBody.self, from: Array(text.utf8)).error
    }

    @Test("phrases in phrases and plurals arrive as they were sent")
    func roundTrip() throws {
        let inner: Phrase = .plural(3, "\(3) byte", "\(3) bytes")
        var body = ErrorBody(.damaged, "the block has \(inner) of 100% ('\("a\n")')", from: 1, to: 2)
        body.line = 3
        #expect(body.error.message == "the block has 3 bytes of 100% ('a\n')")
        let back: ErrorBody = try WireJSON.decode(from: WireJSON.encode(body))
        #expect(back == body)
        #expect(back.error.phrase?.phrase.english == body.error.message)
    }

    @Test("parts that are missing or of another form leave the message")
    func lenient() throws {
        let deep = String(repeating: #"{"key":"%s","values":["#, count: 200) + String(repeating: "]}", count: 200)
        for phrase in ["7", "null", "{}", #"{"key":1,"values":[]}"#, #"{"key":"a","values":[{"b":1}]}"#, deep] {
            let detail = try decoded(#"{"error":{"code":"busy","message":"wait","phrase":"# + phrase + "}}")
            #expect(detail.message == "wait" && detail.phrase == nil, "\(phrase.prefix(40))")
        }
        #expect(try decoded(#"{"error":{"code":"busy","message":"wait"}}"#).phrase == nil)
    }
}
