internal import CManual

/// A guide of the manual, or a section of natter(1), as plain text. It is inside the program, so it needs no man pages.
public struct Topic: Sendable {
    let text: String

    /// - Parameter name: a guide such as `tutorial` or `natter-tutorial`, or a section such as `times`.
    init?(_ name: String) {
        let (index, wanted) = (Topic.guide(named: "natter"), name.lowercased())
        if let page = Topic.guide(named: "natter-" + wanted) ?? (wanted == "natter" ? nil : Topic.guide(named: wanted))
        {
            text = MdocText.render(page)
            return
        }
        let isOther = { (line: Substring) in line.hasPrefix(".Sh ") && line.dropFirst(4).lowercased() != wanted }
        let section = index?.drop { !$0.hasPrefix(".Sh ") || isOther($0) }.prefix { !isOther($0) }
        guard let section, !section.isEmpty, !wanted.isEmpty else { return nil }
        text = MdocText.render(Array(section))
    }

    private static func guide(named name: String) -> [Substring]? {
        var index = 0
        while let guide = natter_guide_at(index)?.pointee {
            if String(cString: guide.name) == name {
                let bytes = UnsafeBufferPointer(start: guide.bytes, count: guide.count)
                return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            }
            index += 1
        }
        return nil
    }
}

/// Renders the macros of mdoc(7) that our pages use.
private struct MdocText {
    private static let standardIndent = 4

    private var lines: [String] = []
    private var paragraph = ""
    private var indent = standardIndent
    private var isLiteral = false

    static func render(_ source: [Substring]) -> String {
        var text = MdocText()
        for line in source { text.add(line) }
        text.flush()
        return text.lines.drop { $0.isEmpty }.reduce(into: "") { $0 += $1 + "\n" }
    }

    private mutating func add(_ line: Substring) {
        guard line.hasPrefix(".") else {
            let plain = MdocText.unescaped(line)
            return isLiteral ? lines.append(spaces(indent + MdocText.standardIndent) + plain) : append(plain)
        }
        let words = MdocText.words(line.dropFirst())
        let rest = MdocText.inline(words.dropFirst())
        switch words.first {
        case "Dd", "Dt", "Os", "Rs", "Re", "\\": break
        case "Sh": head(rest, at: 0)
        case "Ss": head(rest, at: 2)
        case "Pp", "Bd":
            flush()
            separate()
            isLiteral = words.first == "Bd"
        case "Ed": isLiteral = false
        case "Bl", "El":
            flush()
            indent += words.first == "Bl" ? MdocText.standardIndent : -MdocText.standardIndent
        case "It":
            flush()
            lines.append(spaces(indent - MdocText.standardIndent) + rest)
        case "Nd": append("- " + rest)
        default: append(MdocText.inline(words[...]))
        }
    }

    private func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }

    private mutating func separate() { if lines.last?.isEmpty == false { lines.append("") } }

    private mutating func head(_ text: String, at column: Int) {
        flush()
        separate()
        lines.append(spaces(column) + text)
    }

    private mutating func append(_ text: String) {
        let isGlued = paragraph.isEmpty || paragraph.hasSuffix("(") || text.hasPrefix(")")
        paragraph += (isGlued ? "" : " ") + text
    }

    private mutating func flush() {
        if !paragraph.isEmpty { lines += LineWrap.lines(of: paragraph, first: spaces(indent), indent: indent) }
        paragraph = ""
    }

    /// The words of a macro line. A word in quotes may have spaces.
    private static func words(_ line: Substring) -> [String] {
        line.split(separator: "\"", omittingEmptySubsequences: false).enumerated().flatMap { index, part in
            index.isMultiple(of: 2) ? part.split(separator: " ").map(String.init) : [String(part)]
        }
    }

    private static let quotes = ["Ql": ("'", "'"), "Dq": ("\"", "\""), "Pq": ("(", ")"), "Op": ("[", "]")]
    private static let plain: Set = [
        "Li", "Cm", "Ar", "Pa", "Ev", "Em", "Va", "Dv", "Sx", "No", "Lk", "In", "Nm", "%T",
    ]

    private static func inline(_ words: ArraySlice<String>) -> String {
        var (text, rest) = ("", words)
        var (isGlued, isFlag) = (true, false)
        func isPunctuation(_ word: String) -> Bool { word.count == 1 && ".,:;)?!".contains(word) }
        func add(_ word: String) {
            text += (isGlued ? "" : " ") + word
            isGlued = word == "("
        }
        while let word = rest.popFirst() {
            if let (open, close) = quotes[word] {
                let inside = rest.dropLast(rest.reversed().prefix(while: isPunctuation).count)
                add(open + inline(inside) + close)
                rest = rest.dropFirst(inside.count)
            } else if word == "Xr" {
                let page = rest.popFirst() ?? ""
                add("\(page)(\(rest.popFirst() ?? ""))")
            } else if word == "Nm", rest.first.map(isPunctuation) != false {
                add("natter")
            } else if word == "Fl" || plain.contains(word) {
                isFlag = word == "Fl"
            } else if word == "Ns" {
                isGlued = true
            } else if isPunctuation(word) || word == "Pc" {
                text += word == "Pc" ? ")" : word
            } else {
                add(word == "Po" ? "(" : word == "Ta" ? " " : (isFlag ? "-" : "") + unescaped(word[...]))
            }
        }
        return text
    }

    private static func unescaped(_ text: Substring) -> String {
        [("\\&", ""), ("\\(dq", "\""), ("\\(aq", "'"), ("\\(ga", "`"), ("\\(<=", "≤"), ("\\e", "\\")]
            .reduce(String(text)) { $0.replacing($1.0, with: $1.1) }
    }
}
