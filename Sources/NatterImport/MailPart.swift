internal import Glibc
internal import NatterModel
internal import NatterSystem

/// A mail, or a part of one: its headers and its body.
///
/// - SeeAlso: RFC 5322 (headers), RFC 2045 and 2046 (parts and their codings).
struct MailPart {
    private static let depthLimit = 8
    private static let partLimit = 1_000
    private static let headerLimit = 1_000

    private var headers: [(name: String, value: String)] = []
    private let body: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        while let end = rest.firstIndex(of: 0x0A) {
            var line = rest[..<end]
            rest = rest[(end + 1)...]
            if line.last == 0x0D { line = line.dropLast() }
            if line.isEmpty { break }
            let text = Charset.decode(Array(line), "")
            if line.first == 0x20 || line.first == 0x09 {
                // A long header goes on here.
                if !headers.isEmpty { headers[headers.count - 1].value += text }
            } else if let colon = text.firstIndex(of: ":"), headers.count < MailPart.headerLimit {
                headers.append((text[..<colon].lowercased(), text[text.index(after: colon)...].trimmed))
            }
        }
        body = rest
    }

    /// The first header of a name.
    subscript(name: String) -> String? {
        let name = name.lowercased()
        // A long one may begin in its second line.
        return headers.first { $0.name == name }?.value.trimmed
    }

    // MARK: Text

    /// The text that a reader of the mail would see; nil if there is none.
    ///
    /// - Parameter attachments: is raised by the number of parts that are something else.
    func text(_ attachments: inout Int) -> String? { text(&attachments, depth: 0) }

    private func text(_ attachments: inout Int, depth: Int) -> String? {
        let type = self["Content-Type"] ?? "text/plain"
        // A comment may stand behind it.
        let kind = type.prefix { $0 != ";" && $0 != "(" }.trimmed.lowercased()
        if kind.hasPrefix("multipart/"), depth < MailPart.depthLimit {
            var parts = MailPart.parameter("boundary", of: type).map(split) ?? []
            if parts.isEmpty, let boundary = usedBoundary { parts = split(boundary) }
            if !parts.isEmpty {
                return text(of: parts, isChoice: kind == "multipart/alternative", &attachments, depth)
            }
        }
        let isAttachment = self["Content-Disposition"]?.lowercased().hasPrefix("attachment") == true
        guard !isAttachment, kind == "text/plain" || kind == "text/html" || !kind.contains("/") else {
            attachments += 1
            return nil
        }
        let text = Charset.decode(decodedBody, MailPart.parameter("charset", of: type) ?? "utf-8")
        return kind == "text/html" ? MailPart.withoutTags(text) : text
    }

    /// Of a choice the plain text, or the first text if that is blank; of a mixture all texts, one after another.
    private func text(
        of parts: [ArraySlice<UInt8>], isChoice: Bool, _ attachments: inout Int, _ depth: Int
    ) -> String? {
        let parts = parts.prefix(MailPart.partLimit).map { MailPart($0) }
        if isChoice {
            let plain = parts.first { $0["Content-Type"]?.lowercased().hasPrefix("text/plain") == true }
            var blank: String?
            for part in [plain].compactMap({ $0 }) + parts {
                guard let text = part.text(&attachments, depth: depth + 1) else { continue }
                if text.contains(where: { !$0.isWhitespace }) { return text }
                blank = blank ?? text
            }
            return blank
        }
        let texts = parts.compactMap { $0.text(&attachments, depth: depth + 1) }
        return texts.isEmpty ? nil : texts.joined(separator: "\n")
    }

    private func split(_ boundary: String) -> [ArraySlice<UInt8>] {
        let mark = Array(("--" + boundary).utf8)
        /// What is behind the boundary in its line; nil for another line, as with a longer boundary of a part.
        func behindBoundary(_ line: ArraySlice<UInt8>) -> [UInt8]? {
            guard line.starts(with: mark) else { return nil }
            let rest = line.dropFirst(mark.count).filter { ![0x09, 0x0D, 0x20].contains($0) }
            return rest.isEmpty || rest == Array("--".utf8) ? rest : nil
        }
        var parts: [ArraySlice<UInt8>] = []
        var start: Int?
        var line = body.startIndex
        while line < body.endIndex {
            let end = body[line...].firstIndex(of: 0x0A) ?? body.endIndex
            let next = min(end + 1, body.endIndex)
            if let rest = behindBoundary(body[line..<end]) {
                // The newline before the boundary belongs to it.
                if let start, start < line { parts.append(body[start..<max(start, line - 1)]) }
                start = rest.isEmpty ? next : nil
            }
            line = next
        }
        if let start { parts.append(body[start...]) }
        return parts
    }

    /// The boundary of the parts if the header names none or another one, as some programs on the way leave it.
    private var usedBoundary: String? {
        let lines = body.split(separator: 0x0A, maxSplits: MailPart.headerLimit)
        let first = zip(lines, lines.dropFirst()).first { line, next in
            line.starts(with: "--".utf8) && next.prefix(8).map(\.asciiLowercased) == Array("content-".utf8)
        }
        return first.map { String(decoding: $0.0.dropFirst(2), as: UTF8.self).trimmed }
    }

    private var decodedBody: [UInt8] {
        switch self["Content-Transfer-Encoding"]?.lowercased() {
        case "quoted-printable": TransferCoding.quotedPrintable(body)
        case "base64": TransferCoding.base64(body)
        default: Array(body)
        }
    }

    /// `name=value` or `name="value"` of a header.
    private static func parameter(_ name: String, of header: String) -> String? {
        var isQuoted = false
        let items = header.split {
            if $0 == "\"" { isQuoted.toggle() }
            return $0 == ";" && !isQuoted
        }
        for item in items.dropFirst() {
            let parts = item.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, parts[0].trimmed.lowercased() == name else { continue }
            let value = parts[1].trimmed
            return String(
                value.hasPrefix("\"")
                    ? value.dropFirst().prefix { $0 != "\"" } : value.prefix { !$0.isWhitespace && $0 != "(" })
        }
        return nil
    }

    /// What is left of HTML without its tags. Only a mail without plain text needs it.
    private static func withoutTags(_ html: String) -> String {
        let bytes = Array(html.utf8)
        let small = bytes.map(\.asciiLowercased)
        var kept: [UInt8] = []
        var rest = bytes[...]
        // Tags and comments that are not closed any more. Each is looked for once only, or many of them would take very long.
        var open: Set<String> = []
        while let start = rest.firstIndex(of: UInt8(ascii: "<")) {
            kept += rest[..<start]
            rest = rest[start...]
            if rest.starts(with: "<!--".utf8), !open.contains("!--") {
                if let distance = rest.dropFirst(4).offset(ofPart: Array("-->".utf8)[...]) {
                    rest = rest.dropFirst(4 + distance + 3)
                    continue
                }
                open.insert("!--")
            }
            // As in a < b.
            guard let sign = rest.dropFirst().first, sign.isASCIILetter || "/!?".utf8.contains(sign) else {
                kept.append(rest[start])
                rest = rest.dropFirst()
                continue
            }
            guard let end = rest.firstIndex(of: UInt8(ascii: ">")) else { break }
            rest = rest[(end + 1)...]
            let name = small[(start + 1)..<end].prefix(8).prefix { $0.isASCIILetter || $0 == UInt8(ascii: "/") }
            let tag = String(decoding: name, as: UTF8.self)
            switch tag {
            case "br", "/p", "/div", "/tr", "/li", "/h": kept.append(0x0A)
            case "style", "script":
                guard !open.contains(tag) else { break }
                if let distance = small[rest.startIndex...].offset(ofPart: Array("</\(tag)".utf8)[...]) {
                    rest = rest.dropFirst(distance)
                } else {
                    open.insert(tag)
                }
            default: break
            }
        }
        return String(decoding: withoutEntities(kept + rest), as: UTF8.self).trimmed
    }

    /// The longest entity that is replaced, without `&` and `;`.
    private static let entityBytes = 8
    private static let entities: [String: Unicode.Scalar] = {
        var entities: [String: Unicode.Scalar] = [
            "nbsp": " ", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "amp": "&", "euro": "€", "hellip": "…",
            "ndash": "–", "mdash": "—", "bull": "•", "trade": "™", "lsquo": "‘", "rsquo": "’", "sbquo": "‚",
            "ldquo": "“", "rdquo": "”", "bdquo": "„",
        ]
        for (index, name) in latinEntities.split(separator: " ").enumerated() {
            entities[String(name)] = Unicode.Scalar(0xA1 + UInt8(index))
        }
        return entities
    }()
    /// The names of the characters from U+00A1 to U+00FF.
    private static let latinEntities = """
        iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro \
        para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig \
        Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times \
        Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave \
        eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave \
        uacute ucirc uuml yacute thorn yuml
        """

    /// Replaces characters that stand as numbers, and those whose names mail often has. Other names stay as they are.
    private static func withoutEntities(_ bytes: [UInt8]) -> [UInt8] {
        var kept: [UInt8] = []
        var rest = bytes[...]
        while let start = rest.firstIndex(of: UInt8(ascii: "&")) {
            kept += rest[..<start]
            rest = rest[(start + 1)...]
            let name = rest.prefix(entityBytes).prefix { $0 != UInt8(ascii: ";") }
            let isWhole = rest.dropFirst(name.count).first == UInt8(ascii: ";")
            guard isWhole, let character = character(String(decoding: name, as: UTF8.self)) else {
                kept.append(UInt8(ascii: "&"))
                continue
            }
            kept += String(character).utf8
            rest = rest.dropFirst(name.count + 1)
        }
        return kept + rest
    }

    private static func character(_ name: String) -> Unicode.Scalar? {
        guard name.hasPrefix("#") else { return entities[name] }
        let isHex = name.lowercased().hasPrefix("#x")
        return UInt32(name.dropFirst(isHex ? 2 : 1), radix: isHex ? 16 : 10).flatMap(Unicode.Scalar.init)
    }
}

