internal import NatterModel

/// Writes a history as one HTML page. It needs no other file and no network, and runs no script. Times are UTC.
struct PageWriter: HistoryWriter {
    private static let style = """
        :root { color-scheme: light dark }
        body { font: 1rem/1.45 system-ui, sans-serif; max-width: 50rem; margin: 0 auto; padding: 0 1rem 4rem }
        h2 { font-size: .9rem; margin: 2rem 0 .5rem; border-bottom: 1px solid; opacity: .7 }
        article { margin: .6rem 0; overflow-wrap: anywhere }
        article > p { margin: 0; white-space: pre-wrap }
        header > * { font-size: .8rem; opacity: .7; text-decoration: none; color: inherit }
        header > b { font-size: 1rem; opacity: 1 }
        .event, .missing, i { opacity: .7; font-style: italic }
        article:target { outline: 2px solid }
        """

    private let conversation: String
    private var date: String?

    init(conversation: String) { self.conversation = conversation }

    func begin(_ output: inout [UInt8]) {
        output +=
            """
            <!DOCTYPE html>
            <html>
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width">
            <meta name="generator" content="natter \(Release.version)">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
            <title>\(PageWriter.escaped(conversation, .name))</title>
            <style>
            \(PageWriter.style)
            </style>
            </head>
            <body>
            <h1 dir="auto">\(PageWriter.escaped(conversation, .name))</h1>

            """.utf8
    }

    mutating func write(_ message: HistoryMessage, to output: inout [UInt8]) {
        let time = CivilTime(milliseconds: message.time.milliseconds)
        if time.date != date {
            date = time.date
            output += "<h2>\(time.date)</h2>\n".utf8
        }
        let sender = PageWriter.escaped(message.sender, .name)
        let kind = message.kind == .text ? "" : " class=\"\(PageWriter.escaped(message.kind.name, .name))\""
        output += "<article id=\"\(message.seq)\"\(kind)><header><b><bdi>\(sender)</bdi></b> ".utf8
        output += "<time datetime=\"\(message.time.rfc3339)\">\(time.clock)</time> ".utf8
        output += "<a href=\"#\(message.seq)\">\(message.seq)</a>".utf8
        if let about = message.about { output += " <a href=\"#\(about)\">↩ \(about)</a>".utf8 }
        if let state = message.state { output += " <i>(\(PageWriter.escaped(state, .name)))</i>".utf8 }
        output += "</header>\n<p dir=\"auto\">".utf8
        PageWriter.appendLinked(PageWriter.escaped(message.text, .text), to: &output)
        output += "</p></article>\n".utf8
    }

    func missing(from first: Seq, to last: Seq, _ output: inout [UInt8]) {
        let note: Phrase = "messages \(first) to \(last) of '\(conversation)' are missing"
        output += "<p class=\"missing\">\(PageWriter.escaped(note.text, .line))</p>\n".utf8
    }

    func end(_ output: inout [UInt8]) { output += "</body>\n</html>\n".utf8 }

    /// Text for a page: what is invisible is shown as on a terminal, and nothing of it is markup.
    private static func escaped(_ text: String, _ rule: TerminalText.Rule) -> String {
        var bytes: [UInt8] = []
        for byte in TerminalText.escaped(text, rule).utf8 {
            switch byte {
            case UInt8(ascii: "&"): bytes += "&amp;".utf8
            case UInt8(ascii: "<"): bytes += "&lt;".utf8
            case UInt8(ascii: ">"): bytes += "&gt;".utf8
            case UInt8(ascii: "\""): bytes += "&quot;".utf8
            default: bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Makes links of web addresses in escaped text.
    private static func appendLinked(_ text: String, to output: inout [UInt8]) {
        var rest = Array(text.utf8)[...]
        while let colon = PageWriter.firstScheme(in: rest) {
            output += rest[..<colon.lowerBound]
            var address = rest[colon.lowerBound...].prefix { $0 > 0x20 && $0 != 0x7F }
            // An escaped '<', '>' or '"' ends an address, and so does punctuation behind it.
            for mark in ["&lt;", "&gt;", "&quot;"] {
                if let end = address.firstRange(of: mark.utf8) { address = address[..<end.lowerBound] }
            }
            func count(_ bracket: Unicode.Scalar) -> Int { address.count(where: { $0 == UInt8(ascii: bracket) }) }
            var unopened = count(")") - count("(")
            while let last = address.last, ".,;:!?)'".utf8.contains(last), !address.hasEntitySuffix {
                if last == UInt8(ascii: ")") {
                    // A bracket that was opened in the address belongs to it.
                    if unopened <= 0 { break }
                    unopened -= 1
                }
                address = address.dropLast()
            }
            rest = rest[address.endIndex...]
            guard address.count > colon.count else {
                output += address
                continue
            }
            output += "<a href=\"".utf8
            output += address
            output += "\" rel=\"noreferrer\">".utf8
            output += address
            output += "</a>".utf8
        }
        output += rest
    }

    /// The place of the next `http://` or `https://`.
    private static func firstScheme(in text: ArraySlice<UInt8>) -> Range<Int>? {
        var start = text.startIndex
        while let index = text[start...].firstIndex(of: UInt8(ascii: "h")) {
            for scheme in ["http://", "https://"] where text[index...].starts(with: scheme.utf8) {
                return index..<index + scheme.utf8.count
            }
            start = index + 1
        }
        return nil
    }
}

extension ArraySlice<UInt8> {
    /// Whether it ends with `&amp;`, whose semicolon is no punctuation.
    fileprivate var hasEntitySuffix: Bool { suffix(5).elementsEqual("&amp;".utf8) }
}
