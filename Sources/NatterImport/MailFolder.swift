internal import NatterCrypto
internal import NatterLanguage
internal import NatterModel

/// A folder of mail in one file, in any of the forms that are called mbox. Each message begins with a line
/// `From alice@example.org Fri Nov 20 07:24:05 2026`. Not all programs put a `>` before a text's own `From `, or an empty line
/// between two messages, so it is the date that tells; if the first such line has none, the empty line. Thunderbird goes on with
/// lines that are only `From ` where it once wrote dates: the empty line before them and the header behind them tell.
///
/// - SeeAlso: RFC 4155; "mboxrd" in mbox(5) of qmail.
final class MailFolder {
    /// The most bytes of one mail that are read. A larger one is counted and passed over.
    private static let mailLimit = 64 << 20
    private static let lineLimit = 1 << 20

    private let file: ForeignFile
    private var count = 0
    init(_ file: ForeignFile) { self.file = file }

    func read(into sink: any HistorySink) throws {
        let channel = file.name
        try sink.settle(ForeignChannel(name: channel, people: nil))
        let bytes = file.bytes()
        var mail: [UInt8]?
        var received: Timestamp?
        var (areDated, isOfThunderbird, isLastEmpty, isTooLarge) = (true, false, true, false)
        func finish() throws {
            guard var whole = mail else { return }
            mail = nil
            count += 1
            if isTooLarge { return sink.skip("too_large") }
            // The line that separates two mails.
            if whole.suffix(2).elementsEqual([0x0A, 0x0A]) { whole.removeLast() }
            try take(whole, received: received, channel, sink)
        }
        var following = try bytes.line(limit: MailFolder.lineLimit)
        while let (line, isWhole) = following {
            following = try bytes.line(limit: MailFolder.lineLimit)
            if line.starts(with: "From ".utf8) {
                let date = MailDate.received(line)
                if count == 0, mail == nil {
                    (areDated, isOfThunderbird) = (date != nil, line.starts(with: "From - ".utf8))
                }
                let isBare =
                    isOfThunderbird && isLastEmpty && MailFolder.isBare(line)
                    && following.map { MailFolder.isHeader($0.bytes) } == true
                if mail == nil || (areDated ? date != nil || isBare : isLastEmpty) {
                    try finish()
                    (mail, received, isTooLarge, isLastEmpty) = ([], date, false, false)
                    continue
                }
            }
            isLastEmpty = line.isEmpty
            guard let size = mail?.count else {
                if line.isEmpty { continue }
                throw file.malformed("it does not begin with 'From ', as a folder of mail does")
            }
            if !isWhole || size > MailFolder.mailLimit {
                isTooLarge = true
                mail = []
            }
            if isTooLarge { continue }
            // A '>' that was put before a line of a text.
            let bare = line.drop { $0 == UInt8(ascii: ">") }
            mail? += bare.count < line.count && bare.starts(with: "From ".utf8) ? line.dropFirst() : line[...]
            mail?.append(0x0A)
        }
        try finish()
        if count == 0 { throw file.malformed("no mail in it") }
    }

    /// `From ` and nothing, or a dash.
    private static func isBare(_ line: [UInt8]) -> Bool {
        ["", "-"].contains(String(decoding: line.dropFirst(5), as: UTF8.self).trimmed)
    }

    private static func isHeader(_ line: [UInt8]) -> Bool {
        let name = line.prefix { $0 != UInt8(ascii: ":") }
        let value = line.dropFirst(name.count + 1)
        return !name.isEmpty && name.count < line.count && name.allSatisfy { (0x21...0x7E).contains($0) }
            && (value.isEmpty || value.first == 0x20 || value.first == 0x09)
    }