/// Codings that carry any bytes through mail.
enum TransferCoding {
    static func quotedPrintable(_ bytes: some Collection<UInt8>, isHeader: Bool = false) -> [UInt8] {
        let bytes = Array(bytes)
        var output: [UInt8] = []
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "="), index + 2 < bytes.count, let high = bytes[index + 1].hexDigitValue,
                let low = bytes[index + 2].hexDigitValue
            {
                output.append(high << 4 | low)
                index += 3
            } else if byte == UInt8(ascii: "=") {
                // A line that goes on: everything to its end is left out.
                var end = index + 1
                while end < bytes.count, bytes[end] == 0x20 || bytes[end] == 0x09 || bytes[end] == 0x0D { end += 1 }
                if end < bytes.count, bytes[end] == 0x0A {
                    index = end + 1
                } else {
                    output.append(byte)
                    index += 1
                }
            } else {
                output.append(isHeader && byte == UInt8(ascii: "_") ? 0x20 : byte)
                index += 1
            }
        }
        return output
    }

    static func base64(_ bytes: some Collection<UInt8>) -> [UInt8] {
        var output: [UInt8] = []
        var (bits, count): (UInt32, Int) = (0, 0)
        for byte in bytes {
            let value: UInt8
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = byte - 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = byte - 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte + 4
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            default: continue
            }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                output.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return output
    }
}

