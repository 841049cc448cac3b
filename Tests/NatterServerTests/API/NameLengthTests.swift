internal import NatterClient
internal import NatterHTTP
internal import NatterModel
@testable internal import NatterServer
internal import ServerSupport
internal import Testing
internal import TestSupport

/// Normalizing, comparing and hashing a text takes time that grows with the square of a run of combining marks.
@Suite("names of any length from outside")
struct NameLengthTests {
    /// Marks of two classes in turn, which normalization must sort: the dearest text there is.
    private static func marks(_ count: Int) -> String { String(repeating: "\u{301}\u{316}", count: count / 2) }

    @Test("what is too long for a name is cut before it is normalized")
    func cut() {
        for text in [NameLengthTests.marks(200_000), String(repeating: "a", count: 257), NameLengthTests.marks(130)] {
            let cut = Normalization.formC(text)
            #expect((65...1_024).contains(cut.utf8.count))
            // No name contains a space, so it is nobody's, whatever was cut.
            #expect(cut.hasSuffix(" …"))
            #expect(throws: NameError.tooLong) { _ = try UserName(cut) }
        }
    }

    @Test("the longest way to write a name is still that name")
    func longest() {
        // U+0390 in 7 bytes instead of 2; no character has a longer form.
        let longest = String(repeating: "\u{1FBE}\u{308}\u{341}", count: 32)
        #expect(longest.utf8.count == 224)
        #expect(Array(Normalization.formC(longest).utf8) == Array(String(repeating: "\u{390}", count: 32).utf8))
        let ascii = String(repeating: "a", count: 256)
        #expect(Normalization.formC(ascii) == ascii)
    }

    @Test("an endless name is unknown or too long, and the answer does not repeat it")
    func answers() throws {
        let alice = try TestServer().account("alice")
        let name = NameLengthTests.marks(200_000)
        func expect(_ answer: Answer, _ outcome: String) {
            #expect(answer.outcome == outcome)
            #expect(answer.body.count < 4_096)
        }
        try expect(alice.say("hi", to: name), "404 no_such_conversation")
        try expect(alice.say("hi", to: "@" + name), "404 no_such_user")
        let short = NameLengthTests.marks(6_000)
        try expect(alice.post("/v1/groups", ["name": .string(short)]), "422 bad_name")
        try expect(
            alice.post("/v1/register", ["name": .string(short), "password": "long enough"]), "422 bad_name")
        try expect(alice.post("/v1/login", ["name": .string(short), "password": "x"]), "401 bad_credentials")
    }
}
