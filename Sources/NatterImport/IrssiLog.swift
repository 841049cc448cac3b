internal import Glibc
internal import NatterLanguage
internal import NatterModel

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
            let nick = IrssiLog.bare(IrssiLog.nick(rest[..<end].dropFirst()))
            // The blank and a combining mark at the beginning of the text are one character.
            let text = rest[end...].unicodeScalars.dropFirst(2)
            return try take(civil, nick, String(Substring(text)), in: channel, sink)
        }
        // ' * alice waves', or a notice: '-alice:#ops- text'
        let words = rest.drop { $0 == " " }
        if words.hasPrefix("* ") {
            let action = words.dropFirst(2)
            let word = action.prefix { $0 != " " }
            let nick = IrssiLog.bare(word)
            return try take(civil, nick, nick + action.dropFirst(word.count), in: channel, sink)
        }
        if rest.hasPrefix("-"), let end = rest.firstRange(of: "- ") {
            let nick = IrssiLog.bare(rest[..<end.lowerBound].dropFirst())
            return try take(civil, nick, String(rest[end.upperBound...]), in: channel, sink)
        }
        sink.skip("other_lines")
    }

    /// The nick without the channel or the address behind it, as in `bob:#ops` and `bob(bob@example.org)`.
    private static func bare(_ word: some StringProtocol) -> String {
        let nick = word.prefix { $0 != ":" && $0 != "(" }.trimmed
        return nick.isEmpty ? String(word) : nick
    }
}
