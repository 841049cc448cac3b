public import NatterLanguage

/// What is wrong with a name, in words that follow "the name '…'".
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

/// The one rule for the names of users and of groups.
public enum NameRule {
    public static let maximumBytes = 64

    /// - Parameter name: already in Unicode normalization form C; the server sees to that.
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
        let key = caseKey(name)
        if key == "general" || key == "me" { throw .reserved }
    }

    /// Equal for names that differ only in case: upper-cased, then lower-cased, which folds what either alone leaves
    /// apart (`ß` and `SS`, `ς` and `σ`). Compare keys byte by byte.
    public static func caseKey(_ name: String) -> String { name.uppercased().lowercased() }
}

/// The name of an account; it never changes and is never given to another.
public struct UserName: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let text: String

    /// - Parameter text: in normalization form C.
    public init(_ text: String) throws(NameError) {
        try NameRule.check(text)
        self.text = text
    }

    /// For names that were checked when they were stored.
    public init(trusted text: String) { self.text = text }

    public var caseKey: String { NameRule.caseKey(text) }
    public var description: String { text }
    public static func < (left: UserName, right: UserName) -> Bool { left.text < right.text }
}
