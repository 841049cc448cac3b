internal import NatterLanguage
internal import NatterModel

/// A chat that WhatsApp exported as text, or the zip file in which it comes. iOS writes `[20.11.26, 07:24:05] Alice: text`,
/// Android `20/11/2026, 07:24 - Alice: text`, both with the dates and words of the phone's language. Lines without a time continue
/// a message.
///
/// The order of day and month depends on the phone's language and is nowhere stated. It follows from the dates of the whole
/// file, which is therefore read twice. If it does not, the reader says what it took.
///
/// - SeeAlso: WhatsApp's help, "How to export your chat history".
final class WhatsAppChat: ChatLog {
    private static let textLimit = 1 << 20

    /// What all lines of a file that begin a message have in common.
    private struct Form: Equatable {
        let isBracketed: Bool
        /// What stands between the numbers of a date.
        let mark: Character
        /// What stands behind the clock.
        let end: Character
    }

    private struct Line {
        let form: Form
        let numbers: [Int]
        /// Of a clock of twelve hours; nil for one of 24.
        let isAfternoon: Bool?
        /// 'PM' is American; Australia and India write 'pm'.
        let isUpperCase: Bool?
        let clock: [Int]
        /// `Alice: text`, or what the program says by itself.
        let rest: Substring

        func civil(_ order: DateOrder) -> CivilTime? {
            let (year, month, day) =
                switch order {
                case .dayFirst: (numbers[2], numbers[1], numbers[0])
                case .monthFirst: (numbers[2], numbers[0], numbers[1])
                case .yearFirst: (numbers[0], numbers[1], numbers[2])
                }
            var civil = CivilTime(year: Int64(year < 100 ? year + 2_000 : year), month: month, day: day)
            (civil.minute, civil.second) = (clock[1], clock.count > 2 ? clock[2] : 0)
            // Some phones count the hours of a day from 1 to 24; its first one is then the last number.
            civil.hour = isAfternoon.map { clock[0] % 12 + ($0 ? 12 : 0) } ?? (clock[0] == 24 ? 0 : clock[0])
            return civil.isValid ? civil : nil
        }
    }

    private var senders: [String] = []
    /// That of the first such line. Another line of a chat can stand in a text.
    private var form: Form?

