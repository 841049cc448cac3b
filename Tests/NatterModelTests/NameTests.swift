import NatterModel
import Testing
import TestSupport

@Suite("names")
struct NameTests {
    private func error(of name: String) -> NameError? { failure { () throws(NameError) in try NameRule.check(name) } }

    @Test(
        "that people have are names",
        arguments: [
            "bob", "|trey|", "[gnubie]", "Маша", "a", "Ω", "名前", "x-1", "a.b", "o'neil", "a:b", "a@b", "a#b", "~", "!",
            "(a)",
            "{}", "^", "_", "🦊", "meme", "generals", "1", "a\"b", "a\\b", "a`b", "général",
            String(repeating: "a", count: 64), String(repeating: "я", count: 32),
        ])
    func accepted(name: String) {
        #expect(error(of: name) == nil)
    }

    @Test(
        "never begin with a character that is special to natter or a shell",
        arguments: Array("-@#:.\"'`\\").map(String.init))
    func firstCharacter(character: String) {
        for name in [character, character + "bob"] {
            #expect(error(of: name) == .forbiddenFirstCharacter("'\(character)'"))
        }
    }

    @Test(
        "never begin with what joins the character before it, unless an older version gave the name",
        arguments: ["\u{301}", "\u{20DD}", "\u{93E}", "\u{E31}", "\u{1F3FB}"])
    func joined(mark: String) throws {
        for name in [mark, mark + "bob"] {
            #expect(error(of: name) == .forbiddenFirstCharacter("a combining mark"))
            try NameRule.checkForm(name)
        }
        try NameRule.check("bob" + mark)
    }

    @Test("hold no slash and no comma", arguments: ["/", ","])
    func separators(character: String) {
        for name in [character, "a" + character, character + "a", "a\(character)b"] {
            #expect(error(of: name) == .forbiddenCharacter("'\(character)'"))
        }
    }

    @Test(
        "hold nothing that is not seen",
        arguments: [
            // Control, format, white space.
            "\u{0}", "\u{1}", "\t", "\n", "\r", "\u{1B}", "\u{1F}", "\u{7F}", "\u{80}", "\u{85}", "\u{9B}",
            "\u{AD}", "\u{200B}", "\u{200D}", "\u{200E}", "\u{202E}", "\u{2060}", "\u{2066}", "\u{FEFF}", "\u{E0041}",
            " ", "\u{A0}", "\u{1680}", "\u{2003}", "\u{2028}", "\u{2029}", "\u{202F}", "\u{3000}",
        ])
    func invisible(character: String) {
        for name in [character, "a" + character, character + "a", "a\(character)b"] {
            guard case .forbiddenCharacter = error(of: name) else {
                Issue.record("accepted \(Array(name.unicodeScalars.map(\.value)))")
                continue
            }
        }
    }

    @Test(
        "hold nothing that looks like nothing or like anything, unless an older version gave the name",
        arguments: [
            // Default-ignorable, though letters or marks; an empty braille cell.
            "\u{34F}", "\u{115F}", "\u{1160}", "\u{3164}", "\u{FFA0}", "\u{17B4}", "\u{180B}", "\u{FE0F}", "\u{E0100}",
            "\u{2800}",
            // Unassigned, noncharacters, private use.
            "\u{378}", "\u{FFFE}", "\u{1FFFF}", "\u{10FFFF}", "\u{E000}", "\u{F0000}",
        ])
    func confusing(character: String) {
        for name in ["a" + character, "a\(character)b"] {
            guard case .forbiddenCharacter = error(of: name) else {
                Issue.record("accepted \(Array(name.unicodeScalars.map(\.value)))")
                continue
            }
            #expect(failure { () throws(NameError) in try NameRule.checkForm(name) } == nil)
        }
    }

    @Test("have 1 to 64 bytes, not characters")
    func length() {
        #expect(error(of: "") == .empty)
        #expect(error(of: String(repeating: "a", count: 65)) == .tooLong)
        #expect(error(of: String(repeating: "я", count: 32) + "a") == .tooLong)
    }

    @Test("are not taken by us", arguments: ["general", "General", "GENERAL", "gEnErAl", "me", "Me", "mE", "ME"])
    func reserved(name: String) {
        #expect(error(of: name) == .reserved)
        #expect(failure { () throws(NameError) in _ = try UserName(name) } == .reserved)
    }

    @Test(
        "that differ only in case have one key",
        arguments: [
            ("Bob", "bOB"), ("МАША", "маша"), ("straße", "STRASSE"), ("straße", "STRAẞE"), ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Ǆ", "ǆ"), ("ﬀ", "FF"),
            ("\u{390}", "\u{3AA}\u{301}"), ("\u{3B0}", "\u{3AB}\u{301}"), ("\u{1E96}", "H\u{331}"),
        ])
    func caseKey(left: String, right: String) {
        #expect(Array(NameRule.caseKey(left).utf8) == Array(NameRule.caseKey(right).utf8))
        // A key is its own key, so a key that was stored can be looked up again.
        #expect(NameRule.caseKey(NameRule.caseKey(left)) == NameRule.caseKey(left))
    }

    @Test("that differ in more have different keys", arguments: [("bob", "bop"), ("е", "e"), ("é", "e"), ("ё", "е")])
    func otherKey(left: String, right: String) {
        #expect(NameRule.caseKey(left) != NameRule.caseKey(right))
    }

    @Test("say in one line what is wrong with them")
    func words() {
        let errors: [NameError] = [
            .empty, .tooLong, .forbiddenCharacter("'/'"), .forbiddenFirstCharacter("'-'"), .reserved,
        ]
        for error in errors {
            #expect(
                !error.description.isEmpty && !error.description.contains("\n") && !error.description.hasSuffix("."))
        }
    }
}
