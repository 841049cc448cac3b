/// A shell that can complete words by a script.
public enum Shell: String, CaseIterable, Sendable {
    case bash, zsh, fish

    /// A word between single quotes, as it is.
    func quoted(_ word: String) -> String {
        var result = "'"
        for character in word {
            switch (character, self) {
            // Inside single quotes fish knows two escapes, the others none.
            case ("'", .fish), ("\\", .fish): result += "\\" + String(character)
            case ("'", _): result += "'\\''"
            default: result.append(character)
            }
        }
        return result + "'"
    }
}
