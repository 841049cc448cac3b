internal import NatterModel

/// Sizes as people write them.
public enum ByteCount {
    /// A number of bytes, or of KiB, MiB or GiB: `25M`; nil for anything else, and for none.
    public static func read(_ text: String) -> UInt64? {
        let shift = ["K": 10, "M": 20, "G": 30][text.suffix(1)] ?? 0
        guard let number = UInt64(digits: shift == 0 ? text[...] : text.dropLast()), number > 0,
            number <= UInt64(Int64.max) >> shift
        else { return nil }
        return number << shift
    }
}
