/// A line of the server's log: `2026-11-20T07:24:05.123Z info request method=GET status=200`. The server writes it, and
/// `natter admin log` prints it.
public enum ServiceLine {
    /// - Returns: the line with a newline. A value is quoted if its end would be ambiguous.
    public static func bytes(
        _ time: String, _ level: String, _ event: String, _ fields: [(key: String, value: String)]
    ) -> [UInt8] {
        var line: [UInt8] = []
        TerminalText.append(escaping: "\(time) \(level) \(event)", .name, to: &line)
        for (key, value) in fields {
            line.append(UInt8(ascii: " "))
            TerminalText.append(escaping: key, .name, to: &line)
            line.append(UInt8(ascii: "="))
            let isPlain =
                !value.isEmpty
                && value.utf8.allSatisfy { $0 > 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "=") }
            if isPlain {
                TerminalText.append(escaping: value, .name, to: &line)
            } else {
                line.append(UInt8(ascii: "\""))
                let quoted = value.utf8.flatMap { byte -> [UInt8] in
                    byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") ? [UInt8(ascii: "\\"), byte] : [byte]
                }
                TerminalText.append(escaping: quoted, .name, to: &line)
                line.append(UInt8(ascii: "\""))
            }
        }
        line.append(UInt8(ascii: "\n"))
        return line
    }
}
