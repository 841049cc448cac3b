internal import CGnuTLS
internal import NatterLanguage

/// What every use of GnuTLS here needs.
enum GnuTLS {
    /// The library's words for a code, in lower case and without its full stop, as our messages are.
    static func reason(_ code: Int32) -> Phrase {
        guard let text = gnutls_strerror(code) else { return "error \(code)" }
        var words = String(cString: text)
        while words.hasSuffix(".") { words.removeLast() }
        // A name in capitals, such as ASN1, stays as it is.
        let isWord = words.dropFirst().first?.isLowercase ?? false
        return Phrase(key: isWord ? words.prefix(1).lowercased() + words.dropFirst() : words)
    }

    /// Lends bytes to a function of the library, which copies what it keeps.
    static func withDatum<Result>(_ bytes: [UInt8], _ body: (inout gnutls_datum_t) -> Result) -> Result {
        // The library's type is not const, but it writes nothing there.
        bytes.withUnsafeBufferPointer { buffer in
            var datum = gnutls_datum_t(
                data: UnsafeMutablePointer(mutating: buffer.baseAddress), size: UInt32(clamping: buffer.count))
            return body(&datum)
        }
    }
}
