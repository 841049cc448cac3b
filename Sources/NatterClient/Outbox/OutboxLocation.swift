public import NatterSystem
public import NatterModel

/// The place of the outbox of one account or one token: `HOME/outbox/…/`. Messages that one login queued are never
/// sent by another.
public struct OutboxLocation: Sendable, Equatable {
    public let directory: String

    var databasePath: String { directory + "/outbox.db" }
    var filesDirectory: String { directory + "/files" }
    /// Held during each change of the database, never while waiting for the network.
    var lockPath: String { directory + "/outbox.lock" }
    /// Held by the one process that delivers, so that messages are sent in order.
    var deliveryLockPath: String { directory + "/delivery.lock" }
}

extension ClientHome {
    /// The outbox of a user of a store. If the store gets a new address, the outbox stays the same, as the replica
    /// does.
    public func outbox(store: StoreID, user: String) -> OutboxLocation {
        let replica = replica(store: store, user: user)
        return OutboxLocation(directory: "\(path)/outbox/\(replica.directoryName)")
    }

    /// The outbox of a token from a file. It belongs to the token itself, so the token's account need not be known.
    public func outbox(of token: Token) -> OutboxLocation {
        OutboxLocation(directory: "\(path)/outbox/token-\(tokenAccount(token).fingerprint)")
    }

    /// The outboxes of other tokens, such as one that this token has replaced.
    public func outboxes(ofOthersThan token: Token) throws -> [OutboxLocation] {
        let (disk, directory) = (PosixDisk(), "\(path)/outbox")
        guard try disk.information(directory)?.isDirectory == true else { return [] }
        return try disk.list(directory).filter { $0.hasPrefix("token-") }
            .map { OutboxLocation(directory: "\(directory)/\($0)") }.filter { $0 != outbox(of: token) }
    }
}
