internal import CSodium
public import NatterModel

/// BLAKE2b-256 of bytes that come piece by piece.
public final class StreamingDigest {
    // Allocated, because the state must lie at a multiple of 64 bytes.
    private let state: UnsafeMutableRawPointer

    public init() {
        Sodium.start()
        state = .allocate(byteCount: crypto_generichash_statebytes(), alignment: 64)
        _ = crypto_generichash_init(OpaquePointer(state), nil, 0, Digest.byteCount)
    }

    deinit {
        sodium_memzero(state, crypto_generichash_statebytes())
        state.deallocate()
    }

    public func add(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.bindMemory(to: UInt8.self).baseAddress else { return }
        _ = crypto_generichash_update(OpaquePointer(state), start, UInt64(bytes.count))
    }

    public func add(_ bytes: [UInt8]) { bytes.withUnsafeBytes { add($0) } }

    /// Adds the first bytes of a file.
    ///
    /// - Throws: also if it has fewer.
    public func add(_ file: any DiskFile, upTo end: UInt64) throws(DiskError) {
        var offset: UInt64 = 0
        while offset < end {
            let piece = try file.read(count: Int(clamping: min(end - offset, 1 << 20)), at: offset)
            guard !piece.isEmpty else { throw DiskError(code: .ioError, operation: "read", path: file.path) }
            add(piece)
            offset += UInt64(piece.count)
        }
    }

    /// The digest of all bytes. Call it once, and add nothing afterwards.
    public func finish() -> [UInt8] {
        var output = [UInt8](repeating: 0, count: Digest.byteCount)
        _ = crypto_generichash_final(OpaquePointer(state), &output, Digest.byteCount)
        return output
    }
}

extension DiskFile {
    /// Whether these are the bytes that a message names.
    public func isWhole(_ record: FileRecord) throws(DiskError) -> Bool {
        guard try size() == record.size else { return false }
        let digest = StreamingDigest()
        digest.add(record.key)
        try digest.add(self, upTo: record.size)
        return digest.finish() == record.id.bytes
    }
}

/// Seals what the server gives to a client and takes back unread and unchanged: XSalsa20 and Poly1305, with a random nonce.
public struct SecretBox: Sendable {
    private let key: [UInt8]

    /// - Parameter purpose: makes the key another one than those that the secret has for other purposes.
    public init(_ secret: ShortHashKey, for purpose: String) {
        key = Digest(of: secret.bytes + Array(purpose.utf8)).bytes
    }

    public func seal(_ bytes: [UInt8]) -> [UInt8] {
        let nonce = SecureRandom.bytes(Int(crypto_secretbox_NONCEBYTES))
        var sealed = [UInt8](repeating: 0, count: bytes.count + Int(crypto_secretbox_MACBYTES))
        _ = crypto_secretbox_easy(&sealed, bytes, UInt64(bytes.count), nonce, key)
        return nonce + sealed
    }

    /// Nil for what no box with this key has sealed.
    public func open(_ sealed: [UInt8]) -> [UInt8]? {
        Sodium.start()
        let (nonceBytes, macBytes) = (Int(crypto_secretbox_NONCEBYTES), Int(crypto_secretbox_MACBYTES))
        guard sealed.count >= nonceBytes + macBytes else { return nil }
        let (nonce, rest) = (Array(sealed.prefix(nonceBytes)), Array(sealed.dropFirst(nonceBytes)))
        var bytes = [UInt8](repeating: 0, count: rest.count - macBytes)
        return crypto_secretbox_open_easy(&bytes, rest, UInt64(rest.count), nonce, key) == 0 ? bytes : nil
    }
}
