public import NatterModel

/// The id that natter gives a message when the user does not: what makes sending it again harmless.
public enum MessageID {
    /// Made as a UUIDv7 is, milliseconds first, then random bits, so that they cluster at the server. Nothing is counted
    /// on disk: a home that was copied or restored never repeats one.
    ///
    /// - SeeAlso: RFC 9562, section 5.7.
    public static func make(at time: Timestamp) -> String {
        var generator = SystemRandomNumberGenerator()
        return text(time: time, random: (generator.next(), generator.next()))
    }

    static func text(time: Timestamp, random: (UInt64, UInt64)) -> String {
        let milliseconds = UInt64(clamping: time.milliseconds) & 0xFFFF_FFFF_FFFF
        let upper = milliseconds << 16 | 0x7000 | random.0 & 0xFFF
        let lower = 0x8000_0000_0000_0000 | random.1 >> 2
        let digits = Hex.encode(upper) + Hex.encode(lower)
        var text = ""
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { text.append("-") }
            text.append(digit)
        }
        return text
    }
}
