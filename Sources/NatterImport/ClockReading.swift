internal import Glibc
internal import NatterModel

/// A time as a clock on somebody's wall showed it. A log does not say in which time zone; it is read in that of this
/// process: `TZ`, else the system's.
struct ClockReading {
    var civil: CivilTime

    init?(_ civil: CivilTime) {
        guard civil.isValid else { return nil }
        self.civil = civil
    }

    /// `2026-11-20T07:24:05` or `2026-11-20 07:24:05`.
    init?(iso text: some StringProtocol) {
        let numbers = text.split { !$0.isASCII || !$0.isNumber }
        let bytes = Array(text.utf8)
        guard bytes.count == 19, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
            bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":"), numbers.count == 6
        else { return nil }
        let values = numbers.compactMap { Int($0) }
        guard values.count == 6 else { return nil }
        var civil = CivilTime(year: Int64(values[0]), month: values[1], day: values[2])
        (civil.hour, civil.minute, civil.second) = (values[3], values[4], values[5])
        self.init(civil)
    }

    /// A time that a clock change skips is counted from before the change.
    var moment: Timestamp? {
        var fields = tm()
        fields.tm_year = Int32(clamping: civil.year - 1_900)
        fields.tm_mon = Int32(clamping: civil.month - 1)
        fields.tm_mday = Int32(clamping: civil.day)
        fields.tm_hour = Int32(clamping: civil.hour)
        fields.tm_min = Int32(clamping: civil.minute)
        fields.tm_sec = Int32(clamping: civil.second)
        fields.tm_isdst = -1
        errno = 0
        let seconds = mktime(&fields)
        if seconds == -1, errno != 0 { return nil }
        return Timestamp(milliseconds: Int64(seconds) * 1_000 + Int64(civil.millisecond))
    }
}
