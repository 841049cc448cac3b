internal import NatterLanguage

/// What happened to a group, as it reads behind the name of who did it: `* alice added bob`. In a pipe it is the same in
/// every language, so that a log stays as it is.
enum EventText {
    /// - Parameter text: as the server writes it: `VERB`, `VERB NAME` or `renamed OLD NEW`. Names have no white space.
    /// - Returns: for what a newer server may say, its own words.
    static func phrase(_ text: String) -> Phrase {
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
        default: Phrase(verbatim: text)
        }
    }
}
