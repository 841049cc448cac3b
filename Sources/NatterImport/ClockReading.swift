internal import NatterModel
internal import NatterSystem

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

    var moment: Timestamp? { civil.localMoment }
}
