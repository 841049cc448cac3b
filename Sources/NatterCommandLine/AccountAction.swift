public import NatterModel

/// What an admin does to an account with 'natter admin user', and the operator of a server with 'natterd user'.
public enum AccountAction: String, Sendable {
    case add, passwd, disable, enable, promote, demote

    public var summary: Phrase {
        switch self {
        case .add: "create an account"
        case .passwd: "give an account another password"
        case .disable: "end an account's sessions and tokens, and refuse its logins"
        case .enable: "let a disabled account log in again"
        case .promote: "make an account an admin of the server"
        case .demote: "make an account an ordinary user again"
        }
    }

    /// What another password ends.
    public static let passwdEnds: Phrase =
        "It ends the account's sessions and its tokens of scope 'all'. Tokens of other scopes stay valid."

    /// What to say when it is done.
    public func done(_ name: String) -> Phrase {
        switch self {
        case .add: "added '\(name)'"
        case .passwd: "'\(name)' has another password and is logged out everywhere"
        case .disable: "'\(name)' is disabled and logged out everywhere"
        case .enable: "'\(name)' is enabled and can log in"
        case .promote: "'\(name)' is an admin of the server"
        case .demote: "'\(name)' is no longer an admin of the server"
        }
    }

    /// Whether the account is disabled behind it; nil if that stays.
    public var disables: Bool? { self == .disable ? true : self == .enable ? false : nil }
    /// Whether the account is an admin behind it; nil if that stays.
    public var promotes: Bool? { self == .promote ? true : self == .demote ? false : nil }
}