    func read(into sink: any HistorySink) throws {
        let chat = try file.member(WhatsAppChat.likelihood)
        // Only these are certain to be no texts that were sent in the chat.
        let count = file.count { WhatsAppChat.likelihood($0) == 2 }
        for _ in 1..<max(1, count) { sink.skip("further_exports") }
        let order = try file.content({ $0 == chat }) { _, bytes in try dateOrder(bytes, sink) }
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

    /// What the dates of a file are, if they are read in one order.
    private struct Reading {
        let order: DateOrder
        /// How many are dates, and how many come after a later one.
        var count = 0
        var returns = 0
        var first = Int64.max
        var last = Int64.min
        private var before = Int64.min

        init(_ order: DateOrder) { self.order = order }

        /// - Returns: whether the line has such a date.
        mutating func note(_ line: Line) -> Bool {
            guard let day = line.civil(order)?.daysSinceEpoch else { return false }
            count += 1
            if day < before { returns += 1 }
            (before, first, last) = (day, min(first, day), max(last, day))
            return true
        }

        var span: Int64 { count > 0 ? last - first : 0 }
    }

    private func dateOrder(_ bytes: ByteStream, _ sink: any HistorySink) throws -> DateOrder {
        var (days, months, years) = (Reading(.dayFirst), Reading(.monthFirst), Reading(.yearFirst))
        // How many are dates in some order.
        var (count, isAmerican) = (0, false)
        var first: Form?
        try eachLine(of: bytes) { text in
            guard let line = try parse(text) else { return }
            first = first ?? line.form
            // Somebody's note may stand before the chat.
            if form == nil, WhatsAppChat.colon(in: line.rest) != nil,
                DateOrder.allCases.contains(where: { line.civil($0) != nil })
            {
                form = line.form
            }
            guard line.form == form else { return }
            if line.isUpperCase == true { isAmerican = true }
            // A year of two digits looks like a day, unless the user knows better.
            let mayBeYear = line.numbers[0] > 31 || file.dateOrder == .yearFirst
            let fits = [mayBeYear && years.note(line), days.note(line), months.note(line)]
            if fits.contains(true) { count += 1 }
        }
        guard let first else { throw file.malformed("no line begins with a date and a time, as WhatsApp writes") }
        guard form != nil else {
            // Nobody has written.
            form = first
            return file.dateOrder ?? .dayFirst
        }
        if let order = file.dateOrder {
            guard [days, months, years].contains(where: { $0.order == order && $0.count > 0 }) else {
                throw file.malformed("no date in it has the order \(order.rawValue)")
            }
            return order
        }
        if years.count == count { return .yearFirst }
        let possible = [days, months].filter { $0.count == count }
        guard possible.count == 2 else {
            if let order = possible.first?.order { return order }
            throw file.malformed(
                "its dates have days before months and months before days; say which with --dates, and lines with the others "
                    + "are taken for texts")
        }
        if days.returns != months.returns { return days.returns < months.returns ? .dayFirst : .monthFirst }
        let byHabit: DateOrder = isAmerican ? .monthFirst : .dayFirst
        // A chat has messages on days in a row rather than on one day of each month.
        let order = days.span == months.span ? byHabit : days.span < months.span ? .dayFirst : .monthFirst
        if days.first != months.first || days.last != months.last {
            sink.note(
                "'\(file.path)' does not tell whether days or months come first in its dates; they were read as "
                    + "\(order.rawValue); --dates says it")
        }
        return order
    }

    /// The parts of a line that begins a message; nil for one that continues it.
    ///
    /// - Throws: `malformed` for a line like the others with a word beside the clock that may mean the afternoon.
    private func parse(_ line: String) throws -> Line? {
        func isDirection(_ character: Character) -> Bool { WhatsAppChat.directions.contains(character) }
        var rest = line.drop(while: isDirection)
        let isBracketed = rest.first == "["
        if isBracketed { rest = rest.dropFirst().drop(while: isDirection) }
        let mark = rest.first { !$0.isNumber } ?? " "
        guard form.map({ $0.isBracketed == isBracketed && $0.mark == mark }) ?? true,
            let numbers = WhatsAppChat.take(3, ["/", ".", "-"], &rest),
            let before = WhatsAppChat.takeWord(&rest, commas: true),
            var clock = WhatsAppChat.take(2, [":", "."], &rest)
        else { return nil }
        if let mark = rest.first, mark == ":" || mark == ".", let value = WhatsAppChat.number(rest.dropFirst()) {
            clock.append(value.number)
            rest = value.rest
        }
        let behindClock = rest
        guard let after = WhatsAppChat.takeWord(&rest, commas: false), let end = rest.first else { return nil }
        let words = behindClock[..<rest.startIndex]
        rest = rest.dropFirst()
        guard isBracketed ? end == "]" : ":,".contains(end) || "-–".contains(end) && words.last?.isWhitespace == true,
            form?.end ?? end == end, rest.first == " "
        else { return nil }
        var half = ""
        for word in [before, after] where !word.isEmpty && !WhatsAppChat.fillers.contains(word) {
            guard half.isEmpty, WhatsAppChat.halves[word] != nil else {
                if form == nil { return nil }
                throw file.malformed("line \(lineNumber): '\(word)' beside the clock is not known")
            }
            half = word
        }
        return Line(
            form: Form(isBracketed: isBracketed, mark: mark, end: end), numbers: numbers,
            isAfternoon: WhatsAppChat.halves[half],
            isUpperCase: half == "pm" || half == "am" ? words.contains("M") : nil,
            clock: clock, rest: rest.dropFirst())
    }

    /// Whether an hour is of the afternoon, by the words of some languages without their dots.
    private static let halves = [
        "am": false, "pm": true, "上午": false, "下午": true, "午前": false, "午後": true, "오전": false, "오후": true,
        "πμ": false, "μμ": true, "ص": false, "م": true, "قظ": false, "بظ": true, "de": false, "du": true, "pg": false,
        "ptg": true, "凌晨": false, "清晨": false, "早上": false, "中午": true, "晚上": true,
    ]
    /// Words around the clock that say nothing: of French, Finnish, German, Bulgarian.
    private static let fillers: Set = ["à", "klo", "um", "uhr", "г", "ч"]

    /// Takes signs and a word before or behind a clock.
    ///
    /// - Parameter commas: whether they belong to it. Behind a clock, one is the end in Korean.
    /// - Returns: the word, if there is one; nil if it is too long, so that this is no clock.
    private static func takeWord(_ text: inout Substring, commas: Bool) -> String? {
        var rest = text
        var word = ""
        while let first = rest.first,
            first.isLetter || isBlank(first) || first == "." || commas && (first == "," || first == "،")
        {
            if first.isLetter { word += first.lowercased() }
            rest = rest.dropFirst()
            guard word.count <= 4 else { return nil }
        }
        text = rest
        return word
    }

    /// Blanks, narrow ones among them, and marks of direction.
    private static func isBlank(_ character: Character) -> Bool {
        character.isWhitespace || directions.contains(character)
    }
    private static let directions: Set<Character> = ["\u{200E}", "\u{200F}", "\u{202A}", "\u{202C}", "\u{FEFF}"]

    private static func skipBlanks(_ text: inout Substring) { text = text.drop(while: isBlank) }

    /// Numbers of one to four digits with one of the marks between them.
    private static func take(_ count: Int, _ marks: Set<Character>, _ text: inout Substring) -> [Int]? {
        var numbers: [Int] = []
        var rest = text
        while numbers.count < count {
            if !numbers.isEmpty {
                skipBlanks(&rest)
                guard let mark = rest.first, marks.contains(mark) else { return nil }
                rest = rest.dropFirst()
                skipBlanks(&rest)
            }
            guard let value = number(rest) else { return nil }
            numbers.append(value.number)
            rest = value.rest
        }
        text = rest
        return numbers
    }

    /// In the digits of any script.
    private static func number(_ text: Substring) -> (number: Int, rest: Substring)? {
        let digits = text.prefix(5).prefix { $0.wholeNumberValue.map { $0 < 10 } == true }
        guard (1...4).contains(digits.count) else { return nil }
        return (digits.reduce(0) { $0 * 10 + ($1.wholeNumberValue ?? 0) }, text.dropFirst(digits.count))
    }

    // MARK: Messages

    private func readMessages(
        _ bytes: ByteStream, _ order: DateOrder, _ channel: String, _ sink: any HistorySink
    ) throws {
        var open: (civil: CivilTime, sender: String, text: String)?
        func finish() throws {
            guard let message = open else { return }
            open = nil
            try take(message, channel, sink)
        }
        try eachLine(of: bytes) { text in
            guard let line = try parse(text), let civil = line.civil(order) else {
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
            guard let colon = WhatsAppChat.colon(in: line.rest) else {
                return sink.skip("events")
            }
            let sender = line.rest[..<colon.lowerBound]
            // 'Alice created group "Dinner: Friday"': the colon stands between quotation marks.
            let text = line.rest[colon.upperBound...]
            if sender.count(where: WhatsAppChat.isQuotation) % 2 == 1, text.contains(where: WhatsAppChat.isQuotation) {
                return sink.skip("events")
            }
            open = (civil, String(sender), String(text))
        }
        try finish()
    }

    private static func isQuotation(_ character: Character) -> Bool { "\"“”„«»".contains(character) }

    /// What stands between a sender and a text. A message without a text on its first line ends with it.
    private static func colon(in text: Substring) -> Range<Substring.Index>? {
        if let colon = text.firstRange(of: ": ") { return colon }
        return text.last == ":" ? text.index(before: text.endIndex)..<text.endIndex : nil
    }

    private func take(
        _ message: (civil: CivilTime, sender: String, text: String), _ channel: String, _ sink: any HistorySink
    ) throws {
        let sender = message.sender.filter { !WhatsAppChat.directions.contains($0) }.trimmed
        var text = message.text
        // iOS begins so with a file, a place, a poll, and with what it says itself, as if somebody had written that.
        var isMarked = text.first == "\u{200E}"
        if isMarked { text.removeFirst() }
        // It says that a text was edited, but not when.
        for note in [" <This message was edited>", " \u{200E}<This message was edited>"] where text.hasSuffix(note) {
            text.removeLast(note.count)
            isMarked = false
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
        let isContent = text.contains("<") || text.contains("://") || text.contains("\n")
        if isMarked, form?.isBracketed == true, !isContent { return sink.skip("notices") }
        if text.contains("<attached: ") || text.hasSuffix(" (file attached)") { sink.skip("file_contents") }
        if senders.count < 3, !senders.contains(sender) { senders.append(sender) }
        try take(message.civil, sender, text, in: channel, sink)
    }
}
