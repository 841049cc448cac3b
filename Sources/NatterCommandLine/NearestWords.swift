public import NatterModel

/// Finds the words that a user who misspelled a word may have meant.
public enum NearestWords {
    /// Longer words are not typing errors, and the cost of a comparison is the product of both lengths.
    private static let longestWord = 40
    private static let mostAnswers = 3

    /// `; the most similar is 'log'`, or empty if no word is similar.
    public static func hint(for word: String, among words: [String]) -> Phrase {
        remedy(for: word, among: words).map { "; \($0)" } ?? ""
    }

    /// `the most similar is 'log'`; nil if no word is similar.
    public static func remedy(for word: String, among words: [String]) -> Phrase? {
        let found: [Phrase] = nearest(to: word, among: words).map { "'\($0)'" }
        return switch found.count {
        case 0: nil
        case 1: "the most similar is \(found[0])"
        default: "the most similar are \(Phrase.list(found))"
        }
    }

    /// The words at the smallest distance from `word`, in the order given. The distance must be small for the word's
    /// length. A word that begins with `word` counts as one wrong letter.
    public static func nearest(to word: String, among words: [String]) -> [String] {
        let count = word.utf8.count
        guard count > 0, count <= longestWord else { return [] }
        // Most short words are two letters away from some other.
        let letters = word.hasPrefix("--") ? count - 2 : count
        let limit = letters <= 5 ? 1 : letters == 6 ? 2 : 3
        var best = limit
        var found: [String] = []
        for candidate in words where candidate.utf8.count <= longestWord {
            var distance = distance(Array(word.lowercased().utf8), Array(candidate.lowercased().utf8))
            if count > 1, candidate.hasPrefix(word) { distance = min(distance, 1) }
            if distance < best { found = [] }
            if distance <= best {
                best = distance
                found.append(candidate)
            }
        }
        return Array(found.prefix(mostAnswers))
    }

    /// The number of insertions, deletions, replacements and swaps of neighbours that turn one word into the other. No
    /// position is edited twice (optimal string alignment).
    static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for (row, byte) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                var cost = min(last[column] + (byte == other ? 0 : 1), last[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, byte == right[column - 1], left[row - 1] == other {
                    cost = min(cost, beforeLast[column - 1] + 1)
                }
                current.append(cost)
            }
            (beforeLast, last) = (last, current)
        }
        return last.last ?? 0
    }
}
