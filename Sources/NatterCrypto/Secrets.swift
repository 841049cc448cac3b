internal import CSodium
internal import NatterModel

/// Random numbers from the system, fit for keys.
public struct SecureRandom: RandomNumberGenerator, Sendable {
    public init() { Sodium.start() }

    public mutating func next() -> UInt64 {
        var value: UInt64 = 0
        randombytes_buf(&value, MemoryLayout<UInt64>.size)
        return value
    }

    public static func bytes(_ count: Int) -> [UInt8] {
        Sodium.start()
        var bytes = [UInt8](repeating: 0, count: count)
        randombytes_buf(&bytes, count)
        return bytes
    }
}

/// What a client shows to prove who it is: 256 random bits, in 43 characters of base64url. The server keeps a hash.
public struct Token: Sendable {
    public let text: String

    public static func random() -> Token { Token(text: Base64URL.encode(SecureRandom.bytes(32))) }

    private init(text: String) { self.text = text }

    /// nil for anything that no server has given out.
    public init?(_ text: String) {
        guard text.utf8.count == 43, let bytes = Base64URL.decode(text), bytes.count == 32 else { return nil }
        self.text = text
    }

    /// What the server looks a token up by. The token is random, so one round of a plain hash hides it.
    public var digest: Digest { Digest(of: Array(text.utf8)) }
}

/// A key of a store for its short hashes (SipHash-2-4), so that nobody outside can make two keys collide.
public struct ShortHashKey: Sendable {
    public static let byteCount = 16
    public let bytes: [UInt8]

    public static func random() -> ShortHashKey { ShortHashKey(unchecked: SecureRandom.bytes(byteCount)) }

    private init(unchecked bytes: [UInt8]) { self.bytes = bytes }

    /// Exactly 16 bytes; nil for any other count.
    public init?(bytes: [UInt8]) {
        guard bytes.count == ShortHashKey.byteCount else { return nil }
        self.bytes = bytes
    }

    public func hash(_ message: UnsafeRawBufferPointer) -> UInt64 {
        var value = [UInt8](repeating: 0, count: 8)
        _ = crypto_shorthash(&value, message.bindMemory(to: UInt8.self).baseAddress, UInt64(message.count), bytes)
        return value.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    }

    public func hash(_ message: some StringProtocol) -> UInt64 {
        var text = String(message)
        return text.withUTF8 { hash(UnsafeRawBufferPointer($0)) }
    }
}
