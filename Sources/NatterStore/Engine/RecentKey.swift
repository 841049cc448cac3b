internal import NatterModel

/// An idempotency key in the form used for look-ups.
struct RecentKey: Hashable, Sendable {
    let account: Int64
    /// The time in the key, in 256 ms, if it is a UUIDv7; else 0. So keys of one day are neighbours in a table.
    let time: UInt64
    /// A hash of the whole key.
    let hash: UInt64
}

/// The message that a key was used for, and the hash of its content.
struct FoundKey: Equatable, Sendable {
    let conversation: Int64
    let seq: Seq
    let content: UInt64

    /// Stands for the hash of an erased message's content.
    static let erasedContent: UInt64 = 0

    var withoutContent: FoundKey {
        FoundKey(conversation: conversation, seq: seq, content: FoundKey.erasedContent)
    }
}

/// A key, its message, and the commit of that message.
struct MovedKey: Sendable {
    let key: RecentKey
    var found: FoundKey
    let commit: Commit
}
