public import NatterModel
internal import NatterSystem

/// Times as users write them after `--since` and `--until`.
public enum TimeExpression {
    /// All forms, for error messages.
    public static let forms: Phrase =
        "use 2026-11-20T07:24:05Z, 2026-11-20, '2026-11-20 07:24', 2026-11, 20.11.2026, '20 nov', now, today, tomorrow, "
        + "'yesterday 18:00', 10:00, 5pm, noon, monday, 'last week', '2 days ago', '2h ago', 'in 2 days', 2d, -1h30m or "
        + "@unix"

    /// Words are read without regard to case, and in Russian, too.
    ///
    /// - Parameters:
    ///   - now: the base of `now`, `today` and `2h`. Dates and times without a zone are local.
    ///   - isAhead: whether `2h`, `monday` and `20 nov` are in the future, where they would be in the past.
    /// - Returns: nil if malformed or outside the years 0 to 9999.
    public static func parse(_ text: String, now: Timestamp, isAhead: Bool = false) -> Timestamp? {
        let time: Timestamp? =
            switch text.utf8.first {
            case UInt8(ascii: "-"): TimeSpan.parse(text.dropFirst()).map { now.advanced(milliseconds: -$0) }
            case UInt8(ascii: "@"): unix(text.dropFirst())
            default:
                Timestamp(rfc3339: text) ?? local(text)
                    ?? TimeSpan.parse(text).map { now.advanced(milliseconds: isAhead ? $0 : -$0) }
                    ?? TimeWords(text)?.moment(now: now, isAhead: isAhead)
            }
        return time.flatMap { Timestamp.range.contains($0) ? $0 : nil }
    }

    /// Parses seconds since 1970. Digits after milliseconds are dropped.
    private static func unix(_ text: Substring) -> Timestamp? {
        let isNegative = text.hasPrefix("-")
        let parts = text.dropFirst(isNegative ? 1 : 0).split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts[0].utf8.count <= 15, let seconds = number(parts[0]) else {
            return nil
        }
        var milliseconds = Int64(seconds) * 1_000
        if parts.count == 2 {
            guard !parts[1].isEmpty, parts[1].utf8.areASCIIDigits,
                let thousandths = Int64((parts[1] + "00").prefix(3))
            else { return nil }
            milliseconds += thousandths
        }
        return Timestamp(milliseconds: isNegative ? -milliseconds : milliseconds)
    }

    /// Parses `2026-11`, `2026-11-20`, `2026-11-20 07:24` or `2026-11-20 07:24:05`. `T` may replace the space.
    private static func local(_ text: String) -> Timestamp? {
        let halves = text.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == " " || $0 == "T" }
        let date = halves[0].split(separator: "-", omittingEmptySubsequences: false)
        guard date.count == 3 || (date.count == 2 && halves.count == 1), let year = number(date[0], digits: 4),
            let month = number(date[1], digits: 2), let day = date.count == 3 ? number(date[2], digits: 2) : 1
        else { return nil }
        var civil = CivilTime(year: Int64(year), month: month, day: day)
        if halves.count == 2 {
            guard let clock = clock(halves[1], hourDigits: 2) else { return nil }
            (civil.hour, civil.minute, civil.second) = clock
        }
        return civil.isValid ? civil.localMoment : nil
    }

    /// Parses `07:24` or `07:24:05`.
    ///
    /// - Parameter hourDigits: nil allows `7:24`.
    static func clock(_ text: Substring, hourDigits: Int? = nil) -> (hour: Int, minute: Int, second: Int)? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard (2...3).contains(parts.count), parts[0].utf8.count <= 2, let hour = number(parts[0], digits: hourDigits),
            let minute = number(parts[1], digits: 2),
            let second = parts.count == 3 ? number(parts[2], digits: 2) : 0
        else { return nil }
        return (hour, minute, second)
    }

    static func number(_ text: Substring, digits: Int? = nil) -> Int? {
        digits == nil || text.utf8.count == digits ? Int(digits: text) : nil
    }
}

/// Durations as users write them: `45s`, `30m`, `2h`, `1d`, `1w`, and several in a row, `1h30m`.
public enum TimeSpan {
    /// A number of seconds, with or without a fraction, in milliseconds; nil for any other text and outside the range.
    public static func milliseconds(ofSeconds text: String, in range: ClosedRange<Double>) -> Int64? {
        let isPlain = text.utf8.allSatisfy { $0.isASCIIDigit || $0 == UInt8(ascii: ".") }
        guard isPlain, let seconds = Double(text), range.contains(seconds) else { return nil }
        return Int64((seconds * 1_000).rounded())
    }

    /// - Returns: milliseconds, or nil if the text is malformed or means more than 10,000 years.
    public static func parse(_ text: some StringProtocol) -> Int64? {
        let limit: Int64 = 10_000 * 366 * 86_400_000
        var total: Int64 = 0
        var number: Int64?
        for byte in text.utf8 {
            if byte.isASCIIDigit {
                let next = (number ?? 0) * 10 + Int64(byte - UInt8(ascii: "0"))
                guard next <= limit else { return nil }
                number = next
                continue
            }
            guard let count = number, let unit = unit(byte) else { return nil }
            let (product, overflow) = count.multipliedReportingOverflow(by: unit)
            guard !overflow, product <= limit - total else { return nil }
            total += product
            number = nil
        }
        return number == nil && !text.isEmpty ? total : nil
    }

    private static func unit(_ letter: UInt8) -> Int64? {
        switch letter {
        case UInt8(ascii: "s"): 1_000
        case UInt8(ascii: "m"): 60_000
        case UInt8(ascii: "h"): 3_600_000
        case UInt8(ascii: "d"): 86_400_000
        case UInt8(ascii: "w"): 7 * 86_400_000
        default: nil
        }
    }
}
