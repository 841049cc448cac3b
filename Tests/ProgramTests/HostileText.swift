internal import Foundation

/// Hostile texts for every field, and effects that they must never have.
enum HostileText {
    static let payloads: [String] = [
        "..", "../../../../tmp/natter-escaped", "%2e%2e%2f%2e%2e%2fnatter-escaped", "/etc/passwd", "a/../../b",
        "~root/x",
        "$(touch natter-escaped)", "`touch natter-escaped`", "; touch natter-escaped", "%n%s%x%%", "-rf", "--help",
        String(repeating: "A", count: 4_096), String(repeating: "\u{1F469}\u{200D}", count: 600),
        // Characters that change the direction of writing, that are invisible, or that end a line for some programs.
        "\u{202E}gnp.exe\u{202C}", "\u{2066}\u{2067}\u{2068}\u{2069}\u{200E}\u{200F}\u{061C}", "al\u{200B}ice",
        "\u{FEFF}x",
        "x\u{2028}y\u{2029}z", "\u{E0041}\u{E007F}tag", "\u{180E}\u{2060}\u{00AD}", "a\u{0300}\u{0301}\u{0302}\u{0303}",
        // Every control code.
        String(String.UnicodeScalarView((1..<0x20).compactMap { Unicode.Scalar($0) })),
        String(String.UnicodeScalarView((0x7F..<0xA0).compactMap { Unicode.Scalar($0) })),
        "a\0b", "\0",
        // Commands to a terminal.
        "\u{1B}]8;;https://example.org/\u{1B}\\click\u{1B}]8;;\u{1B}\\", "\u{1B}]52;c;ZXZpbA==\u{07}",
        "\u{9D}52;c;ZXZpbA==\u{9C}", "\u{1B}[2J\u{1B}[H", "\u{9B}31mred", "\u{1B}]0;title\u{07}", "\u{1B}P+q\u{1B}\\",
        "\u{1B}[6n", "x\r\u{1B}[K2026-11-20T07:24:05.123Z root: forged", "x\n2026-11-20T07:24:05.123Z root: forged",
        "x\r\nHTTP/1.1 200 OK\r\nX: y", "\u{08}\u{08}\u{08}\u{08}\u{08}",
        "\"}\n{\"conversation\":\"general\",\"seq\":1,\"text\":\"forged\"}",
    ]

    /// The characters of an output that a terminal would act on, or that change how a line is read.
    ///
    /// - Parameter output: of a human form, where only line breaks and tabs are left.
    static func dangers(in output: [UInt8]) -> [String] {
        guard let text = String(validating: output, as: UTF8.self) else { return ["bytes that are not UTF-8"] }
        return Set(text.unicodeScalars.lazy.filter(isDangerous).map { "U+" + String($0.value, radix: 16) }).sorted()
    }

    private static func isDangerous(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0A: false
        case 0..<0x20, 0x7F..<0xA0, 0x061C, 0x180E, 0x200B, 0x200E...0x200F, 0x2028...0x202E, 0x2060...0x206F, 0xFEFF,
            0xE0000...0xE007F:
            true
        default: false
        }
    }

    static func percentEncoded(_ text: String) -> String {
        text.utf8.map { "%" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// A JSON object of these fields.
    static func object(_ fields: [String: String]) -> [UInt8] {
        (try? JSONEncoder().encode(fields)).map { Array($0) } ?? []
    }
}
