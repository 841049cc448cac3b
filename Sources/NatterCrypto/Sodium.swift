internal import CSodium

/// libsodium must be told to choose its code for this processor and to open its source of randomness, once.
enum Sodium {
    static let isReady: Bool = sodium_init() >= 0

    /// Every door of this room passes here. libsodium fails to start only where the system gives no random bytes; nothing
    /// that needs a secret may go on then.
    static func start() {
        precondition(isReady, "libsodium found no source of random bytes")
    }
}
