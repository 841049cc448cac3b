internal import NatterModel
internal import NatterSystem

/// The SHA-256 of a certificate's DER.
public struct CertificateFingerprint: Hashable, Sendable, CustomStringConvertible {
    private let bytes: [UInt8]

    init(ofDER certificate: [UInt8]) { bytes = SHA256.hash(certificate) }

    /// - Parameter text: 64 hexadecimal digits, in any case, with or without `sha256:` before them. Colons may separate them, as
    ///   `openssl` prints them.
    public init?(_ text: String) {
        let word = text.lowercased()
        let digits = word.dropFirst(word.hasPrefix("sha256:") ? 7 : 0).filter { $0 != ":" }
        guard let bytes = Hex.decode(digits[...]), bytes.count == SHA256.byteCount else { return nil }
        self.bytes = bytes
    }

    public var description: String { "sha256:" + Hex.encode(bytes) }
}
