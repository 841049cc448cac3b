/// The field of a JSON object that has a list in it.
public protocol ListField: Sendable {
    static var name: StaticString { get }
}

public enum ListFields {
    public enum Conversations: ListField { public static let name: StaticString = "conversations" }
    public enum Groups: ListField { public static let name: StaticString = "groups" }
    public enum Invites: ListField { public static let name: StaticString = "invites" }
    public enum Messages: ListField { public static let name: StaticString = "messages" }
    public enum Sessions: ListField { public static let name: StaticString = "sessions" }
    public enum Tokens: ListField { public static let name: StaticString = "tokens" }
    public enum Users: ListField { public static let name: StaticString = "users" }
}

public typealias AccountList = ListAnswer<AdminUserObject, ListFields.Users>
public typealias ConversationList = ListAnswer<ConversationObject, ListFields.Conversations>
public typealias GroupList = ListAnswer<GroupObject, ListFields.Groups>
public typealias InviteList = ListAnswer<InviteObject, ListFields.Invites>
public typealias MemberList = ListAnswer<MemberObject, ListFields.Users>
public typealias SearchList = ListAnswer<MessageObject, ListFields.Messages>
public typealias SessionList = ListAnswer<TokenObject, ListFields.Sessions>
public typealias TokenList = ListAnswer<TokenObject, ListFields.Tokens>
public typealias UserList = ListAnswer<UserObject, ListFields.Users>

/// A list, or a page of one: `{"users":[…],"more":…,"next":…}`.
public struct ListAnswer<Item: Codable & Sendable, Field: ListField>: Codable, Sendable {
    public var items: [Item]
    public var more: Bool
    /// Where the next page begins.
    public var next: String?

    public init(_ items: [Item], more: Bool, next: String?) {
        (self.items, self.more, self.next) = (items, more, next)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: ListKey.self)
        items = try container.decode([Item].self, forKey: ListKey(Field.name))
        more = try container.decodeIfPresent(Bool.self, forKey: ListKey("more")) ?? false
        next = try container.decodeIfPresent(String.self, forKey: ListKey("next"))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: ListKey.self)
        try container.encode(items, forKey: ListKey(Field.name))
        try container.encode(more, forKey: ListKey("more"))
        try container.encode(next, forKey: ListKey("next"))
    }
}

private struct ListKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ name: StaticString) { stringValue = "\(name)" }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}
