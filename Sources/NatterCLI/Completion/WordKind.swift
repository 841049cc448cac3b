/// What a shell can offer for a word that is no command and no option.
public enum WordKind: Equatable, Sendable {
    /// Nothing: only the user knows it.
    case text
    case file
    case directory
    /// The name of a program.
    case command
    case oneOf([String])
    /// Names that the program tells by itself; see `Completion.namesCommand`.
    case names(String)

    /// The usual meaning of a placeholder: `FILE`, `DIR`, `CMD`, `USER`, `CONV`.
    public static func usual(_ placeholder: String) -> WordKind {
        switch placeholder {
        case "F", "FILE": .file
        case "DIR": .directory
        case "CMD": .command
        case "USER": .names("users")
        case "CONV": .names("conversations")
        case "GROUP": .names("groups")
        default: .text
        }
    }

    /// How the scripts name it: one word, without a character that a shell knows.
    var code: String {
        switch self {
        case .text: "text"
        case .file: "file"
        case .directory: "directory"
        case .command: "command"
        case .oneOf(let words): "one:" + words.joined(separator: ":")
        case .names(let what): "names:" + what
        }
    }
}
