/// Runs of combining marks.
///
/// Swift compares and hashes strings in a normal form, for which it sorts the marks of each run. That takes the square of
/// the run's length: 20 s for 400 KB. Nobody's language has long runs; stream-safe text has at most 30 marks in a row.
///
/// - SeeAlso: Unicode Standard Annex #15, "Stream-Safe Text Format".
public enum CombiningRun {
    /// The most marks in a row that cost nothing to speak of.
    public static let maximum = 128

    /// Whether the text has a longer run.
    public static func isLong(in text: String) -> Bool {
        // Each mark has two bytes or more.
        guard text.utf8.count > 2 * maximum else { return false }
        var run = 0
        return text.unicodeScalars.contains { scalar in
            run = isMark(scalar) ? run + 1 : 0
            return run > maximum
        }
    }

    /// The text with an invisible joiner in each longer run, as stream-safe text has it. It looks the same.
    public static func split(_ text: String) -> String {
        guard isLong(in: text) else { return text }
        var scalars = String.UnicodeScalarView()
        var run = 0
        for scalar in text.unicodeScalars {
            run = isMark(scalar) ? run + 1 : 0
            if run > maximum {
                scalars.append("\u{34F}")
                run = 1
            }
            scalars.append(scalar)
        }
        return String(scalars)
    }

    private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.canonicalCombiningClass != .notReordered
    }
}
