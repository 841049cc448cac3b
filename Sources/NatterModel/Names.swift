/// Why a name is refused. The phrase follows "the name '…'".
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

extension String {
    /// The word to compare with known words: the text, or, if it is longer than any of them, one that is none of them.
    ///
    /// To compare two texts, Swift normalizes them, which takes time with the square of a run of combining marks.
    public var asWord: String { utf8.count <= 128 ? self : "…" }
}

/// The rule for names of users and groups.
///
/// A name is stored in Unicode normalization form C and compared by its case key. The server normalizes every name that
/// it receives with ``Normalization/formC(_:)``. This type does the rest.
public enum NameRule {
    public static let maximumBytes = 64
    /// Bytes that a name may have before it is normalized. Normalization form C makes a text at most 3.5 times shorter, so
    /// nothing longer is a name.
    public static let maximumBytesAsSent = 4 * maximumBytes
    public static let forbiddenFirstCharacters = "-@#:.\"'`\\".unicodeScalars
    /// The conversation that is open to everyone.
    public static let general = "general"
    /// `@me` is the reader's notebook.
    public static let me = "me"

    /// Throws unless somebody may take this name now. Older versions allowed characters that nobody can see or tell apart, so
    /// names that exist are only held to ``checkForm(_:)``.
    ///
    /// - Parameter name: in normalization form C.
    public static func check(_ name: String) throws(NameError) {
        try checkForm(name)
        for scalar in name.unicodeScalars { if let error = lookalike(scalar) { throw error } }
        // In '@NAME', the '@' would be a part of another character. Nobody could open such a conversation.
        if !("@" + name).hasPrefix("@") { throw .forbiddenFirstCharacter("a combining mark") }
    }

    /// Why nobody may take a name with this character any more; nil if they may. Such characters are escaped in names that
    /// exist.
    public static func lookalike(_ scalar: Unicode.Scalar) -> NameError? {
        let properties = scalar.properties
        // U+2800 is a braille cell without dots. Its category says that it is seen.
        if properties.isDefaultIgnorableCodePoint || scalar == "\u{2800}" {
            return .forbiddenCharacter("invisible characters")
        }
        return switch properties.generalCategory {
        case .unassigned: .forbiddenCharacter("characters that Unicode does not assign")
        case .privateUse: .forbiddenCharacter("private-use characters")
        default: nil
        }
    }

    /// Throws unless a server of any version may have given this name to somebody.
    ///
    /// - Parameter name: in normalization form C.
    public static func checkForm(_ name: String) throws(NameError) {
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
        if forbiddenFirstCharacters.contains(first) { throw .forbiddenFirstCharacter("'\(first)'") }
        if isGeneral(name) || isMe(name) { throw .reserved }
    }

    /// A key that is equal for names that differ only in case. Upper-casing and then lower-casing folds pairs that
    /// either step alone keeps apart (`ß` and `SS`, `ς` and `σ`), and only lower-casing before them folds `ẞ` and `ß`. That may
    /// take a letter apart (`U+0390`), so the key is put into normalization form C again. Compare keys byte by byte.
    public static func caseKey(_ name: String) -> String {
        if name.utf8.allSatisfy({ $0 < 0x80 }) { return name.lowercased() }
        return Normalization.normalized(name.lowercased().uppercased().lowercased())
    }

    public static func isGeneral(_ name: String) -> Bool { isSame(name, general) }
    public static func isMe(_ name: String) -> Bool { isSame(name, me) }

    /// Whether a conversation's name is that of a group. A group may be renamed, and another one may take its name.
    public static func isGroup(_ conversation: String) -> Bool {
        !conversation.hasPrefix("@") && !isGeneral(conversation)
    }

    /// Compares the lengths first, because this runs for each message that is sent. No letter outside ASCII folds to a
    /// letter of either word, so another length means another name.
    private static func isSame(_ name: String, _ word: String) -> Bool {
        name.utf8.count == word.utf8.count && caseKey(name) == word
    }
}

/// The name of an account. It never changes, and no other account ever gets it.
public struct UserName: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let text: String

    /// - Parameter text: in normalization form C.
    public init(_ text: String) throws(NameError) {
        try NameRule.check(text)
        self.text = text
    }

    /// A name that was checked before it was stored.
    public init(trusted text: String) { self.text = text }

    public var caseKey: String { NameRule.caseKey(text) }
    public var description: String { text }
    public static func < (left: UserName, right: UserName) -> Bool { left.text < right.text }
}

extension String {
    /// Whether it has a control character, with which it would not be one line of a list, a log or a settings file.
    public var hasControlCharacter: Bool { unicodeScalars.contains { $0.properties.generalCategory == .control } }
}
