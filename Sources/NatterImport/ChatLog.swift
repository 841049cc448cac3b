internal import Glibc
internal import NatterLanguage
internal import NatterModel

/// What the readers of text logs share.
class ChatLog {
    /// A longer line is no line of a log.
    private static let lineLimit = 1 << 20

    let file: ForeignFile
    /// The number of the line that is read.
    private(set) var lineNumber = 0

    init(_ file: ForeignFile) { self.file = file }

    /// Calls `body` with each line. Bytes that are not UTF-8 are read as Latin-1, which old logs are in.
    func eachLine(of bytes: ByteStream, _ body: (String) throws -> Void) throws {
        lineNumber = 0
        while let (line, isWhole) = try bytes.line(limit: ChatLog.lineLimit) {
            lineNumber += 1
            guard isWhole else {
                throw file.malformed("line \(lineNumber) has more than \(ChatLog.lineLimit) bytes")
            }
            // A line in Latin-1 has no combining marks.
            try body(
                String(validating: line, as: UTF8.self).map(CombiningRun.split)
                    ?? String(String.UnicodeScalarView(line.map { Unicode.Scalar($0) })))
        }
    }

    func take(
        _ civil: CivilTime, _ sender: String, _ text: String, in channel: String,
        _ sink: any HistorySink
    ) throws {
        guard let time = ClockReading(civil)?.moment else { return sink.skip("without_time") }
        guard !text.isEmpty else { return sink.skip("without_text") }
        try sink.take(ForeignMessage(time: time, sender: sender, text: text), channel: channel, part: "")
    }

    /// The nick without the sign of its rank in the channel.
    static func nick(_ text: some StringProtocol) -> String {
        let bare = text.drop { " @+%~&!".contains($0) }
        return String(bare).isEmpty ? String(text) : String(bare)
    }
}

/// A log of irssi with its default `log_timestamp`, `%H:%M`, or with seconds.
///
/// - SeeAlso: irssi's documentation, "Logging"; `themes/default.theme` for the forms of lines.
final class IrssiLog: ChatLog {
    private var day: CivilTime?

    func read(into sink: any HistorySink) throws {
        // A log of a channel has the channel's name, such as '#ops.log'.
        let channel = file.name
        try sink.settle(ForeignChannel(name: channel, people: nil))
        var (hasDay, lines, timed) = (false, 0, 0)
        try eachLine(of: file.bytes()) { line in
            if line.isEmpty { return }
            if line.hasPrefix("--- ") {
                hasDay = try noteDay(line) || hasDay
                return
            }
            lines += 1
            if try take(line, channel, sink) { timed += 1 }
        }
        if !hasDay { throw file.malformed("no line '--- Log opened' or '--- Day changed', as irssi writes") }
        if lines > 0, timed == 0 {
            throw file.malformed("no line begins with a time such as '07:24' or '07:24:05', as irssi writes")
        }
    }

    /// `--- Log opened Fri Nov 20 07:24:05 2026`, or `--- Day changed Sat Nov 21 2026`.
    ///
    /// - Throws: `malformed` for a day that can't be read: the messages behind it would get the one before.
    private func noteDay(_ line: String) throws -> Bool {
        let words = line.split(separator: " ")
        guard words.count > 2, ["opened", "changed"].contains(words[2]) else {
            return line.hasPrefix("--- Log closed ")
        }
        guard words.count >= 7, let date = Int(words[5]), let last = words.last, let year = Int64(last),
            let month = IrssiLog.months.firstIndex(of: String(words[4]))
        else {
            throw file.malformed(
                "line \(lineNumber): '\(line.prefix(100))' is not a day with an English month or one of this system's language, as in "
                    + "'--- Day changed Sat Nov 21 2026'")
        }
        let civil = CivilTime(year: year, month: month % 12 + 1, day: date)
        guard civil.isValid else {
            throw file.malformed("line \(lineNumber): there is no such day: '\(line.prefix(100))'")
        }
        day = civil
        return true
    }

