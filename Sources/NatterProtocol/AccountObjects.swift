public import NatterModel

/// The answer to `register` and `login`. The token is absent if it was set as a cookie.
public struct SessionAnswer: Codable, Sendable {
    public var name: String
    public var token: String?
    public init(name: String, token: String?) { (self.name, self.token) = (name, token) }
}

/// The answer to the question whether a name can be registered.
public struct NameAnswer: Codable, Sendable {
    public var name: String
    public var free: Bool
    public init(name: String, free: Bool) { (self.name, self.free) = (name, free) }
}

public struct WhoamiAnswer: Codable, Sendable, Equatable {
    public var name: String
    public var admin: Bool
    public var scope: String
    public var created: String
    @OrNull public var expires: String?

    public init(name: String, admin: Bool, scope: String, created: String, expires: String?) {
        (self.name, self.admin, self.scope, self.created, self.expires) = (name, admin, scope, created, expires)
    }
}

public struct ReadAnswer: Codable, Sendable {
    public var read: UInt64
    public init(read: UInt64) { self.read = read }
}

public struct HealthAnswer: Codable, Sendable {
    public var status: String
    /// `stopped`, or absent while the index is kept up.
    public var search: String?
    /// `low`, or absent while there is ample space.
    public var space: String?

    public init(status: String, search: String?, space: String?) {
        (self.status, self.search, self.space) = (status, search, space)
    }
}

/// A user in the API.
public struct UserObject: Codable, Sendable, Equatable {
    public var name: String
    public var online: Bool
    /// RFC 3339, or `null` if the user was never online.
    @OrNull public var lastSeen: String?
    /// The name that the user chose to be shown.
    @OrNull public var display: String?

    enum CodingKeys: String, CodingKey {
        case name, online, display
        case lastSeen = "last_seen"
    }

    public init(name: String, online: Bool, lastSeen: Timestamp?, display: String?) {
        (self.name, self.online, self.lastSeen, self.display) = (name, online, lastSeen?.rfc3339, display)
    }
}

/// A group in the list of those that a user is in or may join.
public struct GroupObject: Codable, Sendable, Equatable {
    public var name: String
    public var id: String
    public var open: Bool
    /// Whether the asker is a member, and whether an admin of it.
    public var member: Bool
    public var admin: Bool
    /// The user who added the asker; nil for a group that the asker has joined or created.
    public var addedBy: String?
    /// How many members it has.
    public var members: Int
    /// How long its messages are kept, such as `90d`; nil if that is for ever.
    public var retain: String?

    enum CodingKeys: String, CodingKey {
        case name, id, open, member, admin, members, retain
        case addedBy = "added_by"
    }

    public init(
        name: String, id: String, open: Bool, member: Bool, admin: Bool, addedBy: String? = nil, members: Int,
        retain: String? = nil
    ) {
        (self.name, self.id, self.open, self.member) = (name, id, open, member)
        (self.admin, self.addedBy, self.members, self.retain) = (admin, addedBy, members, retain)
    }
}

/// A member of a group.
public struct MemberObject: Codable, Sendable, Equatable {
    public var name: String
    public var admin: Bool
    public var online: Bool
    @OrNull public var lastSeen: String?
    @OrNull public var display: String?

    enum CodingKeys: String, CodingKey {
        case name, admin, online, display
        case lastSeen = "last_seen"
    }

    public init(name: String, admin: Bool, online: Bool, lastSeen: String?, display: String?) {
        (self.name, self.admin, self.online) = (name, admin, online)
        (self.lastSeen, self.display) = (lastSeen, display)
    }
}
