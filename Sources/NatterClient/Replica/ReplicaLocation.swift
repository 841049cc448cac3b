public import NatterModel
internal import NatterCrypto
internal import NatterSystem

/// Where the replica of one user of one store lies: `HOME/replicas/<store id>-<16 hex of the user's name>/`.
public struct ReplicaLocation: Sendable, Equatable {
    public let directory: String
    public let store: StoreID
    /// The account's name, as the server writes it.
    public let user: String

    public init(home: String, store: StoreID, user: String) {
        self.store = store
        self.user = user
        // A hash, because a name may contain characters that mean something to the file system.
        let hash = Hex.encode(Digest(of: Array(user.utf8)).bytes.prefix(8))
        directory = "\(home)/replicas/\(store)-\(hash)"
    }

    /// The directory's name, which is unique to store and user.
    var directoryName: String { Path.name(of: directory) }

    public var databasePath: String { directory + "/replica.db" }
    /// The lock around every change in the directory. It is never held while waiting for the network.
    public var lockPath: String { directory + "/replica.lock" }
    public var searchPath: String { directory + "/search.db" }
    /// The time of the last complete sync, as a line of text.
    var lastSyncPath: String { directory + "/last-sync" }
    /// The number of the last commit that is known to be durable, as a line of text.
    var durableCommitPath: String { directory + "/last-commit" }
    var quarantineDirectory: String { directory + "/quarantine" }
    var divergedDirectory: String { directory + "/diverged" }
}