/// Words of a header that are not ASCII.
///
/// - SeeAlso: RFC 2047.
enum EncodedWords {
    /// The longest word that is looked for, in bytes. The RFC allows 75, and some programs write more. Without a limit, many
    /// beginnings without an end would take very long.
    private static let limit = 1_024

    static func decode(_ text: String) -> String {
        var output = ""
        let bytes = Array(text.utf8)
        var rest = bytes[...]
        /// Words that follow each other. Many programs end one in the middle of a character.
        var words: (charset: String, bytes: [UInt8])?
        func finishWords() {
            if let words { output += Charset.decode(words.bytes, words.charset) }
            words = nil
        }
        while let start = rest.offset(ofPart: mark) {
            let before = rest.prefix(start)
            rest = rest.dropFirst(start)
            guard let (charset, content, count) = word(rest) else {
                finishWords()
                output += String(decoding: before + mark, as: UTF8.self)
                rest = rest.dropFirst(mark.count)
                continue
            }
            // White space between two words only separates them.
            let separates = before.allSatisfy { $0 == 0x20 || (0x09...0x0D).contains($0) }
            if words == nil || !separates {
                finishWords()
                output += String(decoding: before, as: UTF8.self)
            } else if words?.charset != charset {
                finishWords()
            }
            words = words ?? (charset, [])
            words?.bytes += content
            rest = rest.dropFirst(count)
        }
        finishWords()
        return CombiningRun.split(output + String(decoding: rest, as: UTF8.self))
    }

    private static let mark = Array("=?".utf8)[...]
    private static let endMark = Array("?=".utf8)[...]

