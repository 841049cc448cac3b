public import NatterCrypto
public import NatterModel

/// The directory in which natter keeps profiles and replicas.
public struct ClientHome: Sendable {
    public let path: String

    /// - Parameter path: need not be there yet.
    public init(path: String) { self.path = path }

    public func profile(_ name: String) throws(ProfileError) -> Profile {
        guard Profile.isName(name) else { throw .badName(name) }
        return Profile(name: name, directory: "\(path)/profiles/\(name)")
    }

    /// The replica of a user of a store. A new address of the store, or another profile, leads to the same one; another
    /// user never does.
    public func replica(store: StoreID, user: String) -> ReplicaLocation {
        ReplicaLocation(home: path, store: store, user: user)
    }

    /// What is known of a token that was given as a file: whose it is, so that it need not be asked each time.
    public func tokenAccount(_ token: Token) -> TokenAccount {
        TokenAccount(directory: "\(path)/tokens", fingerprint: Hex.encode(token.digest.bytes.prefix(16)))
    }
}
