internal import NatterModel
internal import NatterSystem

/// A time in words: `yesterday 18:00`, `monday`, `2 days ago`, `last week`, `10:00`, and the same in Russian.
struct TimeWords {
    private enum Day {
        case now
        /// Midnight of the day so many days before today.
        case daysAgo(Int)
        /// The latest midnight of this day of the week, 0 for Sunday.
        case weekday(Int)
        case ago(Int, Unit)
    }

    private enum Unit {
        case second, minute, hour, day, week, month, year
    }

    /// A longer count leads out of the years that a time may have.
    private static let largestCount = 1_000_000

    private let day: Day
    private let clock: (hour: Int, minute: Int, second: Int)?

    /// nil if the words mean no time.
    init?(_ text: String) {
        guard text.utf8.count <= 100 else { return nil }
        var words = text.lowercased().split(separator: " ").filter { !TimeWords.fillers.contains($0) }
        clock = words.last.flatMap { TimeExpression.clock($0) }
        if clock != nil { words.removeLast() }
        guard let day = words.isEmpty && clock != nil ? .daysAgo(0) : TimeWords.day(words) else { return nil }
        // '2 hours ago 18:00' says two times.
        switch day {
        case .now where clock != nil, .ago(_, .second) where clock != nil, .ago(_, .minute) where clock != nil,
            .ago(_, .hour) where clock != nil:
            return nil
        default: self.day = day
        }
    }

    private static let fillers: Set<Substring> = ["at", "on", "в", "во", "на"]

    private static func day(_ words: [Substring]) -> Day? {
        switch words.count {
        case 1: return days[words[0]] ?? weekdays[words[0]].map { .weekday($0) }
        case 2:
            if last.contains(words[0]) {
                return weekdays[words[1]].map { .weekday($0) } ?? units[words[1]].map { .ago(1, $0) }
            }
            // 'week ago', 'неделю назад'.
            return ago.contains(words[1]) ? units[words[0]].map { .ago(1, $0) } : nil
        case 3:
            guard ago.contains(words[2]), let unit = units[words[1]] else { return nil }
            if words[0] == "a" || words[0] == "an" { return .ago(1, unit) }
            return TimeExpression.number(words[0]).flatMap { $0 <= largestCount ? .ago($0, unit) : nil }
        default: return nil
        }
    }

    /// nil outside the years 0 to 9999.
    func moment(now: Timestamp) -> Timestamp? {
        let today = LocalTime.civil(now)
        let start: CivilTime
        switch day {
        case .now: return now
        case .daysAgo(let days): start = TimeWords.midnight(today, minus: days)
        case .weekday(let wanted):
            start = TimeWords.midnight(today, minus: (today.weekday - wanted + 7) % 7)
        case .ago(let count, let unit):
            guard let moment = TimeWords.moment(count, unit, before: now, today) else { return nil }
            guard clock != nil else { return moment }
            start = LocalTime.civil(moment)
        }
        guard let clock else { return start.localMoment }
        var civil = start
        (civil.hour, civil.minute, civil.second, civil.millisecond) = (clock.hour, clock.minute, clock.second, 0)
        // The day may be one of the previous month, which is not valid by itself.
        var check = today
        (check.hour, check.minute, check.second) = clock
        return check.isValid ? civil.localMoment : nil
    }

    private static func midnight(_ today: CivilTime, minus days: Int) -> CivilTime {
        CivilTime(year: today.year, month: today.month, day: today.day - days)
    }

    /// Hours are counted as time that has passed; days, months and years keep the time of the clock.
    private static func moment(_ count: Int, _ unit: Unit, before now: Timestamp, _ today: CivilTime) -> Timestamp? {
        var civil = today
        switch unit {
        case .second: return now.advanced(milliseconds: -Int64(count) * 1_000)
        case .minute: return now.advanced(milliseconds: -Int64(count) * 60_000)
        case .hour: return now.advanced(milliseconds: -Int64(count) * 3_600_000)
        case .day: civil.day -= count
        case .week: civil.day -= 7 * count
        case .month:
            civil.year -= Int64(count / 12)
            civil.month -= count % 12
            if civil.month < 1 { (civil.year, civil.month) = (civil.year - 1, civil.month + 12) }
            // A month before 31 March is the last day of February.
            while !civil.isValid, civil.day > 28 { civil.day -= 1 }
        case .year:
            civil.year -= Int64(count)
            while !civil.isValid, civil.day > 28 { civil.day -= 1 }
        }
        return civil.localMoment
    }

    private static let days: [Substring: Day] = [
        "now": .now, "today": .daysAgo(0), "yesterday": .daysAgo(1),
        "сейчас": .now, "сегодня": .daysAgo(0), "вчера": .daysAgo(1), "позавчера": .daysAgo(2),
    ]

    private static let ago: Set<Substring> = ["ago", "назад", "тому"]

    private static let last: Set<Substring> = [
        "last", "прошлый", "прошлая", "прошлую", "прошлое", "прошлой", "прошлом", "последний", "последняя",
        "последнюю",
    ]

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