    /// The character set of the word with which `bytes` begin, as `=?UTF-8?B?…?=`, its content, and how long it is. In
    /// `=?UTF-8?Q?=41?=` the text `?=` begins twice.
    static func word(_ bytes: ArraySlice<UInt8>) -> (charset: String, content: [UInt8], count: Int)? {
        guard bytes.starts(with: mark) else { return nil }
        let parts = bytes.dropFirst(mark.count).prefix(limit)
            .split(separator: UInt8(ascii: "?"), maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let count = parts[2].offset(ofPart: endMark) else { return nil }
        let content = parts[2].prefix(count)
        let decoded: [UInt8]
        switch parts[1].map(\.asciiLowercased) {
        case [UInt8(ascii: "b")]: decoded = TransferCoding.base64(content)
        case [UInt8(ascii: "q")]: decoded = TransferCoding.quotedPrintable(content, isHeader: true)
        default: return nil
        }
        let charset = String(decoding: parts[0].prefix { $0 != UInt8(ascii: "*") }, as: UTF8.self)
        return (charset.lowercased(), decoded, content.endIndex + endMark.count - bytes.startIndex)
    }
}

/// Character sets other than UTF-8, which the C library converts.
enum Charset {
    static func decode(_ bytes: [UInt8], _ charset: String) -> String {
        CombiningRun.split(decoded(bytes, charset))
    }

    /// Names that mail has and the C library has not, and sets that stand for one that has more: what is called GB2312 is
    /// mostly GBK.
    ///
    /// - SeeAlso: the labels of the Encoding Standard, https://encoding.spec.whatwg.org/#names-and-labels
    private static let others = [
        "gb2312": "gb18030", "iso-8859-1": "windows-1252", "iso-8859-8-e": "iso-8859-8", "iso-8859-8-i": "iso-8859-8",
        "ks_c_5601": "cp949", "ks_c_5601-1987": "cp949", "unicode-1-1-utf-7": "utf-7", "x-big5": "big5",
        "x-euc-jp": "euc-jp", "x-gbk": "gbk", "x-mac-roman": "macintosh", "x-sjis": "cp932",
    ]

    private static func decoded(_ bytes: [UInt8], _ charset: String) -> String {
        let name = charset.lowercased()
        let isKnown = isName(name) && !["ascii", "us-ascii", "utf-8", "utf8"].contains(name)
        if isKnown, let text = converted(bytes, from: others[name] ?? name) { return text }
        // Of a set with a name that nobody knows, too, a guess keeps more than nothing.
        return String(validating: bytes, as: UTF8.self) ?? converted(bytes, from: "windows-1252") ?? lossy(bytes)
    }

    private static func lossy(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// A charset comes from a mail and becomes the name of a module of the C library.
    private static func isName(_ name: String) -> Bool {
        name.utf8.count <= 40 && !name.isEmpty
            && name.utf8.allSatisfy { $0.isASCIILetter || $0.isASCIIDigit || "-_.:".utf8.contains($0) }
    }

    private static func converted(_ bytes: [UInt8], from charset: String) -> String? {
        let handle = iconv_open("UTF-8", charset)
        guard Int(bitPattern: handle) != -1 else { return nil }
        defer { iconv_close(handle) }
        var input = bytes.map { CChar(bitPattern: $0) }
        // No charset needs more than four times as many bytes in UTF-8.
        let room = bytes.count * 4 + 16
        let output = [UInt8](unsafeUninitializedCapacity: room) { buffer, filled in
            input.withUnsafeMutableBufferPointer { input in
                var source = input.baseAddress
                var sourceCount = input.count
                buffer.withMemoryRebound(to: CChar.self) { target in
                    var end = target.baseAddress
                    var left = room
                    while sourceCount > 0 {
                        guard iconv(handle, &source, &sourceCount, &end, &left) == -1, left > 3 else { break }
                        // One byte that means nothing.
                        source = source?.advanced(by: 1)
                        sourceCount -= 1
                        end?.pointee = CChar(UInt8(ascii: "?"))
                        end = end?.advanced(by: 1)
                        left -= 1
                    }
                    // The last letter of some sets waits for a sign that may follow it.
                    _ = iconv(handle, nil, nil, &end, &left)
                    filled = room - left
                }
            }
        }
        return String(decoding: output, as: UTF8.self)
    }
}
