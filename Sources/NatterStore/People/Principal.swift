public import NatterSystem
public import NatterModel

/// The server's own number of an account.
public struct AccountID: RawRepresentable, Hashable, Sendable, Comparable {
    public let rawValue: Int64
    public init(rawValue: Int64) { self.rawValue = rawValue }
    public static func < (left: AccountID, right: AccountID) -> Bool { left.rawValue < right.rawValue }
}

/// The operations that a token allows.
public enum Scope: Hashable, Sendable, CustomStringConvertible {
    case all
    case send(String)
    case read(String)

    public var description: String {
        switch self {
        case .all: "all"
        case .send(let conversation): "send:\(conversation)"
        case .read(let conversation): "read:\(conversation)"
        }
    }

    /// The name of the conversation that it is limited to.
    var conversation: String? {
        switch self {
        case .all: nil
        case .send(let name), .read(let name): name
        }
    }

    /// The scope for a conversation that has another name now.
    func renamed(_ name: String) -> Scope {
        switch self {
        case .all: .all
        case .send: .send(name)
        case .read: .read(name)
        }
    }

    public init?(_ text: String) {
        if text == "all" {
            self = .all
        } else if text.hasPrefix("send:"), text.utf8.count > 5 {
            self = .send(String(text.dropFirst(5)))
        } else if text.hasPrefix("read:"), text.utf8.count > 5 {
            self = .read(String(text.dropFirst(5)))
        } else {
            return nil
        }
    }
}

/// The account behind a request, and the token that it used.
public struct Principal: Sendable, Hashable {
    public let account: AccountID
    public let name: UserName
    public let isAdmin: Bool
    public let token: Digest
    public let scope: Scope
    /// The conversation that the scope names.
    public let scopeID: ConversationID?
    public let created: Timestamp
    public let expires: Timestamp?
}
