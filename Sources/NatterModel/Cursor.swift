/// A place in one conversation. It says that all messages up to this one have been seen.
///
/// Clients treat it as opaque. On the wire it is the base64url of:
///
///     1 byte     version, 0x11
///     8 bytes    first half of the conversation's id, little-endian
///     LEB128     seq
///     8 bytes    first eight bytes of the hash chain at that seq, little-endian
///     4 bytes    check value
///
/// The hash makes the cursor safe. If a server was restored from a backup and then received other messages, it has
/// another hash at the same seq.
public struct MessageCursor: Hashable, Sendable, CustomStringConvertible {
    public let conversationPrefix: UInt64
    public let seq: Seq
    public let hashPrefix: UInt64

    public init(conversation: ConversationID, seq: Seq, hashPrefix: UInt64) {
        (conversationPrefix, self.seq, self.hashPrefix) = (conversation.high, seq, hashPrefix)
    }

    /// Parses a cursor. Returns nil for any text that no server of this version sends.
    public init?(_ text: some StringProtocol) {
        guard let fields = CursorText.decode(text, version: CursorText.message) else { return nil }
        let parsed: (UInt64, UInt64, UInt64)? = fields.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            guard let prefix = reader.integer(UInt64.self), let seq = reader.leb128(),
                let hash = reader.integer(UInt64.self), reader.isAtEnd
            else { return nil }
            return (prefix, seq, hash)
        }
        guard let (prefix, seq, hash) = parsed else { return nil }
        (conversationPrefix, self.seq, hashPrefix) = (prefix, Seq(seq), hash)
    }

    public var description: String { Base64URL.encode(bytes) }

    /// The bytes whose base64url is its text: at most 31.
    public var bytes: [UInt8] {
        var fields = CursorText.begin(CursorText.message)
        fields.append(littleEndian: conversationPrefix)
        LEB128.append(seq.rawValue, to: &fields)
        fields.append(littleEndian: hashPrefix)
        return CursorText.checked(fields)
    }

    public func isOf(_ conversation: ConversationID) -> Bool { conversationPrefix == conversation.high }
}

/// A place in the whole store, for `sync`. It says that everything up to this commit has been seen.
///
/// It counts what everybody does, so clients get it as a ``SealedCursor``. As text it is the base64url of:
///
///     1 byte     version, 0x21
///     8 bytes    first half of the store's id, little-endian
///     8 bytes    epoch, little-endian
///     LEB128     commit
///     LEB128     target commit           }  only while an answer that did not fit is continued
///     16 bytes   conversation's id       }
///     LEB128     seq                     }
///     4 bytes    check value
///
/// A continuation records how far the client is towards `target`. Conversations come in the order of their ids, and the
/// client has everything up to and including `seq` of `conversation`.
public struct StoreCursor: Hashable, Sendable, CustomStringConvertible {
    public struct Continuation: Hashable, Sendable {
        public let target: Commit
        public let conversation: ConversationID
        public let seq: Seq

        public init(target: Commit, conversation: ConversationID, seq: Seq) {
            (self.target, self.conversation, self.seq) = (target, conversation, seq)
        }
    }

    public let storePrefix: UInt64
    public let epoch: Epoch
    public let commit: Commit
    public let continuation: Continuation?

    public init(store: StoreID, epoch: Epoch, commit: Commit, continuation: Continuation? = nil) {
        (storePrefix, self.epoch, self.commit, self.continuation) = (store.high, epoch, commit, continuation)
    }

