internal import Glibc
public import NatterModel

/// Local time in the C library's time zone: `TZ`, else the system's.
public enum LocalTime {
    /// Local time at a moment. It is UTC if the C library fails.
    public static func civil(_ time: Timestamp) -> CivilTime {
        let clamped = min(max(time, Timestamp.range.lowerBound), Timestamp.range.upperBound)
        let (seconds, milliseconds) = clamped.secondsAndMilliseconds
        var moment = time_t(seconds)
        var fields = tm()
        // localtime_r is not required to read TZ.
        tzset()
        guard localtime_r(&moment, &fields) != nil else { return CivilTime(milliseconds: clamped.milliseconds) }
        var civil = CivilTime(
            year: Int64(fields.tm_year) + 1_900, month: Int(fields.tm_mon) + 1, day: Int(fields.tm_mday))
        (civil.hour, civil.minute) = (Int(fields.tm_hour), Int(fields.tm_min))
        // A time zone with leap seconds may return second 60.
        (civil.second, civil.millisecond) = (min(59, Int(fields.tm_sec)), Int(milliseconds))
        return civil
    }

    /// For people: `2026-11-20 07:24:05`, with its offset in the hour that comes twice.
    public static func text(_ time: Timestamp) -> String { "\(civil(time).date) \(clock(time))" }

    /// `07:24:05`, or `02:30:00+02:00` in the hour that comes twice, at the end of summer time.
    public static func clock(_ time: Timestamp) -> String {
        let civil = civil(time)
        let others = [-3_600_000, 3_600_000].map { time.advanced(milliseconds: $0) }
        guard others.contains(where: { Timestamp.range.contains($0) && self.civil($0) == civil }) else {
            return civil.clock
        }
        let minutes = Int(civil.utc.milliseconds - time.milliseconds) / 60_000
        let (hour, minute) = abs(minutes).quotientAndRemainder(dividingBy: 60)
        return civil.clock + (minutes < 0 ? "-" : "+") + CivilTime.digits(hour) + ":" + CivilTime.digits(minute)
    }

    /// `Friday, 20 November 2026`.
    public static func day(_ civil: CivilTime) -> Phrase {
        "\(weekday(civil)), \(civil.day) \(month(civil)) \(civil.year)"
    }

    private static func weekday(_ civil: CivilTime) -> Phrase {
        switch civil.weekday {
        case 0: "Sunday"
        case 1: "Monday"
        case 2: "Tuesday"
        case 3: "Wednesday"
        case 4: "Thursday"
        case 5: "Friday"
        default: "Saturday"
        }
    }

    private static func month(_ civil: CivilTime) -> Phrase {
        switch civil.month {
        case 1: "January"
        case 2: "February"
        case 3: "March"
        case 4: "April"
        case 5: "May"
        case 6: "June"
        case 7: "July"
        case 8: "August"
        case 9: "September"
        case 10: "October"
        case 11: "November"
        default: "December"
        }
    }
}

extension CivilTime {
    /// `07:24:05`.
    public var clock: String { "\(CivilTime.digits(hour)):\(CivilTime.digits(minute)):\(CivilTime.digits(second))" }
    /// `2026-11-20`.
    public var date: String { "\(CivilTime.digits(Int(year), 4))-\(CivilTime.digits(month))-\(CivilTime.digits(day))" }

    static func digits(_ value: Int, _ count: Int = 2) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
    }
}

extension Timestamp {
    /// Rounded down, so that the milliseconds are 0 to 999.
    fileprivate var secondsAndMilliseconds: (Int64, Int64) {
        let rest = milliseconds % 1_000
        return rest < 0 ? (milliseconds / 1_000 - 1, rest + 1_000) : (milliseconds / 1_000, rest)
    }
}
