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
    case limited([Grant])

    /// What a limited token may do in one conversation.
    public struct Grant: Hashable, Sendable {
        /// `write`, or `read`.
        let right: Right
        /// The conversation's name, as the token's owner knows it.
        var name: String
        /// The conversation. A later one of the same name is another one.
        var id: ConversationID?
    }

    /// The most grants of one token.
    public static let grantLimit = 32

    public var description: String {
        guard case .limited(let grants) = self else { return "all" }
        return grants.map { ($0.right == .read ? "read:" : "send:") + $0.name }.joined(separator: ",")
    }

    /// Without ids yet. A name has no comma.
    public init?(_ text: String) {
        if text == "all" {
            self = .all
            return
        }
        var grants: [Grant] = []
        for part in text.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            let right: Right
            if part.starts(with: "send:".utf8) {
                right = .write
            } else if part.starts(with: "read:".utf8) {
                right = .read
            } else {
                return nil
            }
            guard part.count > 5, grants.count < Scope.grantLimit else { return nil }
            grants.append(Grant(right: right, name: String(Substring(part.dropFirst(5)))))
        }
        self = .limited(grants)
    }

    /// The scope as the store keeps it.
    ///
    /// - Parameter ids: those of its conversations in order, without gaps; empty if they are unknown.
    init?(_ text: String, ids: [UInt8]) {
        self.init(text)
        guard !ids.isEmpty else { return }
        var grants = self.grants
        let length = ConversationID.byteCount
        guard !grants.isEmpty, ids.count == grants.count * length else { return nil }
        for index in grants.indices {
            grants[index].id = ConversationID(bytes: Array(ids[index * length..<(index + 1) * length]))
        }
        self = .limited(grants)
    }

    var grants: [Grant] { if case .limited(let grants) = self { grants } else { [] } }

    /// The ids of its conversations in order, if there are any.
    var ids: [UInt8]? {
        let bytes = grants.flatMap { $0.id?.bytes ?? [] }
        return bytes.isEmpty ? nil : bytes
    }

    /// Whether it allows this in the conversation.
    func covers(_ right: Right, in conversation: ConversationID) -> Bool {
        self == .all || grants.contains { $0.right == right && $0.id == conversation }
    }
}

/// The account behind a request, and the token that it used.
public struct Principal: Sendable, Hashable {
    public let account: AccountID
    public let name: UserName
    public let isAdmin: Bool
    public let token: Digest
    public let scope: Scope
    public let created: Timestamp
    public let expires: Timestamp?
}
