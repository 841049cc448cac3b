internal import NatterModel

/// How files are shown beside a text.
enum FileWords {
    /// A name and a size, as `[build.log, 1.3 MB]`.
    static func text(_ name: String, _ size: UInt64) -> String { "[\(name), \(self.size(size))]" }

    /// A size with one decimal digit, in units of a thousand, rounded down.
    static func size(_ bytes: UInt64) -> String {
        guard bytes >= 1_000 else { return "\(bytes) B" }
        var (tenths, unit) = (bytes / 100, "kB")
        for next in ["MB", "GB", "TB"] where tenths >= 10_000 {
            (tenths, unit) = (tenths / 1_000, next)
        }
        return "\(tenths / 10).\(tenths % 10) \(unit)"
    }
}