    private func take(
        _ bytes: [UInt8], received: Timestamp?, _ channel: String, _ sink: any HistorySink
    ) throws {
        let mail = MailPart(bytes[...])
        if mail["Natter-Kind"] != nil { return sink.skip("events") }
        // A deleted one without its text would be a new, empty message.
        if let state = mail["Natter-State"], ["erased", "deleted"].contains(state) { return sink.skip(state) }
        guard let time = MailFolder.time(of: mail, received) else { return sink.skip("without_time") }
        var attachments = 0
        var text = mail.text(&attachments) ?? ""
        // Lines of mail end so, and a text of ours is as it was.
        if mail["Natter-Seq"] == nil { text = text.replacing("\r\n", with: "\n") }
        sink.skip("file_contents", count: attachments)
        if mail["Natter-Seq"] == nil {
            // In mail, empty lines at the end mean nothing, nor does a text of blanks.
            let scalars = text.unicodeScalars
            let end = text.allSatisfy(\.isWhitespace) ? nil : scalars.lastIndex { !Character($0).isNewline }
            text = end.map { String(scalars[...$0]) } ?? ""
        } else if text.unicodeScalars.last == "\n" {
            // A message of ours is as long as it was: a return before the newline of the file belongs to it.
            text.unicodeScalars.removeLast()
        }
        let answers = mail["In-Reply-To"].flatMap(MailFolder.firstID) ?? mail["References"].flatMap(MailFolder.lastID)
        let subject = EncodedWords.decode(mail["Subject"] ?? "")
        if mail["Natter-Seq"] == nil, answers == nil, !subject.isEmpty {
            text = text.isEmpty ? subject : "\(subject)\n\n\(text)"
        }
        guard !text.isEmpty || mail["Natter-Seq"] != nil else { return sink.skip("without_text") }
        let id = mail["Message-ID"].flatMap(MailFolder.firstID) ?? Digest(of: bytes).description
        try sink.take(
            ForeignMessage(
                time: time, sender: Mailbox.name(mail["From"] ?? ""), text: text, id: MailFolder.key(id),
                answers: answers.map(MailFolder.key)),
            channel: channel, part: "")
    }

    /// A clock that was never set shows the beginning of 1970; when the mail came is nearer then.
    private static func time(of mail: MailPart, _ received: Timestamp?) -> Timestamp? {
        if let exact = mail["Natter-Time"], let time = Timestamp(rfc3339: exact) { return time }
        guard let date = mail["Date"].flatMap(MailDate.parse) else { return received }
        guard abs(date.milliseconds) < 2 * 86_400_000 else { return date }
        return received ?? mail["Received"]?.split(separator: ";").last.flatMap { MailDate.parse(String($0)) } ?? date
    }

    /// An id of mail may have any length, so a hash stands for it.
    private static func key(_ id: String) -> String {
        "mail:" + Base64URL.encode(Array(Digest(of: Array(id.utf8)).bytes.prefix(16)))
    }

    private static func firstID(_ text: String) -> String? {
        text.split(separator: "<").dropFirst(text.hasPrefix("<") ? 0 : 1).first?
            .split(separator: ">").first.map(String.init)
    }

    private static func lastID(_ text: String) -> String? {
        text.split(separator: "<").last.flatMap { firstID("<" + $0) }
    }
}

/// The date of a mail.
///
/// - SeeAlso: RFC 5322, sections 3.3 and 4.3.
enum MailDate {
    private static let zones = [
        "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
    ]

    /// When a mail came, by the line before it: `From alice@example.org Fri Nov 20 07:24:05 2026`, in UTC unless a zone stands
    /// with the year.
    static func received(_ line: [UInt8]) -> Timestamp? {
        guard line.count <= 1_000 else { return nil }
        let words = String(decoding: line, as: UTF8.self).split { $0 == " " || $0 == "\t" }
        guard let clock = words.lastIndex(where: { $0.contains(":") && $0.first?.isNumber == true }), clock >= 4 else {
            return nil
        }
        guard let year = words[clock...].dropFirst().first(where: { $0.count == 4 && $0.allSatisfy(\.isNumber) }) else {
            // As in the header 'Date'.
            return parse(words.dropFirst(2).joined(separator: " "))
        }
        let zone = words[clock...].dropFirst().first { $0 != year } ?? "+0000"
        return parse("\(words[clock - 1]) \(words[clock - 2]) \(year) \(words[clock]) \(zone)")
    }

