internal import CGnuTLS
public import NatterModel

/// A certificate without an authority. Clients receive the certificate itself and trust it.
///
/// It is valid for a TLS server only. It is not an authority, so clients that trust it trust no other certificate
/// through it.
public struct SelfSignedCertificate: Sendable {
    /// The certificate in PEM.
    public let certificate: [UInt8]
    /// The private key in PEM (PKCS #8), ECDSA on P-256, not encrypted.
    public let key: [UInt8]
    /// The fingerprint, as in ``TLSIdentity/fingerprint``.
    public let fingerprint: String
    public let expires: Timestamp

    private static let dayMilliseconds: Int64 = 86_400_000

    /// - Parameters:
    ///   - names: the names and addresses of the server, at least one.
    ///   - now: the current time. The certificate is valid from a day earlier, for clients whose clocks are slow.
    ///   - days: how long it is valid from now.
    public init(for names: [SubjectName], now: Timestamp, days: Int64) throws(TLSError) {
        guard let first = names.first else { throw .cannotMake(reason: "it needs at least one name") }
        expires = now.advanced(milliseconds: days * Self.dayMilliseconds)
        let key = try NewKey()
        let certificate = try NewCertificate()
        try certificate.set(
            from: now.advanced(milliseconds: -Self.dayMilliseconds), until: expires, first: first, names: names)
        try certificate.sign(with: key)
        self.certificate = try certificate.pem()
        self.key = try key.pem()
        fingerprint = GnuTLS.fingerprint(of: certificate.handle)
    }
}

private func check(_ code: Int32) throws(TLSError) {
    if code < 0 { throw .cannotMake(reason: GnuTLS.reason(code)) }
}

/// Copies a datum and frees the library's memory.
private func consume(_ datum: gnutls_datum_t) -> [UInt8] {
    defer { natter_gnutls_free(datum.data) }
    return [UInt8](UnsafeBufferPointer(start: datum.data, count: Int(datum.size)))
}

private struct NewKey: ~Copyable {
    let handle: OpaquePointer

    init() throws(TLSError) {
        var made: OpaquePointer?
        try check(gnutls_x509_privkey_init(&made))
        guard let made else { throw .cannotMake(reason: "memory is short") }
        let code = gnutls_x509_privkey_generate(
            made, GNUTLS_PK_ECDSA, natter_curve_bits(GNUTLS_ECC_CURVE_SECP256R1), 0)
        guard code >= 0 else {
            gnutls_x509_privkey_deinit(made)
            throw .cannotMake(reason: GnuTLS.reason(code))
        }
        handle = made
    }

    deinit { gnutls_x509_privkey_deinit(handle) }

    func pem() throws(TLSError) -> [UInt8] {
        var datum = gnutls_datum_t()
        try check(
            gnutls_x509_privkey_export2_pkcs8(handle, GNUTLS_X509_FMT_PEM, nil, GNUTLS_PKCS_PLAIN.rawValue, &datum))
        return consume(datum)
    }
}

private struct NewCertificate: ~Copyable {
    let handle: OpaquePointer

    init() throws(TLSError) {
        var made: OpaquePointer?
        try check(gnutls_x509_crt_init(&made))
        guard let made else { throw .cannotMake(reason: "memory is short") }
        handle = made
    }

    deinit { gnutls_x509_crt_deinit(handle) }

    func set(from: Timestamp, until: Timestamp, first: SubjectName, names: [SubjectName]) throws(TLSError) {
        try check(gnutls_x509_crt_set_version(handle, 3))
        var serial = [UInt8](repeating: 0, count: 16)
        try check(gnutls_rnd(GNUTLS_RND_RANDOM, &serial, serial.count))
        // A positive number that uses all bytes.
        serial[0] = serial[0] & 0x7F | 0x40
        try check(gnutls_x509_crt_set_serial(handle, serial, serial.count))
        try check(gnutls_x509_crt_set_activation_time(handle, time_t(from.milliseconds / 1_000)))
        try check(gnutls_x509_crt_set_expiration_time(handle, time_t(until.milliseconds / 1_000)))
        // A common name has at most 64 bytes. Clients check the alternative names anyway.
        let common = Array(first.description.utf8.prefix(64))
        try check(
            gnutls_x509_crt_set_dn_by_oid(handle, GNUTLS_OID_X520_COMMON_NAME, 0, common, UInt32(common.count)))
        for name in names {
            let (type, bytes) =
                switch name.form {
                case .name(let text): (GNUTLS_SAN_DNSNAME, Array(text.utf8))
                case .address(let bytes): (GNUTLS_SAN_IPADDRESS, bytes)
                }
            try check(
                gnutls_x509_crt_set_subject_alt_name(
                    handle, type, bytes, UInt32(bytes.count), UInt32(GNUTLS_FSAN_APPEND)))
        }
        try check(gnutls_x509_crt_set_basic_constraints(handle, 0, -1))
        try check(gnutls_x509_crt_set_key_usage(handle, UInt32(GNUTLS_KEY_DIGITAL_SIGNATURE)))
        try check(gnutls_x509_crt_set_key_purpose_oid(handle, GNUTLS_KP_TLS_WWW_SERVER, 0))
    }

    func sign(with key: borrowing NewKey) throws(TLSError) {
        try check(gnutls_x509_crt_set_key(handle, key.handle))
        var id = [UInt8](repeating: 0, count: 64)
        var count = id.count
        try check(gnutls_x509_crt_get_key_id(handle, 0, &id, &count))
        try check(gnutls_x509_crt_set_subject_key_id(handle, id, min(count, 20)))
        try check(gnutls_x509_crt_sign2(handle, handle, key.handle, GNUTLS_DIG_SHA256, 0))
    }

    func pem() throws(TLSError) -> [UInt8] {
        var datum = gnutls_datum_t()
        try check(gnutls_x509_crt_export2(handle, GNUTLS_X509_FMT_PEM, &datum))
        return consume(datum)
    }
}
