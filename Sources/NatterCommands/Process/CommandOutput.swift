/// The output of a command, for a message about it.
enum CommandOutput {
    /// The end of an output as a terminal shows it, beginning with a whole line if there is one.
    ///
    /// - Parameters:
    ///   - last: the last bytes of the output.
    ///   - count: how many bytes there were in all.
    /// - Returns: the text without newlines at its ends, and how many bytes before it are left out.
    static func excerpt(_ last: [UInt8], of count: Int) -> (text: String, leftOut: Int) {
        var bytes = last[...]
        if count > bytes.count {
            let rest = bytes.drop { $0 != newline }.dropFirst()
            // A line that is longer than all that is kept is cut at a character.
            bytes = rest.isEmpty ? bytes.drop { $0 & 0xC0 == 0x80 } : rest
        }
        let shown = shown(bytes).drop { $0 == newline }
        let end = shown.lastIndex { $0 != newline }.map { $0 + 1 } ?? shown.startIndex
        return (String(decoding: shown[..<end], as: UTF8.self), count - bytes.count)
    }

    private static let newline = UInt8(ascii: "\n")

    /// The bytes without colours and other control sequences, and without what a carriage return has overwritten, as the steps
    /// of a progress bar. NUL, which no text may contain, goes, too.
    static func shown(_ output: ArraySlice<UInt8>) -> [UInt8] {
        var shown: [UInt8] = []
        var lineStart = 0
        var isReturned = false
        var rest = output
        while let byte = rest.popFirst() {
            switch byte {
            case 0: break
            case 0x1B: skipSequence(&rest)
            case UInt8(ascii: "\r"): isReturned = true
            case newline:
                shown.append(byte)
                (lineStart, isReturned) = (shown.count, false)
            default:
                if isReturned { shown.removeSubrange(lineStart...) }
                isReturned = false
                shown.append(byte)
            }
        }
        return shown
    }

    /// Skips the rest of what began with Esc, as ECMA-48 has it: a control sequence, a string such as a title, or a single command.
    private static func skipSequence(_ rest: inout ArraySlice<UInt8>) {
        guard let kind = rest.popFirst() else { return }
        switch kind {
        case UInt8(ascii: "["): rest = rest.drop { (0x20...0x3F).contains($0) }.dropFirst()
        case UInt8(ascii: "]"), UInt8(ascii: "P"):
            // It ends with BEL or with Esc and a backslash.
            rest = rest.drop { $0 != 0x07 && $0 != 0x1B && $0 != newline }
            if rest.first == 0x1B { rest = rest.dropFirst(2) } else if rest.first == 0x07 { rest = rest.dropFirst() }
        case 0x20...0x2F: rest = rest.drop { (0x20...0x2F).contains($0) }.dropFirst()
        default: break
        }
    }
}
