/// A moment in milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
public struct Timestamp: RawRepresentable, Hashable, Comparable, Sendable {
    public let rawValue: Int64
    public init(rawValue: Int64) { self.rawValue = rawValue }
    public init(milliseconds: Int64) { rawValue = milliseconds }

    public static let zero = Timestamp(milliseconds: 0)
    /// The years 0000 to 9999, the range that RFC 3339 can write.
    public static let range =
        Timestamp(milliseconds: -62_167_219_200_000)...Timestamp(milliseconds: 253_402_300_799_999)

    public var milliseconds: Int64 { rawValue }
    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.rawValue < right.rawValue }

    /// Adds a duration. It saturates, so that a duration from outside cannot make it overflow.
    public func advanced(milliseconds: Int64) -> Timestamp {
        let (sum, overflow) = rawValue.addingReportingOverflow(milliseconds)
        return Timestamp(milliseconds: overflow ? (milliseconds < 0 ? .min : .max) : sum)
    }
}

/// A date and a time of day in the proleptic Gregorian calendar, without a time zone.
public struct CivilTime: Equatable, Sendable {
    public var year: Int64
    public var month: Int
    public var day: Int
    public var hour = 0
    public var minute = 0
    public var second = 0
    public var millisecond = 0

    public init(year: Int64, month: Int, day: Int) { (self.year, self.month, self.day) = (year, month, day) }

    /// Splits milliseconds since 1970 into fields (Hinnant's `civil_from_days`).
    ///
    /// - SeeAlso: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    public init(milliseconds: Int64) {
        let perDay: Int64 = 86_400_000
        var days = milliseconds / perDay
        var rest = Int(milliseconds % perDay)
        if rest < 0 {
            rest += Int(perDay)
            days -= 1
        }
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = Int(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
        month = Int(shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9)
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        millisecond = rest % 1_000
        second = rest / 1_000 % 60
        minute = rest / 60_000 % 60
        hour = rest / 3_600_000
    }

    /// Days from 1970-01-01 to this date. The caller must have checked that the year is within about ±10,000.
    public var daysSinceEpoch: Int64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let shiftedMonth = Int64(month > 2 ? month - 3 : month + 9)
        let dayOfYear = (153 * shiftedMonth + 2) / 5 + Int64(day) - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    /// The day of the week, 0 for Sunday.
    public var weekday: Int {
        // 1 January 1970 was a Thursday.
        Int(((daysSinceEpoch + 4) % 7 + 7) % 7)
    }

    /// The months as mail, HTTP and the logs of programs write them.
    public static let monthNames = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// The moment at which a UTC clock shows this date and time.
    public var utc: Timestamp {
        let seconds = daysSinceEpoch * 86_400 + Int64(hour * 3_600 + minute * 60 + second)
        return Timestamp(milliseconds: seconds * 1_000 + Int64(millisecond))
    }

    /// True if every field is in its range and the day exists in its month.
    public var isValid: Bool {
        guard (0...9_999).contains(year), (1...12).contains(month), day >= 1, (0...23).contains(hour),
            (0...59).contains(minute), (0...59).contains(second), (0...999).contains(millisecond)
        else { return false }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return day <= lengths[month - 1]
    }
}

extension Timestamp {
    /// `2026-11-20T07:24:05.123Z`. A moment outside `range` is written as the nearest moment inside it.
    public var rfc3339: String {
        String(unsafeUninitializedCapacity: Timestamp.rfc3339Count) { writeRFC3339(to: $0) }
    }

    /// How many characters such a text has.
    public static let rfc3339Count = 24

    /// Writes the text, and returns how many characters it has.
    public func writeRFC3339(to text: UnsafeMutableBufferPointer<UInt8>) -> Int {
        let time = CivilTime(
            milliseconds: min(max(self, Timestamp.range.lowerBound), Timestamp.range.upperBound).rawValue)
        var length = 0
        func append(_ value: Int, digits: Int, _ end: Unicode.Scalar) {
            var rest = value
            for place in (length..<length + digits).reversed() {
                text[place] = UInt8(ascii: "0") + UInt8(rest % 10)
                rest /= 10
            }
            text[length + digits] = UInt8(ascii: end)
            length += digits + 1
        }
        append(Int(time.year), digits: 4, "-")
        append(time.month, digits: 2, "-")
        append(time.day, digits: 2, "T")
        append(time.hour, digits: 2, ":")
        append(time.minute, digits: 2, ":")
        append(time.second, digits: 2, ".")
        append(time.millisecond, digits: 3, "Z")
        return length
    }

    /// Parses a date-time of RFC 3339 section 5.6, such as `2026-11-20T07:24:05.123Z` or `2026-11-20t07:24:05+03:00`. A
    /// space may replace the `T`. Digits of the fraction after the third are ignored, and second 60 counts as 59.
    ///
    /// - Returns: nil for any other text, or for a moment outside `range`.
    public init?(rfc3339 text: some StringProtocol) {
        var bytes = Array(text.utf8)[...]
        func digits(_ count: Int) -> Int? {
            guard bytes.count >= count else { return nil }
            var value = 0
            for byte in bytes.prefix(count) {
                guard byte.isASCIIDigit else { return nil }
                value = value * 10 + Int(byte - UInt8(ascii: "0"))
            }
            bytes = bytes.dropFirst(count)
            return value
        }
        func next(of characters: String) -> UInt8? {
            guard let byte = bytes.first, characters.utf8.contains(byte) else { return nil }
            bytes = bytes.dropFirst()
            return byte
        }
        guard let year = digits(4), next(of: "-") != nil, let month = digits(2), next(of: "-") != nil,
            let day = digits(2),
            next(of: "Tt ") != nil, let hour = digits(2), next(of: ":") != nil, let minute = digits(2),
            next(of: ":") != nil,
            let second = digits(2)
        else { return nil }
        var time = CivilTime(year: Int64(year), month: month, day: day)
        (time.hour, time.minute, time.second) = (hour, minute, second == 60 ? 59 : second)
        if next(of: ".") != nil {
            var scale = 100
            guard var digit = digits(1) else { return nil }
            while true {
                time.millisecond += digit * scale
                scale /= 10
                guard let next = digits(1) else { break }
                digit = next
            }
        }
        var offsetMinutes = 0
        guard let sign = next(of: "Zz+-") else { return nil }
        if sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") {
            guard let hours = digits(2), next(of: ":") != nil, let minutes = digits(2), hours < 24, minutes < 60 else {
                return nil
            }
            offsetMinutes = (hours * 60 + minutes) * (sign == UInt8(ascii: "-") ? -1 : 1)
        }
        guard bytes.isEmpty, time.isValid else { return nil }
        self = time.utc.advanced(milliseconds: Int64(-offsetMinutes) * 60_000)
        guard Timestamp.range.contains(self) else { return nil }
    }
}
