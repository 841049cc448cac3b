public import NatterLanguage

/// What is wrong with a name. The phrase follows "the name '…'".
public enum NameError: Error, Equatable, PhraseConvertible {
    case empty
    case tooLong
    case forbiddenCharacter(String)
    case forbiddenFirstCharacter(String)
    case reserved

    public var phrase: Phrase {
        switch self {
        case .empty: "is empty"
        case .tooLong: "is longer than 64 bytes"
        case .forbiddenCharacter(let what): "may not contain \(what)"
        case .forbiddenFirstCharacter(let what): "may not begin with \(what)"
        case .reserved: "is reserved"
        }
    }
}

/// The one rule for names of users and groups.
///
/// A name is stored in Unicode normalization form C and compared by its case key. The server normalizes every name that it
/// receives (`Normalization.formC` in NatterServer, because that needs Foundation, which `natter` does without); this type
/// does the rest.
public enum NameRule {
    public static let maximumBytes = 64
    /// The conversation that is open to everyone.
    public static let general = "general"
    /// `@me` is the reader's own notebook.
    public static let me = "me"

    /// - Parameter name: in normalization form C.
    public static func check(_ name: String) throws(NameError) {
        guard let first = name.unicodeScalars.first else { throw .empty }
        guard name.utf8.count <= maximumBytes else { throw .tooLong }
        for scalar in name.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control: throw .forbiddenCharacter("control characters")
            case .format: throw .forbiddenCharacter("format characters")
            default: break
            }
            if scalar.properties.isWhitespace { throw .forbiddenCharacter("white space") }
            if scalar == "/" || scalar == "," { throw .forbiddenCharacter("'\(scalar)'") }
        }
        if "-@#:.\"'`\\".unicodeScalars.contains(first) { throw .forbiddenFirstCharacter("'\(first)'") }
        if isGeneral(name) || isMe(name) { throw .reserved }
    }

    /// Equal for names that differ only in case. Upper-casing and then lower-casing folds pairs that either step alone
    /// leaves apart (`ß` and `SS`, `ς` and `σ`). Compare keys byte by byte.
    public static func caseKey(_ name: String) -> String { name.uppercased().lowercased() }

    public static func isGeneral(_ name: String) -> Bool { isSame(name, general) }
    public static func isMe(_ name: String) -> Bool { isSame(name, me) }

    /// No letter outside ASCII folds to a letter of either word, so another length means another name. This runs for each
    /// message that is sent.
    private static func isSame(_ name: String, _ word: String) -> Bool {
        name.utf8.count == word.utf8.count && caseKey(name) == word
    }
}

/// The name of an account; it never changes and is never given to another.
public struct UserName: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let text: String

    /// - Parameter text: in normalization form C.
    public init(_ text: String) throws(NameError) {
        try NameRule.check(text)
        self.text = text
    }

    /// For a name that was checked before it was stored.
    public init(trusted text: String) { self.text = text }

    public var caseKey: String { NameRule.caseKey(text) }
    public var description: String { text }
    public static func < (left: UserName, right: UserName) -> Bool { left.text < right.text }
}
