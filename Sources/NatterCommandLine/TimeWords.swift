internal import NatterModel
internal import NatterSystem

/// A time in words: `yesterday 18:00`, `monday`, `2 days ago`, `in 2h`, `last week`, `5pm`, `20 nov`, `20.11.2026`, and the
/// same in Russian.
struct TimeWords {
    private enum Day {
        case now
        /// Midnight of the day so many days from today.
        case days(Int)
        /// Midnight of the nearest such day of the week, 0 for Sunday; the next one for 1, and the last one for -1.
        case weekday(Int, Int)
        /// So many units from now.
        case shifted(Int, Unit)
        case milliseconds(Int64)
        case date(day: Int, month: Int, year: Int?)
    }

    private enum Unit {
        case second, minute, hour, day, week, month, year
    }

    private typealias Clock = (hour: Int, minute: Int, second: Int)

    /// A longer count leads out of the years that a time may have.
    private static let largestCount = 1_000_000
    /// The most years from one 29 February to another.
    private static let leapYears = 8

    private let day: Day
    private let clock: Clock?

    /// nil if the words mean no time.
    init?(_ text: String) {
        guard text.utf8.count <= 100 else { return nil }
        var words = text.lowercased().split { $0 == " " || $0 == "," }.flatMap(TimeWords.parts)
            .filter { !TimeWords.fillers.contains($0) }
        // The time of day may stand in front of the day or behind it, in two words as '5 pm' or in one.
        let ends = [words.suffix(2), words.suffix(1), words.prefix(2), words.prefix(1)]
        let found = ends.first { TimeWords.clock($0) != nil }
        clock = found.flatMap(TimeWords.clock)
        if let found { words.removeSubrange(found.indices) }
        guard let day = words.isEmpty && clock != nil ? .days(0) : TimeWords.day(words) else { return nil }
        // '2 hours ago 18:00' says two times.
        switch day {
        case .now where clock != nil, .shifted(_, .second) where clock != nil, .shifted(_, .minute) where clock != nil,
            .shifted(_, .hour) where clock != nil, .milliseconds where clock != nil:
            return nil
        default: self.day = day
        }
    }

    private static let fillers: Set<Substring> = ["at", "on", "of", "в", "во", "на", "г.", "st", "nd", "rd", "th"]

    /// A number and the word that is written together with it, as in '2h', '5:30pm' and '20th'.
    private static func parts(of word: Substring) -> [Substring] {
        let rest = word.drop { $0.isASCII && $0.isNumber || $0 == ":" }
        guard rest.startIndex > word.startIndex, !rest.isEmpty, rest.allSatisfy(\.isLetter) else { return [word] }
        return [word[..<rest.startIndex], rest]
    }

    private static func clock(_ words: ArraySlice<Substring>) -> Clock? {
        guard let first = words.first, let last = words.last else { return nil }
        if words.count == 1 { return clocks[first] ?? TimeExpression.clock(first) }
        guard let half = halves[last],
            let clock = TimeExpression.clock(first) ?? TimeExpression.number(first).map({ ($0, 0, 0) }),
            1...12 ~= clock.hour
        else { return nil }
        return (clock.hour % 12 + half, clock.minute, clock.second)
    }

    private static func day(_ words: [Substring]) -> Day? {
        guard let first = words.first, let last = words.last else { return nil }
        if words.count == 1, let day = days[first] ?? weekdays[first].map({ .weekday($0, 0) }) ?? dotted(first) {
            return day
        }
        if ago.contains(last) { return shift(words.dropLast(), -1) }
        if ahead.contains(first) { return shift(words.dropFirst(), 1) }
        if words.count == 2, let sign = signs[first] {
            return weekdays[last].map { .weekday($0, sign) } ?? units[last].map { .shifted(sign, $0) }
        }
        return date(words)
    }

    /// 'week', 'an hour', '2 days', '1h30m'.
    private static func shift(_ words: ArraySlice<Substring>, _ sign: Int) -> Day? {
        guard let first = words.first, let last = words.last, words.count <= 2 else { return nil }
        let count = words.count == 1 || first == "a" || first == "an" ? 1 : TimeExpression.number(first)
        if let count, let unit = units[last] { return count <= largestCount ? .shifted(sign * count, unit) : nil }
        return words.count == 1 ? TimeSpan.parse(first).map { .milliseconds(Int64(sign) * $0) } : nil
    }

    /// '20 nov', 'nov 20', '20 november 2026', 'november'.
    private static func date(_ words: [Substring]) -> Day? {
        var numbers = words.filter { months[$0] == nil }
        guard words.count == numbers.count + 1, let month = words.lazy.compactMap({ months[$0] }).first else {
            return nil
        }
        let year = numbers.last?.utf8.count == 4 ? numbers.popLast() : nil
        guard numbers.count <= 1 else { return nil }
        return date(numbers.first ?? "1", month: month, year: year)
    }

    /// '20.11.2026', '20.11'.
    private static func dotted(_ word: Substring) -> Day? {
        let parts = word.split(separator: ".", omittingEmptySubsequences: false)
        guard 2...3 ~= parts.count, let month = TimeExpression.number(parts[1]) else { return nil }
        let year = parts.count == 3 ? parts[2] : nil
        return year.map { $0.utf8.count == 4 } == false ? nil : date(parts[0], month: month, year: year)
    }

    private static func date(_ day: Substring, month: Int, year: Substring?) -> Day? {
        let number = year.map { TimeExpression.number($0) }
        guard let day = TimeExpression.number(day), 1...31 ~= day, 1...12 ~= month, number != .some(nil) else {
            return nil
        }
        return .date(day: day, month: month, year: number ?? nil)
    }

