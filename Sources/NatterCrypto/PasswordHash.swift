internal import CSodium

/// A password as it is stored: Argon2id at libsodium's interactive level (64 MiB, two passes), in its own text form
/// `$argon2id$v=19$m=65536,t=2,p=1$…`, which says its own cost so that a later, higher one can be told apart.
///
/// - SeeAlso: RFC 9106; libsodium's `crypto_pwhash_str`.
public struct PasswordHash: Sendable, Equatable {
    public let text: String

    public init(stored text: String) { self.text = text }

    /// Hashes a password; takes 64 MiB and some 50 ms.
    ///
    /// - Returns: nil if the memory is not to be had.
    public init?(of password: String) {
        Sodium.start()
        var output = [CChar](repeating: 0, count: Int(crypto_pwhash_STRBYTES))
        let code = crypto_pwhash_str(
            &output, password, UInt64(password.utf8.count), UInt64(crypto_pwhash_OPSLIMIT_INTERACTIVE),
            Int(crypto_pwhash_MEMLIMIT_INTERACTIVE))
        guard code == 0 else { return nil }
        text = String(decoding: output.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Whether this is the password; compares in constant time, and costs what making the hash costs.
    public func matches(_ password: String) -> Bool {
        Sodium.start()
        return crypto_pwhash_str_verify(text, password, UInt64(password.utf8.count)) == 0
    }

    /// A hash of nothing anybody knows, made once: checking against it costs an unknown name the same work as a known one.
    public static let decoy: PasswordHash? = PasswordHash(of: Token.random().text)
}
