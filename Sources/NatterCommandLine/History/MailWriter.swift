internal import NatterModel

/// Writes a history as an mbox file: one mail for each message, with a line of `From ` before it and an empty line after it.
///
/// No line of a body begins with `From `, so that it does not matter whether a reader takes a `>` away. A text with such a
/// line, or with one that is too long for mail, is in quoted-printable. So every text comes out as it went in.
///
/// - SeeAlso: RFC 4155 (mbox), RFC 5322 (mail), RFC 2045 and 2047 (text that is not ASCII), RFC 2606 (`.invalid`).
struct MailWriter: HistoryWriter {
    /// The longest line of mail, in bytes.
    private static let lineLimit = 998
    private static let subjectLimit = 72
    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]

    private let conversation: String
    /// Makes the ids of mails unique and the same each time. A personal conversation without messages has no id.
    private let id: String

    init(conversation: String, id: ConversationID?) {
        self.conversation = conversation
        self.id = id?.description ?? "none"
    }

    func begin(_ output: inout [UInt8]) {}
    func missing(from first: Seq, to last: Seq, _ output: inout [UInt8]) {}
    func end(_ output: inout [UInt8]) {}

    func write(_ message: HistoryMessage, to output: inout [UInt8]) {
        let time = CivilTime(milliseconds: message.time.milliseconds)
        let day = MailWriter.days[time.weekday]
        let month = CivilTime.monthNames[min(max(time.month, 1), 12) - 1]
        let year = CivilTime.digits(Int(time.year), 4)
        let address = MailWriter.address(message.sender)
        let body = Array(message.text.utf8)
        let isPlain = MailWriter.isPlain(body)
        let coding = isPlain ? body.allSatisfy { $0 < 0x80 } ? "7bit" : "8bit" : "quoted-printable"
        let dayOfMonth = time.day < 10 ? " \(time.day)" : "\(time.day)"

        var head = "From \(address) \(day) \(month) \(dayOfMonth) \(time.clock) \(year)\n"
        head += "Date: \(day), \(time.day) \(month) \(year) \(time.clock) +0000\n"
        let name = message.sender.isEmpty ? "" : MailWriter.phrase(message.sender) + " "
        head += "From: \(name)<\(address)>\n"
        head += "Subject: \(MailWriter.encoded(MailWriter.subject(of: message.text)))\n"
        head += "Message-ID: \(mailID(message.seq))\n"
        if let about = message.about {
            head += "In-Reply-To: \(mailID(about))\nReferences: \(mailID(about))\n"
        }
        head += "List-Id: \(MailWriter.phrase(conversation)) <\(id).natter.invalid>\n"
        head += "Natter-Seq: \(message.seq)\nNatter-Time: \(message.time.rfc3339)\n"
        if message.kind != .text { head += "Natter-Kind: \(message.kind.name)\n" }
        if let state = message.state { head += "Natter-State: \(state)\n" }
        head += "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: \(coding)\n\n"
        output += head.utf8
        if isPlain { output += body } else { MailWriter.appendQuoted(body, to: &output) }
        output += "\n\n".utf8
    }

    private func mailID(_ seq: Seq) -> String { "<\(seq).\(id)@natter.invalid>" }

    // MARK: Headers

    /// An address that no mail reaches, and that is different for each sender. An erased message has none.
    private static func address(_ sender: String) -> String {
        if sender.isEmpty { return "erased@natter.invalid" }
        let hex = Array("0123456789ABCDEF".utf8)
        var local: [UInt8] = []
        for byte in sender.utf8 {
            if byte.isASCIILetter || byte.isASCIIDigit || "-_".utf8.contains(byte) {
                local.append(byte)
            } else {
                local += [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
        }
        return String(decoding: local, as: UTF8.self) + "@natter.invalid"
    }

    /// The beginning of the text's first line that is not blank.
    private static func subject(of text: String) -> String {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
        let start = text.utf8.drop(while: isBlank)
        var line = start.prefix { $0 != 0x0A && $0 != 0x0D }[...]
        while let last = line.last, isBlank(last) { line = line.dropLast() }
        let scalars = Substring(line).unicodeScalars
        guard scalars.count > subjectLimit else { return String(scalars) }
        return String(scalars.prefix(subjectLimit - 1)) + "…"
    }

    private static func isPrintable(_ text: String) -> Bool {
        text.utf8.allSatisfy { (0x20...0x7E).contains($0) } && !text.contains("=?")
    }

    /// Unstructured text of a header.
    static func encoded(_ text: String) -> String { isPrintable(text) ? text : words(text) }

    /// A name before an address. Readers refuse one with a newline, and others that no user can have are blanks as well.
    static func phrase(_ name: String) -> String {
        if name.hasControlCharacter {
            let scalars = name.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }
            return phrase(String(String.UnicodeScalarView(scalars)))
        }
        if name.utf8.allSatisfy({ $0.isASCIILetter || $0.isASCIIDigit || "-_".utf8.contains($0) }) { return name }
        guard isPrintable(name) else { return words(name) }
        return "\"" + name.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    /// Encoded words of RFC 2047. Each has at most 75 characters and contains whole characters.
    private static func words(_ text: String) -> String {
        var chunks: [[UInt8]] = [[]]
        for scalar in text.unicodeScalars {
            let bytes = Array(String(scalar).utf8)
            if let last = chunks.last, last.count + bytes.count > 45 { chunks.append([]) }
            chunks[chunks.count - 1] += bytes
        }
        return chunks.map { "=?UTF-8?B?\(base64($0))?=" }.joined(separator: "\n ")
    }

    /// Base64 of RFC 4648, section 4.
    private static func base64(_ bytes: [UInt8]) -> String {
        let text = Base64URL.encode(bytes).replacing("-", with: "+").replacing("_", with: "/")
        return text + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
    }

    // MARK: Bodies

    /// Whether mail can carry the text as it is.
    private static func isPlain(_ text: [UInt8]) -> Bool {
        if text.contains(0x0D) { return false }
        return text.split(separator: 0x0A, omittingEmptySubsequences: false).allSatisfy { line in
            line.count <= lineLimit && !line.drop { $0 == UInt8(ascii: ">") }.starts(with: "From ".utf8)
        }
    }

    /// Appends text in quoted-printable, in lines of at most 76 characters.
    private static func appendQuoted(_ text: [UInt8], to output: inout [UInt8]) {
        let hex = Array("0123456789ABCDEF".utf8)
        var width = 0
        for (index, byte) in text.enumerated() {
            if byte == 0x0A {
                output.append(byte)
                width = 0
                continue
            }
            let endsLine = index + 1 == text.count || text[index + 1] == 0x0A
            let isSpace = byte == 0x20 || byte == 0x09
            var isLiteral = isSpace ? !endsLine : (0x21...0x7E).contains(byte) && byte != UInt8(ascii: "=")
            if width > 72 {
                output += "=\n".utf8
                width = 0
            }
            // No line begins with 'From ', or with what is left when a reader has taken a '>' away.
            if width == 0, byte == UInt8(ascii: "F") || byte == UInt8(ascii: ">") { isLiteral = false }
            if isLiteral {
                output.append(byte)
            } else {
                output += [UInt8(ascii: "="), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
            width += isLiteral ? 1 : 3
        }
    }
}
