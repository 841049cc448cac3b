internal import NatterArchive
internal import NatterCrypto
internal import NatterModel

extension ConversationID {
    /// The id of a personal conversation or of `general`. It follows from the store and the names, which never
    /// change. So two users who have not written to each other already have one, and a rebuilt index finds the same
    /// id.
    ///
    /// - Parameter users: in byte order.
    static func derived(store: StoreID, kind: ConversationKind, users: [String]) -> ConversationID {
        var bytes = store.bytes + [kind.rawValue]
        for user in users {
            bytes.append(counted: user.utf8)
        }
        let digest = Digest(of: bytes).bytes
        return ConversationID(bytes: digest.prefix(16)) ?? ConversationID(high: 0, low: 0)
    }

    /// User names in the order from which ids are derived.
    static func inOrder(_ users: [String]) -> [String] { users.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }
}

extension ConversationIdentity {
    /// A personal conversation before its first message. It has no number yet.
    static func unwritten(_ one: AccountState, _ other: AccountState, in store: StoreID) -> ConversationIdentity {
        let users = ConversationID.inOrder([one.name.text, other.name.text])
        let id = ConversationID.derived(store: store, kind: .personal, users: users)
        return ConversationIdentity(number: 0, id: id, kind: .personal, name: "", users: users)
    }
}
