internal import NatterModel

/// Lengths of time as people write them: `45s`, `30m`, `2h`, `1d`, `1w`, and several in a row, `1h30m`.
public enum TimeSpan {
    /// - Returns: milliseconds; nil for anything else, or more than 10,000 years.
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
