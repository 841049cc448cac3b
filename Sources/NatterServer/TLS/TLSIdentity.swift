internal import CGnuTLS
public import NatterModel

/// A server's certificate, the chain to its authority, and the key.
///
/// It never changes, so open connections keep theirs while new connections get another one.
///
/// Sendable is unchecked because of the library's handle, which is only read after `init`.
public final class TLSIdentity: @unchecked Sendable {
    /// TLS 1.3 and 1.2 only, with forward secrecy and authenticated encryption. Groups that make a handshake cost
    /// milliseconds are excluded.
    public static let priorities =
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA"
        + ":-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:-MAC-ALL:+AEAD"
        + ":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1:%SERVER_PRECEDENCE"

    let credentials: OpaquePointer
    /// When the server's own certificate expires.
    public let expires: Timestamp
    /// The SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` prints it.
    public let fingerprint: String
    /// The host names for which the certificate is valid. Its IP addresses are left out.
    public let names: [SubjectName]

    /// Reads the files once.
    ///
    /// - Parameters:
    ///   - certificate: a PEM file with the server's own certificate, then those of the intermediate authorities.
    ///   - key: a PEM file with the private key, without a passphrase. Only its owner may be able to read it.
    public init(certificate: String, key: String) throws(TLSError) {
        let certificateBytes = try SecretFile.read(certificate, isKey: false)
        let keyBytes = try SecretFile.read(key, isKey: true)
        let chain = try CertificateList(certificateBytes, path: certificate)
        let privateKey = try PrivateKey(keyBytes, path: key)
        guard let own = chain.first else { throw .notCertificates(path: certificate, reason: "there is none") }
        expires = Timestamp(milliseconds: Int64(gnutls_x509_crt_get_expiration_time(own)) * 1_000)
        fingerprint = GnuTLS.fingerprint(of: own)
        names = TLSIdentity.names(of: own)

        var made: OpaquePointer?
        guard gnutls_certificate_allocate_credentials(&made) == GNUTLS_E_SUCCESS, let made else {
            throw .refused(certificate: certificate, reason: "memory is short")
        }
        credentials = made
        let code = chain.give(to: made, key: privateKey)
        // The library has copied or refused the certificates. If it refused them, deinit frees `credentials`.
        if code == GNUTLS_E_CERTIFICATE_KEY_MISMATCH { throw .mismatch(certificate: certificate, key: key) }
        if code < 0 { throw .refused(certificate: certificate, reason: GnuTLS.reason(code)) }
    }

    deinit { gnutls_certificate_free_credentials(credentials) }

    /// No certificate in use has more names than this.
    private static let mostNames: UInt32 = 1_000

    private static func names(of certificate: gnutls_x509_crt_t) -> [SubjectName] {
        var names: [SubjectName] = []
        var buffer = [UInt8](repeating: 0, count: 256)
        for index in 0..<mostNames {
            var size = buffer.count
            let code = buffer.withUnsafeMutableBytes {
                gnutls_x509_crt_get_subject_alt_name(certificate, index, $0.baseAddress, &size, nil)
            }
            // A name that does not fit is none that a DNS knows.
            if code == GNUTLS_E_SHORT_MEMORY_BUFFER { continue }
            guard code >= 0 else { break }
            guard code == Int32(bitPattern: GNUTLS_SAN_DNSNAME.rawValue), size <= buffer.count else { continue }
            if let name = SubjectName(String(decoding: buffer.prefix(size), as: UTF8.self)) { names.append(name) }
        }
        return names
    }
}

/// Certificates from a file.
private struct CertificateList: ~Copyable {
    private let handles: UnsafeMutablePointer<gnutls_x509_crt_t?>
    private let count: UInt32

    init(_ bytes: [UInt8], path: String) throws(TLSError) {
        var list: UnsafeMutablePointer<gnutls_x509_crt_t?>?
        var size: UInt32 = 0
        let code = GnuTLS.withDatum(bytes) { datum in
            gnutls_x509_crt_list_import2(&list, &size, &datum, GNUTLS_X509_FMT_PEM, 0)
        }
        guard code >= 0, let list, size > 0 else { throw .notCertificates(path: path, reason: GnuTLS.reason(code)) }
        (handles, count) = (list, size)
    }

    deinit {
        for index in 0..<Int(count) { gnutls_x509_crt_deinit(handles[index]) }
        natter_gnutls_free(handles)
    }

    var first: gnutls_x509_crt_t? { handles[0] }

    /// - Returns: the library's code.
    func give(to credentials: OpaquePointer, key: borrowing PrivateKey) -> Int32 {
        gnutls_certificate_set_x509_key(credentials, handles, Int32(clamping: count), key.handle)
    }
}

/// A private key from a file.
private struct PrivateKey: ~Copyable {
    let handle: OpaquePointer

    init(_ bytes: [UInt8], path: String) throws(TLSError) {
        let text = String(decoding: bytes, as: UTF8.self)
        // PKCS #8, and the older form of OpenSSL.
        if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
            throw .encryptedKey(path: path)
        }
        var made: OpaquePointer?
        guard gnutls_x509_privkey_init(&made) == GNUTLS_E_SUCCESS, let made else {
            throw .notAKey(path: path, reason: "memory is short")
        }
        let code = GnuTLS.withDatum(bytes) { datum in gnutls_x509_privkey_import(made, &datum, GNUTLS_X509_FMT_PEM) }
        guard code == GNUTLS_E_SUCCESS else {
            gnutls_x509_privkey_deinit(made)
            throw .notAKey(path: path, reason: GnuTLS.reason(code))
        }
        handle = made
    }

    deinit { gnutls_x509_privkey_deinit(handle) }
}
