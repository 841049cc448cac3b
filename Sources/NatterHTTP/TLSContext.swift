internal import CEvent
internal import Glibc
internal import NatterModel
internal import NatterSystem

/// Creates TLS sessions and remembers why a certificate was refused. It is created for the first `https` connection,
/// because setting up OpenSSL costs more than a whole command over plain HTTP.
final class TLSContext {
    private let handle: OpaquePointer
    /// OpenSSL's code for the refusal of the latest certificate; nil if it was verified.
    private var refusal: Int32?
    /// The certificate of the latest handshake: whose it says it is, and its fingerprint.
    private var seen: (subject: String, fingerprint: CertificateFingerprint)?
    /// The only certificate to trust; nil to trust authorities.
    private let pinned: CertificateFingerprint?
    /// The file or directory with the authorities.
    private var authorities = ""
    /// When the certificate of the latest handshake expires; nil before a handshake.
    private(set) var expires: Timestamp?

    /// - Parameters:
    ///   - caFile: PEM certificates of the only authorities to trust; nil for the system's.
    ///   - pinned: the only certificate to trust, whoever has issued it and for whatever host.
    ///   - ownsOpenSSL: as ``HTTPClient`` has it.
    init(caFile: String?, pinned: CertificateFingerprint?, ownsOpenSSL: Bool) throws(TransportError) {
        self.pinned = pinned
        // The system's openssl.cnf is not read, because it may name providers that a static program can't load.
        // A server may end while the thread of a hook still uses the library, which must not clean up then.
        let options = OPENSSL_INIT_NO_LOAD_CONFIG | (ownsOpenSSL ? 0 : OPENSSL_INIT_NO_ATEXIT)
        guard !ownsOpenSSL || TLSAlgorithms.context != nil, OPENSSL_init_ssl(UInt64(options), nil) == 1,
            let handle = SSL_CTX_new_ex(ownsOpenSSL ? TLSAlgorithms.context : nil, nil, TLS_client_method())
        else { throw .notReached("cannot set up TLS: \(TLSContext.queuedReason() ?? "memory is short")") }
        self.handle = handle
        guard natter_tls_minimum(handle, TLS1_2_VERSION) == 1,
            !ownsOpenSSL || SSL_CTX_set_cipher_list(handle, TLSAlgorithms.ciphers) == 1
        else {
            throw .notReached("cannot set up TLS 1.2: \(TLSContext.queuedReason() ?? "it is not supported")")
        }
        if pinned == nil { authorities = try trust(caFile) }
        SSL_CTX_set_verify(handle, SSL_VERIFY_PEER, nil)
        SSL_CTX_set_cert_verify_callback(
            handle,
            { chain, context in
                guard let chain, let context else { return 0 }
                return Unmanaged<TLSContext>.fromOpaque(context).takeUnretainedValue().verify(chain)
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit { SSL_CTX_free(handle) }

    /// Creates a session that accepts only a certificate for `host`. The caller owns it.
    func makeSession(host: String) throws(TransportError) -> OpaquePointer {
        (refusal, seen) = (nil, nil)
        guard let session = SSL_new(handle) else { throw .notReached("cannot set up TLS: memory is short") }
        let isNumeric = NumericAddress.canonical(host) != nil
        SSL_set_hostflags(session, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        let isReady =
            isNumeric
            ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1
            : SSL_set1_host(session, host) == 1 && natter_tls_server_name(session, host) == 1
        guard isReady || pinned != nil else {
            SSL_free(session)
            throw .certificate("cannot verify certificates for '\(host)': no certificate can be issued for this name")
        }
        return session
    }

    /// Why the latest handshake failed, if the certificate was the reason.
    func certificateError(host: String) -> TransportError? {
        guard let refusal else { return nil }
        let (subject, fingerprint) = (seen?.subject ?? "", seen.map { "\($0.fingerprint)" } ?? "")
        if let pinned {
            return .certificate(
                "the certificate of '\(host)' is '\(subject)', \(fingerprint); only \("\(pinned)") is trusted",
                remedy: "if its administrator confirms the new one, log in again with --fingerprint")
        }
        let words = X509_verify_cert_error_string(Int(refusal)).map { Phrase(key: String(cString: $0).lowercased()) }
        let remedy: Phrase =
            switch refusal {
            case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
                "if you trust its authority, name that with --ca-file"
            case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
                "if you trust its authority, name that with --ca-file; if you have, the server does not send its whole chain"
            case X509_V_ERR_CERT_HAS_EXPIRED: "ask the server's administrator to renew it"
            case X509_V_ERR_CERT_NOT_YET_VALID: "look whether the clock here is right"
            case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH: "use a name that it is made out to"
            default: "ask the server's administrator for one that can be"
            }
        return .certificate(
            "the certificate of '\(host)' is not verified: \(words ?? "error \(refusal)"); it is '\(subject)', \(fingerprint), checked with '\(authorities)'",
            remedy: remedy)
    }

    /// OpenSSL's description of an error.
    static func reason(_ code: UInt) -> String? { ERR_reason_error_string(code).map { String(cString: $0) } }

    private static func queuedReason() -> String? {
        defer { ERR_clear_error() }
        return reason(ERR_peek_error())
    }

    private func verify(_ chain: OpaquePointer) -> Int32 {
        let certificate = X509_STORE_CTX_get0_cert(chain)
        expires = TLSContext.expiry(certificate)
        seen = certificate.map { (TLSContext.subject($0), CertificateFingerprint(ofDER: TLSContext.encoded($0))) }
        if let pinned {
            refusal = seen?.fingerprint == pinned ? nil : X509_V_ERR_CERT_REJECTED
            X509_STORE_CTX_set_error(chain, refusal ?? X509_V_OK)
            return refusal == nil ? 1 : 0
        }
        let result = X509_verify_cert(chain)
        refusal = result > 0 ? nil : X509_STORE_CTX_get_error(chain)
        return result
    }

    private static func expiry(_ certificate: OpaquePointer?) -> Timestamp? {
        guard let certificate, let time = X509_get0_notAfter(certificate) else { return nil }
        var parts = tm()
        guard ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
        return Timestamp(milliseconds: Int64(timegm(&parts)) * 1_000)
    }

    /// In one line, with everything but printable ASCII escaped.
    private static func subject(_ certificate: OpaquePointer) -> String {
        var text = [CChar](repeating: 0, count: 256)
        X509_NAME_oneline(X509_get_subject_name(certificate), &text, Int32(text.count))
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The certificate as DER.
    private static func encoded(_ certificate: OpaquePointer) -> [UInt8] {
        let length = i2d_X509(certificate, nil)
        return [UInt8](unsafeUninitializedCapacity: max(0, Int(length))) { buffer, count in
            var place = buffer.baseAddress
            count = length > 0 && i2d_X509(certificate, &place) == length ? Int(length) : 0
        }
    }

    /// - Returns: the file or directory of the authorities.
    private func trust(_ caFile: String?) throws(TransportError) -> String {
        if let file = caFile ?? TLSContext.environment("SSL_CERT_FILE") {
            if let reason = TLSContext.problem(reading: file) {
                throw .unreadable(
                    "cannot read certificates from '\(file)': \(reason.phrase)",
                    remedy: "name another file with --ca-file")
            }
            guard SSL_CTX_load_verify_file(handle, file) == 1 else {
                ERR_clear_error()
                throw .malformedCertificates(
                    "cannot read certificates from '\(file)'", remedy: "it must hold them as PEM")
            }
            // An authority below another one, or the server's own certificate, is trusted as it is, as curl has it.
            X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(handle), UInt(X509_V_FLAG_PARTIAL_CHAIN))
            return file
        } else {
            // OpenSSL reads certificates from the hashed directory one at a time and only if needed. Parsing the
            // whole bundle takes 17 ms.
            let directory = TLSContext.environment("SSL_CERT_DIR") ?? "/etc/ssl/certs"
            guard SSL_CTX_load_verify_dir(handle, directory) == 1 else {
                ERR_clear_error()
                throw .certificate(
                    "cannot use the certificates in '\(directory)'", remedy: "name a file with --ca-file")
            }
            return directory
        }
    }

    /// Why a file can't be read; nil if it can.
    private static func problem(reading file: String) -> Errno? {
        var status = stat()
        guard access(file, R_OK) == 0, stat(file, &status) == 0 else { return .current }
        return status.st_mode & S_IFMT == S_IFDIR ? .isDirectory : nil
    }

    private static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
}

extension HTTPClient {
    /// The libraries with their versions, for `--version`.
    public static var libraries: [String] {
        [
            "libevent " + String(cString: event_get_version()),
            "OpenSSL " + String(cString: OpenSSL_version(OPENSSL_VERSION_STRING)),
        ]
    }
}
