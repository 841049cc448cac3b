/// Why what a home keeps of an account can't be used.
public enum ProfileError: Error, Equatable, CustomStringConvertible {
    case notLoggedIn(profile: String)
    /// A token, or its account, that others could have read or changed.
    case unsafe(path: String, problem: String, remedy: String)
    case badName(String)
    case malformed(path: String, problem: String)
    /// Another command holds the profile for longer than one that goes well.
    case locked(path: String)

    public var description: String {
        switch self {
        case .notLoggedIn(let profile):
            let which = profile == Profile.defaultName ? "" : " in the profile '\(profile)'"
            return "not logged in\(which); use 'natter login NAME', or 'natter register NAME' for a new account"
        case .unsafe(let path, let problem, let remedy): return "'\(path)' \(problem); \(remedy)"
        case .badName(let name):
            return "'\(name)' cannot be the name of a profile; use 1 to 64 letters, digits, '.', '_' and '-'"
        case .malformed(let path, let problem): return "'\(path)' \(problem); use 'natter login NAME' again"
        case .locked(let path): return "'\(path)' is held by another command; try again"
        }
    }
}
