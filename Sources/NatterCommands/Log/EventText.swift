internal import NatterModel

/// An event of a group. It is printed after the name of its author: `* alice added bob`. In a pipe it is English, so
/// that a log does not depend on the language.
enum EventText {
    /// - Parameter text: the server's form: `VERB`, `VERB NAME`, `renamed OLD NEW` or `topic TEXT`. Names have no blanks.
    /// - Returns: the server's own words if a newer server sent an unknown event.
    static func phrase(_ text: String) -> Phrase {
        // Longer than any event, and comparing its words would take the square of their combining marks.
        guard text.utf8.count <= 5 * NameRule.maximumBytesAsSent else { return Phrase(verbatim: text) }
        let words = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        return switch (words.first, words.count) {
        case ("created", 1): "created the group"
        case ("renamed", 3): "renamed the group from '\(words[1])' to '\(words[2])'"
        case ("opened", 1): "opened the group to everyone"
        case ("closed", 1): "made the group private"
        case ("added", 2): "added \(words[1])"
        case ("removed", 2): "removed \(words[1])"
        case ("joined", 1): "joined"
        case ("left", 1): "left"
        case ("promoted", 2): "made \(words[1]) an admin"
        case ("demoted", 2): "made \(words[1]) a plain member again"
        case ("deleted", 1): "deleted the group"
        case ("retained", 2) where words[1] == "forever": "set the retention to forever"
        case ("retained", 2): "set the retention to \(words[1])"
        case ("topic", 1): "removed the topic"
        case ("topic", _): "set the topic to '\(text.dropFirst("topic ".count))'"
        default: Phrase(verbatim: text)
        }
    }
}
