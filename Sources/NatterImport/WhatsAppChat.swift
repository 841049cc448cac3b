internal import NatterLanguage
internal import NatterModel

/// A chat that WhatsApp exported as text, or the zip file in which it comes. iOS writes `[20.11.26, 07:24:05] Alice: text`,
/// Android `20/11/2026, 07:24 - Alice: text`. Lines without a time continue a message.
///
/// The order of day and month depends on the phone's language and is nowhere stated. It follows from the dates of the whole
/// file, which is therefore read twice.
///
/// - SeeAlso: WhatsApp's help, "How to export your chat history".
final class WhatsAppChat: ChatLog {
    private static let textLimit = 1 << 20

    private enum DateOrder { case dayFirst, monthFirst, yearFirst }

    private struct Line {
        var numbers: [Int]
        /// Hours to add to a clock of twelve hours; nil for one of 24.
        var isAfternoon: Bool?
        var clock: [Int]
        /// `Alice: text`, or what the program says by itself.
        var rest: Substring

        func civil(_ order: DateOrder) -> CivilTime? {
            let (year, month, day) =
                switch order {
                case .dayFirst: (numbers[2], numbers[1], numbers[0])
                case .monthFirst: (numbers[2], numbers[0], numbers[1])
                case .yearFirst: (numbers[0], numbers[1], numbers[2])
                }
            var civil = CivilTime(year: Int64(year < 100 ? year + 2_000 : year), month: month, day: day)
            (civil.minute, civil.second) = (clock[1], clock.count > 2 ? clock[2] : 0)
            civil.hour = isAfternoon.map { clock[0] % 12 + ($0 ? 12 : 0) } ?? clock[0]
            return civil.isValid ? civil : nil
        }
    }

    private var senders: [String] = []

    func read(into sink: any HistorySink) throws {
        let chat = try file.member(WhatsAppChat.likelihood)
        let order = try file.content({ $0 == chat }) { _, bytes in try dateOrder(bytes) }
        try file.content({ $0 == chat }) { member, bytes in
            let channel = channel(file.isArchive ? member : file.name)
            try readMessages(bytes, order, channel, sink)
            // Two people: one of them has given the chat its name.
            let isTwo = senders.count <= 2 && senders.contains(channel)
            let people = isTwo ? [channel] + senders.filter { $0 != channel } : nil
            try sink.settle(ForeignChannel(name: channel, people: people?.count == 2 ? people : nil))
        }
    }

    /// How likely a member of a zip file is the text of the chat; nil if it is no text. Texts that were sent in the chat lie
    /// beside it.
    private static func likelihood(_ member: String) -> Int? {
        guard member.hasSuffix(".txt") else { return nil }
        let name = base(member)
        if name == "_chat.txt" || name.hasPrefix("WhatsApp Chat") { return 2 }
        // 'Chat de WhatsApp con Alice.txt'
        return name.contains("WhatsApp") ? 1 : 0
    }

    private static func base(_ path: String) -> Substring { path.split(separator: "/").last ?? "" }

    /// `WhatsApp Chat with Family.txt`, `WhatsApp Chat - Family.zip`, which has `_chat.txt`.
    private func channel(_ member: String) -> String {
        var name = String(WhatsAppChat.base(member))
        if name.hasSuffix(".txt") { name.removeLast(4) }
        if name == "_chat" { name = file.name }
        for start in ["WhatsApp Chat with ", "WhatsApp Chat - "] where name.hasPrefix(start) {
            name.removeFirst(start.count)
        }
        return name
    }

    // MARK: Dates

    private func dateOrder(_ bytes: ByteReader) throws -> DateOrder {
        var (hasLines, isDayFirst, isMonthFirst, isYearFirst, isTwelveHours) = (false, false, false, false, false)
        // The last time in each order, to see which one goes back.
        var last: [CivilTime?] = [nil, nil]
        var returns = [0, 0]
        try eachLine(of: bytes) { text in
            guard let line = WhatsAppChat.parse(text) else { return }
            hasLines = true
            if line.isAfternoon != nil { isTwelveHours = true }
            if line.numbers[0] > 31 { isYearFirst = true }
            if line.numbers[0] > 12 { isDayFirst = true }
            if line.numbers[1] > 12 { isMonthFirst = true }
            for (index, order) in [DateOrder.dayFirst, .monthFirst].enumerated() {
                guard let civil = line.civil(order) else { continue }
                if let before = last[index], civil.daysSinceEpoch < before.daysSinceEpoch { returns[index] += 1 }
                last[index] = civil
            }
        }
        guard hasLines else { throw file.malformed("no line begins with a date and a time, as WhatsApp writes") }
        if isYearFirst { return .yearFirst }
        if isDayFirst, isMonthFirst { throw file.malformed("its dates have days before months and months before days") }
        if isDayFirst || isMonthFirst { return isDayFirst ? .dayFirst : .monthFirst }
        if returns[0] != returns[1] { return returns[0] < returns[1] ? .dayFirst : .monthFirst }
        return isTwelveHours ? .monthFirst : .dayFirst
    }

