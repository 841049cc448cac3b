internal import CGnuTLS

enum Fingerprint {
    /// The SHA-256 of a certificate, `AB:CD:…`; empty if it cannot be had.
    static func text(of certificate: OpaquePointer) -> String {
        var bytes = [UInt8](repeating: 0, count: 32)
        var count = bytes.count
        guard gnutls_x509_crt_get_fingerprint(certificate, GNUTLS_DIG_SHA256, &bytes, &count) == GNUTLS_E_SUCCESS else {
            return ""
        }
        let digits = Array("0123456789ABCDEF")
        return bytes.prefix(count).map { "\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }.joined(separator: ":")
    }
}
