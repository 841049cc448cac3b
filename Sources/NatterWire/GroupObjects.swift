/// What makes a group, or changes one; of a change each field may be missing.
public struct GroupRequest: Codable, Sendable {
    public var name: String?
    /// Whether anyone may join by themselves.
    public var open: Bool?

    public init(name: String?, open: Bool?) { (self.name, self.open) = (name, open) }
}

/// What becomes of somebody in a group.
public struct MemberRequest: Codable, Sendable {
    /// Absent: as it is.
    public var admin: Bool?
    /// Whether to refuse, with `no_such_user`, somebody who is not in the group yet, in place of adding them.
    public var existing: Bool?

    public init(admin: Bool? = nil, existing: Bool? = nil) { (self.admin, self.existing) = (admin, existing) }
}

/// Somebody in a group: a user, and whether they are an admin of it.
public struct MemberObject: Codable, Sendable, Equatable {
    public var name: String
    public var admin: Bool
    public var online: Bool
    @OrNull public var lastSeen: String?

    enum CodingKeys: String, CodingKey {
        case name, admin, online
        case lastSeen = "last_seen"
    }

    public init(name: String, admin: Bool, online: Bool, lastSeen: String?) {
        (self.name, self.admin, self.online, self.lastSeen) = (name, admin, online, lastSeen)
    }
}

public struct MemberList: Codable, Sendable {
    public var users: [MemberObject]
    public var more: Bool
    @OrNull public var next: String?

    public init(users: [MemberObject], more: Bool, next: String?) {
        (self.users, self.more, self.next) = (users, more, next)
    }
}
