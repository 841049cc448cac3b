internal import NatterHTTP
public import NatterWire

/// Requests about groups and who is in them.
extension ServerAPI {
    /// Makes a group; who makes it is its first admin.
    public func createGroup(_ name: String, isOpen: Bool) throws(APIError) -> ConversationObject {
        try decode(try send(.post, "/v1/groups", WireJSON.encode(GroupRequest(name: name, open: isOpen ? true : nil))))
    }

    /// Gives a group another name.
    public func renameGroup(_ name: String, to newName: String) throws(APIError) -> ConversationObject {
        let body = WireJSON.encode(GroupRequest(name: newName, open: nil))
        return try decode(try send(.patch, ServerAPI.path(ofGroup: name), body))
    }

    /// Takes a group away from all who are in it.
    public func deleteGroup(_ name: String) throws(APIError) {
        _ = try perform(HTTPRequest(.delete, ServerAPI.path(ofGroup: name)))
    }

    /// Who is in a group, by name.
    public func members(ofGroup name: String) throws(APIError) -> [MemberObject] {
        let list: MemberList = try decode(try get(ServerAPI.path(ofGroup: name) + "/members"))
        return list.users
    }

    /// Puts somebody into a group, or oneself into an open one.
    public func addMember(_ user: String, toGroup name: String) throws(APIError) {
        _ = try send(.put, ServerAPI.path(ofGroup: name, member: user))
    }

    /// Makes somebody who is in a group an admin of it, or no longer one.
    ///
    /// - Throws: `no_such_user` for one who is not in it.
    public func setAdmin(_ isAdmin: Bool, _ user: String, ofGroup name: String) throws(APIError) {
        let body = WireJSON.encode(MemberRequest(admin: isAdmin, existing: true))
        _ = try send(.put, ServerAPI.path(ofGroup: name, member: user), body)
    }

    /// Takes somebody out of a group: an admin others, everyone themselves.
    public func removeMember(_ user: String, fromGroup name: String) throws(APIError) {
        _ = try perform(HTTPRequest(.delete, ServerAPI.path(ofGroup: name, member: user)))
    }

    private static func path(ofGroup name: String) -> String { "/v1/groups/" + HTTPRequest.encodeSegment(name) }

    private static func path(ofGroup name: String, member: String) -> String {
        path(ofGroup: name) + "/members/" + HTTPRequest.encodeSegment(member)
    }
}
