internal import CGnuTLS
internal import NatterModel

/// Helpers for all uses of GnuTLS.
enum GnuTLS {
    /// The library's message for a code, in lower case and without a full stop, like our messages.
    static func reason(_ code: Int32) -> Phrase {
        guard let text = gnutls_strerror(code) else { return "error \(code)" }
        var words = String(cString: text)
        while words.hasSuffix(".") { words.removeLast() }
        // A name in capitals, such as ASN1, stays unchanged.
        let isWord = words.dropFirst().first?.isLowercase ?? false
        return Phrase(key: isWord ? words.prefix(1).lowercased() + words.dropFirst() : words)
    }

    /// Passes bytes to a library function that copies them if it needs them later.
    static func withDatum<Result>(_ bytes: [UInt8], _ body: (inout gnutls_datum_t) -> Result) -> Result {
        // The library's type is not const, but the library does not write to the bytes.
        bytes.withUnsafeBufferPointer { buffer in
            var datum = gnutls_datum_t(
                data: UnsafeMutablePointer(mutating: buffer.baseAddress), size: UInt32(clamping: buffer.count))
            return body(&datum)
        }
    }

    /// The SHA-256 of a certificate as `AB:CD:…`; empty if the library can't compute it.
    static func fingerprint(of certificate: OpaquePointer) -> String {
        var bytes = [UInt8](repeating: 0, count: 32)
        var count = bytes.count
        guard gnutls_x509_crt_get_fingerprint(certificate, GNUTLS_DIG_SHA256, &bytes, &count) == GNUTLS_E_SUCCESS else {
            return ""
        }
        let digits = Array("0123456789ABCDEF")
        return bytes.prefix(count).map { "\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }.joined(separator: ":")
    }
}

extension TLSIdentity {
    /// The library with its version, for `--version`.
    public static var library: String { "GnuTLS " + String(cString: gnutls_check_version(nil)) }
}
