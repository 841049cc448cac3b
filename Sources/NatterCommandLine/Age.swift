public import NatterModel

/// How long ago something happened, in one unit, rounded down.
public enum Age {
    /// `3 minutes ago`. The text is `just now` for less than a second and for times in the future, because clocks
    /// seldom agree.
    public static func text(of time: Timestamp, now: Timestamp) -> Phrase {
        let (count, unit) = largestUnit(of: time, now: now)
        return count == 0 ? "just now" : ago(count, unit)
    }

    private static func ago(_ count: Int64, _ unit: Unit) -> Phrase {
        switch unit {
        case .second: .plural(count, "\(count) second ago", "\(count) seconds ago")
        case .minute: .plural(count, "\(count) minute ago", "\(count) minutes ago")
        case .hour: .plural(count, "\(count) hour ago", "\(count) hours ago")
        case .day: .plural(count, "\(count) day ago", "\(count) days ago")
        case .week: .plural(count, "\(count) week ago", "\(count) weeks ago")
        case .year: .plural(count, "\(count) year ago", "\(count) years ago")
        }
    }

    /// The raw value is the unit's length in seconds.
    private enum Unit: Int64 {
        case second = 1
        case minute = 60
        case hour = 3_600
        case day = 86_400
        case week = 604_800
        case year = 31_536_000
    }

    private static func largestUnit(of time: Timestamp, now: Timestamp) -> (Int64, Unit) {
        let (difference, overflow) = now.milliseconds.subtractingReportingOverflow(time.milliseconds)
        let seconds = overflow ? (now > time ? .max : 0) : max(0, difference / 1_000)
        let unit: Unit =
            switch seconds {
            case ..<60: .second
            case ..<3_600: .minute
            case ..<86_400: .hour
            case ..<(7 * 86_400): .day
            case ..<(365 * 86_400): .week
            default: .year
            }
        return (seconds / unit.rawValue, unit)
    }
}
