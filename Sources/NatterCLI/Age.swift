public import NatterModel

/// How long ago something was, in one unit, rounded down.
public enum Age {
    /// `3 minutes ago`, `just now` below a second and for what lies ahead (two clocks seldom agree).
    public static func text(of time: Timestamp, now: Timestamp) -> String {
        let (count, unit) = largestUnit(of: time, now: now)
        return count == 0 ? "just now" : "\(count) \(unit.name)\(count == 1 ? "" : "s") ago"
    }

    /// `3 min`, `2 h`, `0 s`.
    public static func short(of time: Timestamp, now: Timestamp) -> String {
        let (count, unit) = largestUnit(of: time, now: now)
        return "\(count) \(unit.short)"
    }

    private typealias Unit = (seconds: Int64, name: String, short: String)

    private static func largestUnit(of time: Timestamp, now: Timestamp) -> (Int64, Unit) {
        let (difference, overflow) = now.milliseconds.subtractingReportingOverflow(time.milliseconds)
        let seconds = overflow ? (now > time ? .max : 0) : max(0, difference / 1_000)
        let unit: Unit =
            switch seconds {
            case ..<60: (1, "second", "s")
            case ..<3_600: (60, "minute", "min")
            case ..<86_400: (3_600, "hour", "h")
            case ..<(7 * 86_400): (86_400, "day", "d")
            case ..<(365 * 86_400): (7 * 86_400, "week", "wk")
            default: (365 * 86_400, "year", "y")
            }
        return (seconds / unit.seconds, unit)
    }
}
