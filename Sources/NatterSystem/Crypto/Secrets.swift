internal import CSodium
internal import NatterModel

/// Random numbers from the system that are good enough for keys.
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

/// A client's proof of identity: 256 random bits as 43 characters of base64url. The server stores only a hash of it.
public struct Token: Sendable {
    public let text: String
    /// The key by which the server finds the token. The token is random, so one round of a plain hash hides it.
    public let digest: Digest

    public static func random() -> Token { Token(text: Base64URL.encode(SecureRandom.bytes(32))) }

    private init(text: String) { (self.text, digest) = (text, Digest(of: Array(text.utf8))) }

    /// nil for any text that no server gives out.
    public init?(_ text: String) {
        guard text.utf8.count == 43, let bytes = Base64URL.decode(text), bytes.count == 32 else { return nil }
        self.init(text: text)
    }
}

/// A store's secret key for short hashes (SipHash-2-4). Without it nobody can construct two inputs that collide.
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
        var value: UInt64 = 0
        withUnsafeMutablePointer(to: &value) { value in
            value.withMemoryRebound(to: UInt8.self, capacity: 8) { value in
                _ = crypto_shorthash(
                    value, message.bindMemory(to: UInt8.self).baseAddress, UInt64(message.count), bytes)
            }
        }
        return UInt64(littleEndian: value)
    }

    public func hash(_ message: some StringProtocol) -> UInt64 {
        var text = String(message)
        return text.withUTF8 { hash(UnsafeRawBufferPointer($0)) }
    }
}

/// The stored form of a password: Argon2id at libsodium's interactive level (64 MiB, two passes), as the text
/// `$argon2id$v=19$m=65536,t=2,p=1$…`. The text contains the cost, so that a later version can raise it.
///
/// - SeeAlso: RFC 9106; libsodium's `crypto_pwhash_str`.
public struct PasswordHash: Sendable, Equatable {
    public let text: String

    public init(stored text: String) { self.text = text }

    /// Hashes a password. That takes 64 MiB and about 50 ms.
    ///
    /// - Returns: nil if the memory is not available.
    public init?(of password: String) {
        Sodium.start()
        var output = [CChar](repeating: 0, count: Int(crypto_pwhash_STRBYTES))
        let code = crypto_pwhash_str(
            &output, password, UInt64(password.utf8.count), UInt64(crypto_pwhash_OPSLIMIT_INTERACTIVE),
            Int(crypto_pwhash_MEMLIMIT_INTERACTIVE))
        guard code == 0 else { return nil }
        text = String(upToNUL: output)
    }

    /// Whether this is the password. It compares in constant time and costs as much as hashing.
    public func matches(_ password: String) -> Bool {
        Sodium.start()
        return crypto_pwhash_str_verify(text, password, UInt64(password.utf8.count)) == 0
    }

    /// Passwords of unknown names are checked against this hash, so that they take as long as those of known ones. Its salt and
    /// hash are zeros, and nobody knows a password that has them.
    public static let decoy = PasswordHash(
        stored:
            "$argon2id$v=19$m=65536,t=2,p=1$\(String(repeating: "A", count: 22))$\(String(repeating: "A", count: 43))")
}

/// Initializes libsodium once: it chooses code for this processor and opens its source of random bytes.
enum Sodium {
    static let isReady: Bool = sodium_init() >= 0

    /// Every public function of this target calls it. libsodium fails to start only if the system has no random bytes; nothing
    /// that needs a secret may continue then.
    static func start() {
        precondition(isReady, "libsodium found no source of random bytes")
    }
}