    /// - Parameter isAhead: whether a day of the week, or a date without a year, is the next such day rather than the last.
    /// - Returns: nil outside the years 0 to 9999.
    func moment(now: Timestamp, isAhead: Bool) -> Timestamp? {
        let today = LocalTime.civil(now)
        let start: CivilTime
        switch day {
        case .now: return now
        case .milliseconds(let milliseconds): return now.advanced(milliseconds: milliseconds)
        case .days(let days): start = TimeWords.midnight(today, plus: days)
        case .weekday(let wanted, let sign):
            let behind = (today.weekday - wanted + 7) % 7
            // The next one is not today.
            start = TimeWords.midnight(today, plus: sign > 0 || (sign == 0 && isAhead) ? 7 - behind : -behind)
        case .shifted(let count, let unit):
            guard let moment = TimeWords.moment(count, unit, from: now, today) else { return nil }
            guard clock != nil else { return moment }
            start = LocalTime.civil(moment)
        case .date(let day, let month, let year):
            let isBehind = (month, day) <= (today.month, today.day)
            let first = today.year + (isAhead == isBehind ? isAhead ? 1 : -1 : 0)
            let years = (0...Int64(TimeWords.leapYears)).map { first + (isAhead ? $0 : -$0) }
            let dates = (year.map { [Int64($0)] } ?? years).map { CivilTime(year: $0, month: month, day: day) }
            guard let date = dates.first(where: \.isValid) else { return nil }
            start = date
        }
        guard let clock else { return start.localMoment }
        var civil = start
        (civil.hour, civil.minute, civil.second, civil.millisecond) = (clock.hour, clock.minute, clock.second, 0)
        // The day may be one of another month, which is not valid by itself.
        var check = today
        (check.hour, check.minute, check.second) = clock
        return check.isValid ? civil.localMoment : nil
    }

    private static func midnight(_ today: CivilTime, plus days: Int) -> CivilTime {
        CivilTime(year: today.year, month: today.month, day: today.day + days)
    }

    /// Hours are counted as time that passes; days, months and years keep the time of the clock.
    private static func moment(_ count: Int, _ unit: Unit, from now: Timestamp, _ today: CivilTime) -> Timestamp? {
        var civil = today
        switch unit {
        case .second: return now.advanced(milliseconds: Int64(count) * 1_000)
        case .minute: return now.advanced(milliseconds: Int64(count) * 60_000)
        case .hour: return now.advanced(milliseconds: Int64(count) * 3_600_000)
        case .day: civil.day += count
        case .week: civil.day += 7 * count
        case .month:
            civil.year += Int64(count / 12)
            civil.month += count % 12
            if civil.month < 1 { (civil.year, civil.month) = (civil.year - 1, civil.month + 12) }
            if civil.month > 12 { (civil.year, civil.month) = (civil.year + 1, civil.month - 12) }
        case .year: civil.year += Int64(count)
        }
        // A month before 31 March is the last day of February.
        if unit == .month || unit == .year { while !civil.isValid, civil.day > 28 { civil.day -= 1 } }
        return civil.localMoment
    }

    private static let days: [Substring: Day] = [
        "now": .now, "today": .days(0), "yesterday": .days(-1), "tomorrow": .days(1), "сейчас": .now,
        "сегодня": .days(0), "вчера": .days(-1), "позавчера": .days(-2), "завтра": .days(1), "послезавтра": .days(2),
    ]

    private static let clocks: [Substring: Clock] = [
        "noon": (12, 0, 0), "midnight": (0, 0, 0), "полдень": (12, 0, 0), "полночь": (0, 0, 0),
    ]

    /// The hours before each half of the day.
    private static let halves: [Substring: Int] = table([(0, "am a.m. утра"), (12, "pm p.m. вечера")])

    private static let ago: Set<Substring> = ["ago", "назад", "тому"]

    private static let ahead: Set<Substring> = ["in", "через"]

    private static let signs: [Substring: Int] = table([
        (-1, "last прошлый прошлая прошлую прошлое прошлой прошлом последний последняя последнюю"),
        (1, "next следующий следующая следующую следующее следующей следующем"),
    ])

    private static let months: [Substring: Int] = table([
        (1, "january jan январь января янв"), (2, "february feb февраль февраля фев"), (3, "march mar март марта мар"),
        (4, "april apr апрель апреля апр"), (5, "may май мая"), (6, "june jun июнь июня июн"),
        (7, "july jul июль июля июл"), (8, "august aug август августа авг"),
        (9, "september sep sept сентябрь сентября сен"), (10, "october oct октябрь октября окт"),
        (11, "november nov ноябрь ноября ноя нояб"), (12, "december dec декабрь декабря дек"),
    ])

    private static let weekdays: [Substring: Int] = table([
        (0, "sunday sun воскресенье вс"), (1, "monday mon понедельник пн"), (2, "tuesday tue tues вторник вт"),
        (3, "wednesday wed среда среду ср"), (4, "thursday thu thurs четверг чт"),
        (5, "friday fri пятница пятницу пт"), (6, "saturday sat суббота субботу сб"),
    ])

    private static let units: [Substring: Unit] = table([
        (.second, "second seconds sec secs s секунда секунду секунды секунд сек с"),
        (.minute, "minute minutes min mins m минута минуту минуты минут мин"),
        (.hour, "hour hours h час часа часов ч"),
        (.day, "day days d день дня дней сутки суток д"),
        (.week, "week weeks wk w неделя неделю недели недель неделе нед"),
        (.month, "month months месяц месяца месяцев месяце мес"),
        (.year, "year years y год года лет году г"),
    ])

    private static func table<Value>(_ rows: [(Value, String)]) -> [Substring: Value] {
        var table: [Substring: Value] = [:]
        for (value, words) in rows {
            for word in words.split(separator: " ") { table[word] = value }
        }
        return table
    }
}
