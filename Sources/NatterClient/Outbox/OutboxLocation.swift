public import NatterCrypto
public import NatterModel

/// Where the messages wait that one account, or one token, has to send: `HOME/outbox/…/`. What one login has queued is
/// never sent by another.
public struct OutboxLocation: Sendable, Equatable {
    public let directory: String

    var databasePath: String { directory + "/outbox.db" }
    /// Held around each change of the database, never while waiting for the network.
    var lockPath: String { directory + "/outbox.lock" }
    /// Held by the one process that delivers, so that what waits goes out in order.
    var deliveryLockPath: String { directory + "/delivery.lock" }
}

extension ClientHome {
    /// The outbox of a user of a store. As with the replica, a new address of the store leads to the same one.
    public func outbox(store: StoreID, user: String) -> OutboxLocation {
        let replica = replica(store: store, user: user)
        return OutboxLocation(directory: "\(path)/outbox/\(replica.directoryName)")
    }

    /// The outbox of a token that was given as a file: whose it is need not be known, and what it may do is its own.
    public func outbox(of token: Token) -> OutboxLocation {
        OutboxLocation(directory: "\(path)/outbox/token-\(tokenAccount(token).fingerprint)")
    }
}
