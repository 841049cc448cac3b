public import NatterModel

/// Why a certificate or its key can't be used.
public enum TLSError: FailureConvertible, Equatable {
    case cannotRead(path: String, reason: Phrase)
    case noFile(path: String)
    case notCertificates(path: String, reason: Phrase)
    case notAKey(path: String, reason: Phrase)
    case encryptedKey(path: String)
    /// Users other than the owner can read the key. `mode` has the permission bits.
    case exposedKey(path: String, mode: UInt32)
    case mismatch(certificate: String, key: String)
    case refused(certificate: String, reason: Phrase)
    case cannotMake(reason: Phrase)

    /// The file that can't be used; nil if the error is not about one of them alone.
    public var path: String? {
        switch self {
        case .cannotRead(let path, _), .noFile(let path), .notCertificates(let path, _), .notAKey(let path, _),
            .encryptedKey(let path), .exposedKey(let path, _):
            path
        case .mismatch, .refused, .cannotMake: nil
        }
    }

    public var failure: CommandFailure {
        switch self {
        case .cannotRead, .noFile: CommandFailure(.noInput, code: "cannot_read", phrase)
        case .cannotMake: .inputOutput(phrase)
        default: CommandFailure(.configuration, code: "bad_certificate", phrase)
        }
    }

    public var phrase: Phrase {
        switch self {
        case .cannotRead(let path, let reason): "cannot read '\(path)': \(reason)"
        case .noFile(let path): "'\(path)' is not a file of at most 1 MiB"
        case .notCertificates(let path, let reason):
            "'\(path)' does not contain certificates as PEM, the server's own first: \(reason)"
        case .notAKey(let path, let reason): "'\(path)' does not contain a private key as PEM: \(reason)"
        case .encryptedKey(let path):
            "the key in '\(path)' is encrypted with a passphrase, which a server can't type; store it without one"
        case .exposedKey(let path, let mode):
            "the key in '\(path)' has mode 0\(String(mode, radix: 8)), so other users can read it; restrict it to its owner "
                + "with 'chmod 600'"
        case .mismatch(let certificate, let key):
            "the key in '\(key)' does not belong to the certificate in '\(certificate)'"
        case .refused(let certificate, let reason): "cannot serve with the certificate in '\(certificate)': \(reason)"
        case .cannotMake(let reason): "cannot make a certificate: \(reason)"
        }
    }
}
