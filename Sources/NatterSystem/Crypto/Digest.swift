internal import CSodium
public import NatterModel

/// 32 bytes of BLAKE2b.
///
/// - SeeAlso: RFC 7693; libsodium's `crypto_generichash`.
public struct Digest: Hashable, Sendable, CustomStringConvertible {
    /// The library with its version, for `--version`.
    public static var library: String { "libsodium " + String(cString: sodium_version_string()) }

    public static let byteCount = 32
    // Four words rather than an array: a tail holds a digest for every message, and none may cost an allocation.
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    /// All zeros: the value of a field that has no digest.
    public static let zero = Digest()

    private init() {}

    /// Exactly 32 bytes; nil for any other count.
    public init?(bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Digest.byteCount else { return nil }
        withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: bytes) }
    }

    public init?(bytes: [UInt8]) {
        guard let digest = bytes.withUnsafeBytes({ Digest(bytes: $0) }) else { return nil }
        self = digest
    }

    /// Hashes bytes.
    public init(of bytes: UnsafeRawBufferPointer) {
        // Without it, libsodium hashes in plain C, which takes half as long again.
        Sodium.start()
        withUnsafeMutablePointer(to: &words) { words in
            words.withMemoryRebound(to: UInt8.self, capacity: Digest.byteCount) { output in
                _ = crypto_generichash(
                    output, Digest.byteCount, bytes.bindMemory(to: UInt8.self).baseAddress, UInt64(bytes.count), nil, 0)
            }
        }
    }

    public init(of bytes: [UInt8]) { self = bytes.withUnsafeBytes { Digest(of: $0) } }

    /// 16 bytes of BLAKE2b of one byte with a key of 16 bytes, most significant byte first.
    public static func keyed(high: UInt64, low: UInt64, _ byte: UInt8) -> (high: UInt64, low: UInt64) {
        Sodium.start()
        var key = (high.bigEndian, low.bigEndian)
        var output: (UInt64, UInt64) = (0, 0)
        var input = byte
        withUnsafeMutablePointer(to: &output) { output in
            output.withMemoryRebound(to: UInt8.self, capacity: 16) { output in
                Swift.withUnsafeBytes(of: &key) { key in
                    _ = crypto_generichash(output, 16, &input, 1, key.bindMemory(to: UInt8.self).baseAddress, 16)
                }
            }
        }
        return (UInt64(bigEndian: output.0), UInt64(bigEndian: output.1))
    }

    /// The digest of two digests, one after the other: a step of a hash chain.
    public init(of first: Digest, _ second: Digest) {
        var pair = (first.words, second.words)
        self = Swift.withUnsafeBytes(of: &pair) { Digest(of: $0) }
    }

    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try Swift.withUnsafeBytes(of: words) { try body($0) }
    }

    public var bytes: [UInt8] { withUnsafeBytes { Array($0) } }

    /// The first eight bytes as a number. In a cursor they are enough to distinguish two histories.
    public var prefix: UInt64 { UInt64(littleEndian: words.0) }

    /// 64 hexadecimal digits.
    public var description: String { withUnsafeBytes { Hex.encode($0) } }

    public init?(hex: Substring) {
        guard let bytes = Hex.decode(hex) else { return nil }
        self.init(bytes: bytes)
    }

    public init?(hex: String) { self.init(hex: hex[...]) }

    public static func == (left: Digest, right: Digest) -> Bool {
        left.words.0 == right.words.0 && left.words.1 == right.words.1 && left.words.2 == right.words.2
            && left.words.3 == right.words.3
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}

/// A hash that others can check with the tools they have.
public enum SHA256 {
    public static let byteCount = 32

    public static func hash(_ bytes: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: byteCount)
        crypto_hash_sha256(&output, bytes, UInt64(bytes.count))
        return output
    }
}

/// A keyed hash that others can check with the tools they have: HMAC-SHA256 of RFC 2104.
///
/// It keeps what the key makes of the hash's state, because that is half of the work for a short text.
public struct HMAC: Sendable {
    private let keyed: crypto_auth_hmacsha256_state

    /// The key may have any length.
    public init(key: [UInt8]) {
        Sodium.start()
        var state = crypto_auth_hmacsha256_state()
        crypto_auth_hmacsha256_init(&state, key, key.count)
        keyed = state
    }

    public func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var state = keyed
        var output = [UInt8](repeating: 0, count: Int(crypto_auth_hmacsha256_BYTES))
        crypto_auth_hmacsha256_update(&state, bytes, UInt64(bytes.count))
        crypto_auth_hmacsha256_final(&state, &output)
        return output
    }
}

extension ByteReader {
    /// The digest that comes next.
    public mutating func digest() -> Digest? { slice(Digest.byteCount).flatMap { Digest(bytes: $0) } }
}
