internal import NatterSystem
public import NatterModel

/// Hides what a sync cursor counts: the commits of the whole server, so also those of conversations that its reader may not
/// see.
///
/// The seal is a tag of 8 bytes, HMAC-SHA256 of all fields, and the fields, XORed with HMAC-SHA256 of the tag. So equal
/// cursors are equal texts, and any other difference shows nothing. The key is made of the store's secret, which outlives
/// the database (`StoreSecret`).
struct CursorSeal: Sendable {
    private static let tagBytes = 8
    private static let placeBytes = 8
    private static let continuationBytes = 32

    private let tagHash: HMAC
    private let maskHash: HMAC

    init(_ secret: ShortHashKey) {
        tagHash = HMAC(key: Digest(of: secret.bytes + Array("cursor tag".utf8)).bytes)
        maskHash = HMAC(key: Digest(of: secret.bytes + Array("cursor mask".utf8)).bytes)
    }

    func seal(_ cursor: StoreCursor) -> SealedCursor {
        var fields: [UInt8] = []
        fields.append(littleEndian: cursor.commit.rawValue)
        if let continuation = cursor.continuation {
            fields.append(littleEndian: continuation.target.rawValue)
            fields += continuation.conversation.bytes
            fields.append(littleEndian: continuation.seq.rawValue)
        }
        let tag = tag(of: fields, in: cursor.epoch)
        return SealedCursor(
            storePrefix: cursor.storePrefix, epoch: cursor.epoch, sealed: tag + masked(fields[...], by: tag))
    }

    /// Returns nil if another secret has sealed it.
    func open(_ cursor: SealedCursor) -> StoreCursor? {
        let tag = Array(cursor.sealed.prefix(CursorSeal.tagBytes))
        let fields = masked(cursor.sealed.dropFirst(CursorSeal.tagBytes), by: tag)
        guard
            [CursorSeal.placeBytes, CursorSeal.placeBytes + CursorSeal.continuationBytes].contains(fields.count),
            tag == self.tag(of: fields, in: cursor.epoch)
        else { return nil }
        return fields.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            guard let commit = reader.integer(UInt64.self) else { return nil }
            var continuation: StoreCursor.Continuation?
            if !reader.isAtEnd {
                guard let target = reader.integer(UInt64.self), let id = reader.identifier(ConversationID.self),
                    let seq = reader.integer(UInt64.self)
                else { return nil }
                continuation = StoreCursor.Continuation(target: Commit(target), conversation: id, seq: Seq(seq))
            }
            return StoreCursor(
                storePrefix: cursor.storePrefix, epoch: cursor.epoch, commit: Commit(commit), continuation: continuation
            )
        }
    }

    private func tag(of fields: [UInt8], in epoch: Epoch) -> [UInt8] {
        var bytes = fields
        bytes.append(littleEndian: epoch.rawValue)
        return Array(tagHash.sha256(bytes).prefix(CursorSeal.tagBytes))
    }

    private func masked(_ bytes: ArraySlice<UInt8>, by tag: [UInt8]) -> [UInt8] {
        var mask = maskHash.sha256(tag + [0])
        // Only a cursor in the middle of an answer is longer.
        if bytes.count > mask.count { mask += maskHash.sha256(tag + [1]) }
        return zip(bytes, mask).map { $0 ^ $1 }
    }
}

extension Store {
    /// A cursor of sync as clients get it.
    public func text(of cursor: StoreCursor) -> String { cursorSeal.seal(cursor).description }

    /// The cursor that a client has sent; nil if it is none.
    ///
    /// - Throws: `cursorExpired` if only an earlier version, or another secret, can have made it. The client then compares
    ///   its heads with the server's, and goes on from there.
    public func cursor(from text: String) throws(StoreError) -> StoreCursor? {
        if let sealed = SealedCursor(text) {
            guard sealed.storePrefix == id.high else { throw .badCursor("the cursor is of another store") }
            if let cursor = cursorSeal.open(sealed) { return cursor }
        } else if StoreCursor(text) == nil {
            return nil
        }
        throw .cursorExpired(
            "the cursor is of an earlier version of the server, or of a store that was made again; compare the head and hash of each conversation with yours, and sync without a cursor"
        )
    }
}
