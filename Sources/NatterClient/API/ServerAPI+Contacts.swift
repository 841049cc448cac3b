internal import NatterHTTP
public import NatterWire

/// Requests about whom one knows, and whom one does not want to hear from.
extension ServerAPI {
    /// The user's contacts, by name.
    public func contacts() throws(APIError) -> [UserObject] {
        let list: UserList = try decode(try get("/v1/contacts"))
        return list.users
    }

    /// Adds a contact. One that is there already stays.
    public func addContact(_ user: String) throws(APIError) { _ = try send(.put, path("contacts", user)) }

    /// Takes a contact away. One that is not there is no error.
    public func removeContact(_ user: String) throws(APIError) {
        _ = try perform(HTTPRequest(.delete, path("contacts", user)))
    }

    /// Whose personal messages the user does not take, by name.
    public func blocked() throws(APIError) -> [UserObject] {
        let list: UserList = try decode(try get("/v1/blocks"))
        return list.users
    }

    /// Takes no more personal messages from somebody.
    public func block(_ user: String) throws(APIError) { _ = try send(.put, path("blocks", user)) }

    /// Takes somebody's personal messages again.
    public func unblock(_ user: String) throws(APIError) { _ = try perform(HTTPRequest(.delete, path("blocks", user))) }

    private func path(_ list: String, _ user: String) -> String { "/v1/\(list)/\(HTTPRequest.encodeSegment(user))" }
}