    /// Parses a cursor. Returns nil for any text that no server of this version sends.
    public init?(_ text: some StringProtocol) {
        guard let fields = CursorText.decode(text, version: CursorText.store) else { return nil }
        let parsed: StoreCursor? = fields.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            guard let prefix = reader.integer(UInt64.self), let epoch = reader.integer(UInt64.self),
                let commit = reader.leb128()
            else { return nil }
            var continuation: Continuation?
            if !reader.isAtEnd {
                guard let target = reader.leb128(), let id = reader.identifier(ConversationID.self),
                    let seq = reader.leb128(), reader.isAtEnd
                else { return nil }
                continuation = Continuation(target: Commit(target), conversation: id, seq: Seq(seq))
            }
            return StoreCursor(
                storePrefix: prefix, epoch: Epoch(rawValue: epoch), commit: Commit(commit), continuation: continuation)
        }
        guard let parsed else { return nil }
        self = parsed
    }

    public init(storePrefix: UInt64, epoch: Epoch, commit: Commit, continuation: Continuation?) {
        (self.storePrefix, self.epoch, self.commit, self.continuation) = (storePrefix, epoch, commit, continuation)
    }

    public var description: String {
        var fields = CursorText.begin(CursorText.store)
        fields.append(littleEndian: storePrefix)
        fields.append(littleEndian: epoch.rawValue)
        LEB128.append(commit.rawValue, to: &fields)
        if let continuation {
            LEB128.append(continuation.target.rawValue, to: &fields)
            fields += continuation.conversation.bytes
            LEB128.append(continuation.seq.rawValue, to: &fields)
        }
        return CursorText.encode(fields)
    }

    public func isOf(_ store: StoreID) -> Bool { storePrefix == store.high }
}

/// A ``StoreCursor`` as clients get it. Only its server can tell the commits in it.
///
/// Clients treat it as opaque. On the wire it is the base64url of:
///
///     1 byte     version, 0x22
///     8 bytes    first half of the store's id, little-endian
///     8 bytes    epoch, little-endian
///     rest       what the server has sealed
///     4 bytes    check value
public struct SealedCursor: Hashable, Sendable, CustomStringConvertible {
    public let storePrefix: UInt64
    public let epoch: Epoch
    public let sealed: [UInt8]

    public init(storePrefix: UInt64, epoch: Epoch, sealed: [UInt8]) {
        (self.storePrefix, self.epoch, self.sealed) = (storePrefix, epoch, sealed)
    }

    /// Parses a cursor. Returns nil for any text that no server of this version sends.
    public init?(_ text: some StringProtocol) {
        guard let fields = CursorText.decode(text, version: CursorText.sealed) else { return nil }
        let parsed: (UInt64, UInt64)? = fields.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            guard let prefix = reader.integer(UInt64.self), let epoch = reader.integer(UInt64.self) else { return nil }
            return (prefix, epoch)
        }
        guard let (prefix, epoch) = parsed else { return nil }
        self.init(storePrefix: prefix, epoch: Epoch(rawValue: epoch), sealed: Array(fields.dropFirst(16)))
    }

    public var description: String {
        var fields = CursorText.begin(CursorText.sealed)
        fields.append(littleEndian: storePrefix)
        fields.append(littleEndian: epoch.rawValue)
        return CursorText.encode(fields + sealed)
    }
}

/// The encoding of all cursors: base64url of a version byte, the fields, and a check value over both. The check value,
/// a 32-bit FNV-1a, detects a truncated or mistyped cursor.
private enum CursorText {
    static let message: UInt8 = 0x11
    static let store: UInt8 = 0x21
    static let sealed: UInt8 = 0x22
    private static let checkBytes = 4
    private static let longestText = 128

    /// The bytes to which the fields are appended, with room for those of most cursors.
    static func begin(_ version: UInt8) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(64)
        bytes.append(version)
        return bytes
    }

    /// - Parameter fields: behind their version.
    static func encode(_ fields: consuming [UInt8]) -> String { Base64URL.encode(checked(fields)) }

    /// The fields with their check value.
    static func checked(_ fields: consuming [UInt8]) -> [UInt8] {
        fields.append(littleEndian: check(fields))
        return fields
    }

    static func decode(_ text: some StringProtocol, version: UInt8) -> [UInt8]? {
        guard text.utf8.count <= longestText, let bytes = Base64URL.decode(String(text)),
            bytes.count > 1 + checkBytes, bytes[0] == version
        else { return nil }
        let checked = bytes.dropLast(checkBytes)
        var expected: [UInt8] = []
        expected.append(littleEndian: check(checked))
        return bytes.suffix(checkBytes) == expected[...] ? Array(checked.dropFirst()) : nil
    }

    private static func check(_ bytes: some Sequence<UInt8>) -> UInt32 {
        bytes.reduce(0x811C_9DC5) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
    }
}