    /// The parts of a line that begins a message; nil for one that continues it.
    private static func parse(_ line: String) -> Line? {
        // Marks of direction stand before some lines, and narrow spaces before AM and PM.
        var rest = line.drop { $0 == "\u{200E}" || $0 == "\u{200F}" || $0 == "\u{FEFF}" }
        let isBracketed = rest.first == "["
        if isBracketed { rest = rest.dropFirst() }
        guard let numbers = take(3, ["/", ".", "-"], &rest) else { return nil }
        while let first = rest.first, first == "," || first == "." || first.isWhitespace { rest = rest.dropFirst() }
        guard let clock = take(2, [":", "."], &rest) else { return nil }
        var seconds: [Int] = []
        if let mark = rest.first, mark == ":" || mark == ".", let value = number(rest.dropFirst()) {
            seconds = [value.number]
            rest = value.rest
        }
        var isAfternoon: Bool?
        let beforeHalf = rest
        rest = rest.drop(while: \.isWhitespace)
        // 'PM', 'p.m.', and in Spanish 'p. m.'.
        let words = rest.prefix { $0.isLetter || $0 == "." || $0.isWhitespace }
        let half = words.filter(\.isLetter).lowercased()
        if half == "am" || half == "pm", let last = words.lastIndex(where: { !$0.isWhitespace }) {
            isAfternoon = half == "pm"
            rest = rest[rest.index(after: last)...]
        } else {
            rest = beforeHalf
        }
        let end = isBracketed ? "] " : " - "
        guard rest.hasPrefix(end) else { return nil }
        return Line(
            numbers: numbers, isAfternoon: isAfternoon, clock: clock + seconds, rest: rest.dropFirst(end.count))
    }

    /// Numbers of one to four digits with one of the marks between them.
    private static func take(_ count: Int, _ marks: Set<Character>, _ text: inout Substring) -> [Int]? {
        var numbers: [Int] = []
        var rest = text
        while numbers.count < count {
            if !numbers.isEmpty {
                guard let mark = rest.first, marks.contains(mark) else { return nil }
                rest = rest.dropFirst()
            }
            guard let value = number(rest) else { return nil }
            numbers.append(value.number)
            rest = value.rest
        }
        text = rest
        return numbers
    }

    private static func number(_ text: Substring) -> (number: Int, rest: Substring)? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard (1...4).contains(digits.count), let number = Int(digits) else { return nil }
        return (number, text.dropFirst(digits.count))
    }

    // MARK: Messages

    private func readMessages(
        _ bytes: ByteReader, _ order: DateOrder, _ channel: String, _ sink: any HistorySink
    ) throws {
        var open: (civil: CivilTime, sender: String, text: String)?
        func finish() throws {
            guard let message = open else { return }
            open = nil
            try take(message, channel, sink)
        }
        try eachLine(of: bytes) { text in
            guard let line = WhatsAppChat.parse(text), let civil = line.civil(order) else {
                guard let bytes = open?.text.utf8.count else {
                    if !text.isEmpty { sink.skip("other_lines") }
                    return
                }
                guard bytes <= WhatsAppChat.textLimit else {
                    throw file.malformed("a message has more than \(WhatsAppChat.textLimit) bytes")
                }
                open?.text += "\n" + text
                return
            }
            try finish()
            guard let colon = line.rest.firstRange(of: ": ") ?? WhatsAppChat.finalColon(line.rest) else {
                return sink.skip("events")
            }
            open = (civil, String(line.rest[..<colon.lowerBound]), String(line.rest[colon.upperBound...]))
        }
        try finish()
    }

    /// A message without a text on its first line ends with the colon.
    private static func finalColon(_ text: Substring) -> Range<Substring.Index>? {
        guard text.last == ":" else { return nil }
        return text.index(before: text.endIndex)..<text.endIndex
    }

    private func take(
        _ message: (civil: CivilTime, sender: String, text: String), _ channel: String, _ sink: any HistorySink
    ) throws {
        let sender = message.sender.filter {
            $0 != "\u{200E}" && $0 != "\u{200F}" && $0 != "\u{202A}" && $0 != "\u{202C}"
        }
        var text = message.text
        if text.first == "\u{200E}" { text.removeFirst() }
        // It says that a text was edited, but not when.
        for note in [" <This message was edited>", " \u{200E}<This message was edited>"] where text.hasSuffix(note) {
            text.removeLast(note.count)
        }
        switch text {
        case "<Media omitted>", "image omitted", "video omitted", "audio omitted", "sticker omitted", "GIF omitted",
            "document omitted", "Contact card omitted":
            return sink.skip("files")
        case "This message was deleted", "This message was deleted.", "You deleted this message",
            "You deleted this message.", "null":
            return sink.skip("deleted")
        default: break
        }
        if text.hasPrefix("<attached: ") || text.hasSuffix(" (file attached)") { sink.skip("file_contents") }
        if senders.count < 3, !senders.contains(sender) { senders.append(sender) }
        try take("whatsapp", message.civil, sender, text, in: channel, sink)
    }
}
