public import NatterLanguage

/// Why what a home keeps of an account can't be used.
public enum ProfileError: Error, Equatable, PhraseConvertible {
    case notLoggedIn(profile: String)
    /// A token, or its account, that others could have read or changed.
    case unsafe(path: String, problem: Phrase, remedy: Phrase)
    case badName(String)
    case malformed(path: String, problem: Phrase)
    /// Another command holds the profile for longer than one that goes well.
    case locked(path: String)

    public var phrase: Phrase {
        switch self {
        case .notLoggedIn(let profile):
            return profile == Profile.defaultName
                ? "not logged in; use 'natter login NAME', or 'natter register NAME' for a new account"
                : "not logged in in the profile '\(profile)'; use 'natter login NAME', or 'natter register NAME' for a new "
                    + "account"
        case .unsafe(let path, let problem, let remedy): return "'\(path)' \(problem); \(remedy)"
        case .badName(let name):
            return "'\(name)' cannot be the name of a profile; use 1 to 64 letters, digits, '.', '_' and '-'"
        case .malformed(let path, let problem): return "'\(path)' \(problem); use 'natter login NAME' again"
        case .locked(let path): return "'\(path)' is held by another command; try again"
        }
    }
}