    /// `Fri, 20 Nov 2026 07:24:05 +0100 (CET)`.
    static func parse(_ text: String) -> Timestamp? {
        let plain = text.prefix { $0 != "(" }
        var words = plain.replacing(",", with: " ").split { $0 == " " || $0 == "\t" }[...]
        if words.first?.first?.isNumber == false { words = words.dropFirst() }
        guard words.count >= 4, let day = Int(words[words.startIndex]),
            case let name = words[words.startIndex + 1].prefix(3).lowercased(),
            let month = CivilTime.monthNames.firstIndex(where: { $0.lowercased() == name }),
            let year = Int64(words[words.startIndex + 2]), (0...9_999).contains(year)
        else { return nil }
        let clock = words[words.startIndex + 3].split(separator: ":").map { Int($0) }
        guard [2, 3].contains(clock.count), let hour = clock[0], let minute = clock[1] else { return nil }
        var civil = CivilTime(
            year: year < 50 ? year + 2_000 : year < 1_000 ? year + 1_900 : year, month: month + 1, day: day)
        (civil.hour, civil.minute, civil.second) = (hour, minute, min(59, clock.count > 2 ? clock[2] ?? 0 : 0))
        guard civil.isValid else { return nil }
        let offset = words.count > 4 ? minutes(words[words.startIndex + 4]) : 0
        return civil.utc.advanced(milliseconds: -Int64(offset) * 60_000)
    }

    /// The offset of a zone. An unknown one counts as UTC, as the RFC says.
    private static func minutes(_ zone: Substring) -> Int {
        guard let sign = zone.first, sign == "+" || sign == "-", let digits = Int(zone.dropFirst()),
            zone.utf8.count == 5,
            digits >= 0
        else { return (zones[zone.lowercased()] ?? 0) * 60 }
        return (sign == "-" ? -1 : 1) * (digits / 100 * 60 + digits % 100)
    }
}

/// The author of a mail.
enum Mailbox {
    /// The name that stands with the address, else the address without its domain.
    static func name(_ field: String) -> String {
        var (quoted, comment, plain, address): ([UInt8], [UInt8], [UInt8], [UInt8]) = ([], [], [], [])
        var (isQuoted, isComment, isAddress, isEscaped) = (false, false, false, false)
        var rest = Array(field.utf8)[...]
        while let byte = rest.first {
            // What looks like a sign in such a word is part of a name.
            if !isQuoted, !isComment, !isAddress, let word = EncodedWords.word(rest) {
                plain += rest.prefix(word.count)
                rest = rest.dropFirst(word.count)
                continue
            }
            rest = rest.dropFirst()
            if isEscaped {
                isEscaped = false
                if isQuoted { quoted.append(byte) } else if isComment { comment.append(byte) }
            } else if byte == UInt8(ascii: "\\"), isQuoted || isComment {
                isEscaped = true
            } else if isQuoted {
                if byte == UInt8(ascii: "\"") { isQuoted = false } else { quoted.append(byte) }
            } else if isComment {
                if byte == UInt8(ascii: ")") { isComment = false } else { comment.append(byte) }
            } else if isAddress {
                if byte == UInt8(ascii: ">") { break }
                address.append(byte)
            } else if byte == UInt8(ascii: ",") {
                break
            } else {
                switch byte {
                case UInt8(ascii: "\""): isQuoted = true
                case UInt8(ascii: "("): isComment = true
                case UInt8(ascii: "<"): isAddress = true
                default: plain.append(byte)
                }
            }
        }
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        let name = EncodedWords.decode(quoted.isEmpty ? text(plain).trimmed : text(quoted))
        if !address.isEmpty, !name.isEmpty { return name }
        if !comment.isEmpty { return EncodedWords.decode(text(comment)) }
        let bare = address.isEmpty ? text(plain).trimmed : text(address)
        let local = bare.prefix { $0 != "@" }
        return local.isEmpty ? "unknown" : String(local)
    }
}

extension StringProtocol {
    /// Without white space at both ends.
    var trimmed: String {
        var text = self[...].drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text = text.dropLast() }
        return String(text)
    }
}
