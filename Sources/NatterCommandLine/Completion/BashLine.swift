/// A command line of bash up to the cursor, as the user typed it.
///
/// bash inserts candidates unchanged, so each is quoted here to fit the quotes around it. bash also ends words at `@`,
/// `:` and `=`. A candidate must not repeat the text before such a character.
struct BashLine {
    /// The words after the program's name, without quotes and redirections. The last one is being completed.
    let words: [String]
    /// True if the last word is the file of a redirection such as `>`.
    let isFileName: Bool
    /// The part of the last word that bash keeps.
    private let kept: Word

    private struct Word {
        var raw: [UInt8] = []
        /// The text without quotes.
        var text: [UInt8] = []
        /// The quote that is open at its end.
        var quote: UInt8?
        /// False if bash would have to run a command to know the text.
        var isKnown = true

        /// True for `>`, `2>` or `<words.txt`, which belong to the shell and not to the command.
        var isRedirection: Bool {
            raw.first { !(UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0) }.map("<>".utf8.contains) == true
        }
        /// True if the next word is the file of this redirection.
        var expectsFile: Bool { raw.last.map("<>&|".utf8.contains) == true }
    }

    /// - Parameter replaced: the end of the line that bash will replace with a candidate.
    /// - Returns: nil if the word at the cursor depends on a command that bash would have to run.
    init?(_ line: String, replaced: String) {
        let all = BashLine.split(Array(line.utf8)).dropFirst()
        guard let last = all.last, last.isKnown else { return nil }
        var words: [String] = []
        var expectsFile = false
        for word in all.dropLast() {
            if expectsFile || word.isRedirection {
                expectsFile = !expectsFile && word.expectsFile
            } else {
                words.append(String(decoding: word.isKnown ? word.text : word.raw, as: UTF8.self))
            }
        }
        self.words = words + [String(decoding: last.text, as: UTF8.self)]
        isFileName = expectsFile || last.isRedirection
        let endsWithReplaced = last.raw.suffix(replaced.utf8.count).elementsEqual(replaced.utf8)
        kept = endsWithReplaced ? BashLine.split(last.raw.dropLast(replaced.utf8.count)).last ?? Word() : Word()
    }

    /// The text that bash should insert for a word. It is nil if the word does not begin with the typed text or can't
    /// be quoted.
    func inserted(_ word: String) -> String? {
        guard let typed = words.last, word.utf8.starts(with: typed.utf8) else { return nil }
        var result: [UInt8] = []
        for byte in word.utf8.dropFirst(kept.text.count) {
            switch kept.quote {
            case UInt8(ascii: "'"):
                result += byte == UInt8(ascii: "'") ? Array(#"'\''"#.utf8) : [byte]
            case .some:
                // In double quotes, no escape keeps "!" from history expansion.
                if byte == UInt8(ascii: "!") { return nil }
                result += BashLine.isEscapable(byte) ? [UInt8(ascii: "\\"), byte] : [byte]
            case nil:
                let isPlain =
                    byte >= 0x80 || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
                    || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || "%+,-./:=@_".utf8.contains(byte)
                result += isPlain ? [byte] : [UInt8(ascii: "\\"), byte]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// Splits at white space outside of quotes and substitutions. If white space ends the line, the last word is empty.
    private static func split(_ line: [UInt8]) -> [Word] {
        var words: [Word] = []
        var word = Word()
        var depth = 0
        var rest = line[...]
        while let byte = rest.popFirst() {
            if word.quote == nil, depth == 0, byte == 0x20 || 0x09...0x0D ~= byte {
                if !word.raw.isEmpty { words.append(word) }
                word = Word()
                continue
            }
            word.raw.append(byte)
            switch (byte, word.quote) {
            case (_, .some(byte)): word.quote = nil
            case (_, UInt8(ascii: "'")): word.text.append(byte)
            case (UInt8(ascii: "\\"), _):
                let next = rest.popFirst().map { [$0] } ?? []
                word.raw += next
                // Between double quotes, a backslash escapes only a few characters.
                if word.quote != nil, next.first.map(isEscapable) != true { word.text.append(byte) }
                word.text += next
            case (UInt8(ascii: "$"), _): word.isKnown = false
            case (UInt8(ascii: "`"), _):
                word.isKnown = false
                word.quote = word.quote ?? byte
            case (UInt8(ascii: "'"), nil), (UInt8(ascii: "\""), nil): word.quote = byte
            case (UInt8(ascii: "("), nil): depth += 1
            case (UInt8(ascii: ")"), nil): depth = max(0, depth - 1)
            default: word.text.append(byte)
            }
        }
        return words + [word]
    }

    /// True if a backslash between double quotes escapes this character.
    private static func isEscapable(_ byte: UInt8) -> Bool { "$`\"\\".utf8.contains(byte) }
}
