internal import CEvent
internal import Glibc

/// The algorithms that OpenSSL needs for TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, and nothing else.
///
/// For its first connection, OpenSSL 3 prepares every algorithm that its default provider has, and that is half of the
/// instructions of a whole command. Here it gets a provider that passes on a few of them, as provider(7) describes.
/// The algorithms themselves are the default provider's, which has a context of the library of its own.
enum TLSAlgorithms {
    /// The context of the library for TLS; nil if it cannot be set up. It can be used only where nothing else in the
    /// process uses OpenSSL, because some settings are the whole library's.
    ///
    /// OpenSSL protects its contexts with locks. None is ever freed.
    nonisolated(unsafe) static let context: OpaquePointer? = {
        guard initialize(), let context = newContext() else { return nil }
        let isKnown = OSSL_PROVIDER_add_builtin(context, "natter") { _, _, list, providerContext in
            guard let parts else { return 0 }
            list?.pointee = parts.functions
            providerContext?.pointee = OSSL_PROVIDER_get0_provider_ctx(parts.original)
            return 1
        }
        return isKnown == 1 && OSSL_PROVIDER_load(context, "natter") != nil ? context : nil
    }()

    /// The ciphers to offer for TLS 1.2. By default, OpenSSL offers some whose keys would be exchanged by RSA alone. That
    /// has no forward secrecy, and is not among `needed`.
    static let ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20"

    /// The names are those that the default provider gives first.
    private static let needed: [(operation: Int32, names: [StaticString])] = [
        // SHA-1 makes the names of files in the system's directory of certificates.
        (OSSL_OP_DIGEST, ["SHA1", "SHA2-256", "SHA2-384", "SHA2-512"]),
        (OSSL_OP_CIPHER, ["AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"]),
        (OSSL_OP_MAC, ["HMAC"]),
        (OSSL_OP_KDF, ["HKDF", "TLS13-KDF", "TLS1-PRF"]),
        (OSSL_OP_RAND, ["HASH-DRBG", "SEED-SRC"]),
        (OSSL_OP_KEYMGMT, ["RSA", "RSA-PSS", "EC", "ED25519", "ED448", "X25519", "X448"]),
        (OSSL_OP_KEYEXCH, ["ECDH", "X25519", "X448"]),
        (OSSL_OP_SIGNATURE, ["RSA", "ECDSA", "ED25519", "ED448"]),
        (OSSL_OP_DECODER, ["RSA", "RSA-PSS", "EC", "ED25519", "ED448"]),
    ]

    /// Sets the library up without what only some programs need: names of more algorithms, texts for errors of its
    /// parts other than TLS, and freeing memory at the end.
    private static func initialize() -> Bool {
        let options =
            OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_NO_ADD_ALL_CIPHERS
            | OPENSSL_INIT_NO_ADD_ALL_DIGESTS | OPENSSL_INIT_NO_ATEXIT
        guard OPENSSL_init_crypto(UInt64(options), nil) == 1 else { return false }
        // Certificates name digests by what only these calls know.
        return [EVP_sha1(), EVP_sha256(), EVP_sha384(), EVP_sha512()].allSatisfy { EVP_add_digest($0) == 1 }
    }

    /// The usual source of random bytes uses a cipher, for which a context would prepare all ciphers that it has.
    private static func newContext() -> OpaquePointer? {
        guard let context = OSSL_LIB_CTX_new() else { return nil }
        return RAND_set_DRBG_type(context, "HASH-DRBG", nil, nil, "SHA256") == 1 ? context : nil
    }

    // MARK: - The provider

    /// The algorithms that the provider passes on. OpenSSL keeps pointers into the tables, which are never freed.
    ///
    /// Unchecked: OpenSSL's providers may be used by any thread, and the tables never change.
    private struct Parts: @unchecked Sendable {
        /// The default provider.
        let original: OpaquePointer
        let tables: [Int32: UnsafePointer<OSSL_ALGORITHM>]
        let functions: UnsafePointer<OSSL_DISPATCH>?
    }

    private static let parts: Parts? = newContext().flatMap { OSSL_PROVIDER_load($0, "default") }.map {
        Parts(original: $0, tables: tables(of: $0), functions: functions())
    }

    private static func tables(of provider: OpaquePointer) -> [Int32: UnsafePointer<OSSL_ALGORITHM>] {
        var tables: [Int32: UnsafePointer<OSSL_ALGORITHM>] = [:]
        for (operation, names) in needed {
            var mayNotKeep: Int32 = 0
            guard var entry = OSSL_PROVIDER_query_operation(provider, operation, &mayNotKeep) else { continue }
            var table: [OSSL_ALGORITHM] = []
            while let name = entry.pointee.algorithm_names {
                if names.contains(where: { isFirst($0, of: name) }), isForTLS(entry.pointee, operation) {
                    table.append(entry.pointee)
                }
                entry += 1
            }
            tables[operation] = kept(table + [OSSL_ALGORITHM()])
        }
        return tables
    }

    /// Whether `names`, which have colons between them, begin with a name.
    private static func isFirst(_ name: StaticString, of names: UnsafePointer<CChar>) -> Bool {
        strcspn(names, ":") == name.utf8CodeUnitCount && memcmp(names, name.utf8Start, name.utf8CodeUnitCount) == 0
    }

    /// TLS needs no decoders but those for the public keys of certificates.
    private static func isForTLS(_ algorithm: OSSL_ALGORITHM, _ operation: Int32) -> Bool {
        operation != OSSL_OP_DECODER || strstr(algorithm.property_definition, "structure=SubjectPublicKeyInfo") != nil
    }

    /// The provider's functions: a list that OpenSSL keeps a pointer into.
    private static func functions() -> UnsafePointer<OSSL_DISPATCH>? {
        let query:
            @convention(c) (UnsafeMutableRawPointer?, Int32, UnsafeMutablePointer<Int32>?) ->
                UnsafePointer<OSSL_ALGORITHM>? = { _, operation, mayNotKeep in
                    mayNotKeep?.pointee = 0
                    return TLSAlgorithms.parts?.tables[operation]
                }
        // The groups that TLS can agree on.
        let capabilities:
            @convention(c) (
                UnsafeMutableRawPointer?, UnsafePointer<CChar>?,
                (@convention(c) (UnsafePointer<OSSL_PARAM>?, UnsafeMutableRawPointer?) -> Int32)?,
                UnsafeMutableRawPointer?
            ) -> Int32 = { _, name, report, argument in
                OSSL_PROVIDER_get_capabilities(TLSAlgorithms.parts?.original, name, report, argument)
            }
        return kept([
            OSSL_DISPATCH(
                function_id: OSSL_FUNC_PROVIDER_QUERY_OPERATION,
                function: unsafeBitCast(query, to: (@convention(c) () -> Void).self)),
            OSSL_DISPATCH(
                function_id: OSSL_FUNC_PROVIDER_GET_CAPABILITIES,
                function: unsafeBitCast(capabilities, to: (@convention(c) () -> Void).self)),
            OSSL_DISPATCH(),
        ])
    }

    private static func kept<Entry>(_ entries: [Entry]) -> UnsafePointer<Entry>? {
        let list = UnsafeMutableBufferPointer<Entry>.allocate(capacity: entries.count)
        _ = list.initialize(fromContentsOf: entries)
        return UnsafePointer(list.baseAddress)
    }
}
