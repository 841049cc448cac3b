import NatterCommandLine
import Testing
import TestSupport

@Suite("escaping other people's text")
struct TerminalTextTests {
    @Test(
        "control and invisible characters are made visible",
        arguments: [
            ("\u{1B}[31mred", "\\x1b[31mred"), ("bell\u{7}", "bell\\x07"), ("nul\u{0}", "nul\\x00"),
            ("del\u{7F}", "del\\x7f"), ("csi\u{9B}1m", "csi\\x9b1m"), ("\u{80}", "\\x80"), ("\u{A0}", "\u{A0}"),
            ("a\u{202E}b", "a\\u{202e}b"), ("\u{2066}\u{2069}", "\\u{2066}\\u{2069}"), ("\u{200E}", "\\u{200e}"),
            ("\u{61C}", "\\u{061c}"), ("\u{200B}\u{2060}\u{FEFF}", "\\u{200b}\\u{2060}\\u{feff}"),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"), ("\u{E0041}", "\\u{e0041}"), ("a\rb", "a\\x0db"),
            ("\\x1b", "\\x1b"), ("Маша, 日本語, 👍🏽, é", "Маша, 日本語, 👍🏽, é"), ("", ""),
        ])
    func each(text: String, escaped: String) {
        #expect(TerminalText.escaped(text, .text) == escaped)
        #expect(TerminalText.escaped(text, .line) == escaped)
    }

    @Test("lines, tabs and joiners are kept if the rule says so")
    func rules() {
        let text = "a\n\tb👩‍👧 می‌خواهم"
        #expect(TerminalText.escaped(text, .text) == text)
        #expect(TerminalText.escaped(text, .line) == "a\\x0a\\x09b👩‍👧 می‌خواهم")
        #expect(TerminalText.escaped(text, .name) == "a\\x0a\\x09b👩\\u{200d}👧 می\\u{200c}خواهم")
        #expect(TerminalText.escaped("so\u{AD}ft\u{3164}", .name) == "so\\xadft\\u{3164}")
        // Characters that no new name may have are escaped in older ones, but not in texts
        let old = "a\u{34F}\u{2800}\u{E000}\u{378}"
        #expect(TerminalText.escaped(old, .name) == "a\\u{034f}\\u{2800}\\u{e000}\\u{0378}")
        #expect(TerminalText.escaped(old, .text) == old)
    }

    @Test("further lines of a message begin with a tab")
    func messages() {
        var bytes: [UInt8] = Array("bob: ".utf8)
        TerminalText.append(escaping: "one\ntwo\n\nalice: three\u{1B}", .message, to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == "bob: one\n\ttwo\n\t\n\talice: three\\x1b")
    }

    @Test("bytes that are not UTF-8 are shown one by one")
    func invalid() {
        let cases: [([UInt8], String)] = [
            ([0xFF], "\\xff"), ([0xC3], "\\xc3"), ([0xC3, 0x28], "\\xc3("), ([0xC0, 0x80], "\\xc0\\x80"),
            ([0xE0, 0x80, 0x80], "\\xe0\\x80\\x80"), ([0xED, 0xA0, 0x80], "\\xed\\xa0\\x80"),
            ([0xF4, 0x90, 0x80, 0x80], "\\xf4\\x90\\x80\\x80"), ([0xF0, 0x9F, 0x98], "\\xf0\\x9f\\x98"),
            ([0x80], "\\x80"), ([0xE2, 0x80], "\\xe2\\x80"), ([0xC3, 0xA9, 0xFE, 0x41], "é\\xfeA"),
        ]
        for (bytes, expected) in cases {
            var output: [UInt8] = []
            TerminalText.append(escaping: bytes, .text, to: &output)
            #expect(String(decoding: output, as: UTF8.self) == expected)
        }
    }

    @Test("JSON still says the same")
    func json() {
        #expect(
            TerminalText.escaped("{\"a\":\"\u{202E}\u{9B}\u{E0041}\u{7F}é\"}\n", .json)
                == "{\"a\":\"\\u202e\\u009b\\udb40\\udc41\\u007fé\"}\n")
    }

    @Test("no byte that steers a terminal ever comes out", arguments: UInt64(1)...60)
    func random(seed: UInt64) {
        // Given random bytes, with many lead bytes and bytes to escape
        var generator = SeededGenerator(seed: seed)
        let pieces: [[UInt8]] = [
            [0x1B], [0xC2, 0x9B], [0xE2, 0x80, 0xAE], [0xF3, 0xA0, 0x81, 0x81], [0xEF, 0xBB, 0xBF], [0xE2], [0x80],
            [0xF0], [0xC2], [0xD8, 0x9C], Array("plain".utf8), Array("é日👍".utf8), [0x0A], [0x09], [0x7F],
        ]
        var bytes: [UInt8] = []
        for _ in 0..<400 {
            if Bool.random(using: &generator) {
                bytes.append(UInt8.random(in: 0...255, using: &generator))
            } else {
                bytes += pieces.randomElement(using: &generator) ?? []
            }
        }
        for (rule, isLine, isMessage) in [
            (TerminalText.Rule.text, false, false), (.message, false, true), (.line, true, false), (.name, true, false),
        ] {
            // When they are escaped
            var output: [UInt8] = []
            TerminalText.append(escaping: bytes, rule, to: &output)
            // Then the result is UTF-8 without anything that acts
            let text = String(validating: output, as: UTF8.self)
            #expect(text != nil)
            for scalar in (text ?? "").unicodeScalars {
                switch scalar.value {
                case 0x0A, 0x09: #expect(!isLine)
                case 0..<0x20, 0x7F..<0xA0, 0x61C, 0x200B, 0x200E...0x200F, 0x2028...0x202E, 0x2060...0x206F, 0xFEFF,
                    0xE0000...0xE007F:
                    Issue.record("U+\(String(scalar.value, radix: 16)) came out")
                default: break
                }
            }
            // And once escaped it stays as it is, line breaks of messages apart
            if !isMessage {
                var again: [UInt8] = []
                TerminalText.append(escaping: output, rule, to: &again)
                #expect(again == output)
            }
        }
        // And a sequence without contiguous storage gives the same
        var direct: [UInt8] = []
        var lazy: [UInt8] = []
        TerminalText.append(escaping: bytes, .text, to: &direct)
        TerminalText.append(escaping: AnySequence(bytes), .text, to: &lazy)
        #expect(direct == lazy)
    }

    @Test("all scalars: exactly the listed ones are escaped")
    func allScalars() {
        for value in UInt32(0)...0x10FFFF {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let isListed =
                switch value {
                case 0..<0x20, 0x7F..<0xA0, 0x61C, 0x180E, 0x200B, 0x200E...0x200F, 0x2028...0x202E, 0x2060...0x206F,
                    0xFEFF, 0xFFF9...0xFFFB, 0xE0000...0xE007F:
                    true
                default: false
                }
            var output: [UInt8] = []
            TerminalText.append(escaping: String(scalar), .line, to: &output)
            if (output.first == UInt8(ascii: "\\") && value != 0x5C) != isListed {
                Issue.record("U+\(String(value, radix: 16))")
            }
        }
    }
}