    /// The names of the months in English, then in the language of the environment, in which irssi writes them.
    private static let months: [String] = {
        guard let locale = newlocale(1 << LC_TIME, "", nil) else { return CivilTime.monthNames }
        defer { freelocale(locale) }
        let own = (0..<12).map { index in
            nl_langinfo_l(nl_item(ABMON_1) + index, locale).map { String(cString: $0) } ?? ""
        }
        return CivilTime.monthNames + own
    }()

    /// - Returns: whether the line begins with a time.
    private func take(_ line: String, _ channel: String, _ sink: any HistorySink) throws -> Bool {
        let clock = line.prefix { $0 != " " }
        let bare = clock.hasPrefix("[") && clock.hasSuffix("]") ? clock.dropFirst().dropLast() : clock
        let numbers = bare.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
        guard var civil = day, [2, 3].contains(numbers.count), let hour = numbers[0], let minute = numbers[1] else {
            sink.skip("other_lines")
            return false
        }
        (civil.hour, civil.minute, civil.second) = (hour, minute, numbers.count == 3 ? numbers[2] ?? 0 : 0)
        try take(line.dropFirst(clock.count + 1), at: civil, channel, sink)
        return true
    }

    private func take(_ rest: Substring, at civil: CivilTime, _ channel: String, _ sink: any HistorySink) throws {
        if rest.hasPrefix("-!-") { return sink.skip("events") }
        if rest.hasPrefix("<"), let end = rest.firstIndex(of: ">") {
            let nick = IrssiLog.nick(rest[..<end].dropFirst())
            // The blank and a combining mark at the beginning of the text are one character.
            let text = rest[end...].unicodeScalars.dropFirst(2)
            return try take(civil, nick, String(Substring(text)), in: channel, sink)
        }
        // ' * alice waves', or a notice: '-alice:#ops- text'
        let words = rest.drop { $0 == " " }
        if words.hasPrefix("* ") {
            let nick = words.dropFirst(2).prefix { $0 != " " }
            return try take(civil, String(nick), String(words.dropFirst(2)), in: channel, sink)
        }
        if rest.hasPrefix("-"), let end = rest.firstRange(of: "- ") {
            let nick = rest[..<end.lowerBound].dropFirst().prefix { $0 != ":" }
            return try take(civil, String(nick), String(rest[end.upperBound...]), in: channel, sink)
        }
        sink.skip("other_lines")
    }
}

/// A log of WeeChat's logger: the time, the nick and the text, with tabs between them.
///
/// - SeeAlso: WeeChat user's guide, "Logger plugin", option `logger.file.time_format`.
final class WeeChatLog: ChatLog {
    func read(into sink: any HistorySink) throws {
        let channel = WeeChatLog.channel(file.name)
        try sink.settle(ForeignChannel(name: channel, people: nil))
        var isLog = false
        try eachLine(of: file.bytes()) { line in
            if line.isEmpty { return }
            let parts = line.split(separator: "\t", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return sink.skip("other_lines") }
            let exact = Timestamp(rfc3339: parts[0])
            let clock = ClockReading(iso: parts[0])
            guard let time = exact ?? clock?.moment else { return sink.skip("other_lines") }
            isLog = true
            let prefix = parts[1].drop { $0 == " " }
            var text = String(parts[2])
            var nick = WeeChatLog.nick(prefix)
            switch prefix {
            case "-->", "<--", "--", "=!=", "": return sink.skip("events")
            // An action: ' *', and the text begins with the nick.
            case "*": nick = WeeChatLog.nick(text.prefix { $0 != " " })
            default: break
            }
            if nick.isEmpty { return sink.skip("other_lines") }
            if text.isEmpty { return sink.skip("without_text") }
            if prefix == "*" { text = String(text.drop { "@+%~&!".contains($0) }) }
            try sink.take(ForeignMessage(time: time, sender: nick, text: text), channel: channel, part: "")
        }
        if !isLog { throw file.malformed("no line with a time, a nick and a text, as WeeChat writes") }
    }

    /// `irc.libera.#ops` is the name of the file of '#ops'.
    private static func channel(_ name: String) -> String {
        if let hash = name.firstIndex(of: "#") { return String(name[hash...]) }
        return name.split(separator: ".").last.map(String.init) ?? name
    }
}
