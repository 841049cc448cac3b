import CEvent
import Glibc
import NatterModel
import NatterSystem
import NatterServer
import TestSupport

/// A test speaks HTTP over this. All that holds over plain TCP must hold over TLS.
enum Wire: CaseIterable, Sendable {
    case plain
    case tls

    var identity: TLSIdentity? {
        get throws { self == .tls ? try Wire.made.get() : nil }
    }

    private static let made = Result { try identity(for: "localhost") }

    /// A new certificate and its key, read from temporary files.
    static func identity(for name: String, days: Int64 = 2) throws -> TLSIdentity {
        let names = [name, "127.0.0.1"].compactMap { SubjectName($0) }
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let now = Timestamp(milliseconds: Int64(time.tv_sec) * 1_000)
        let made = try SelfSignedCertificate(for: names, now: now, days: days)
        return try withFile(made.certificate) { certificate in
            try withFile(made.key) { key in try TLSIdentity(certificate: certificate, key: key) }
        }
    }

    private static func withFile<Result>(_ bytes: [UInt8], _ body: (String) throws -> Result) throws -> Result {
        var template = Array("/tmp/natter-listener-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        defer {
            unlink(template)
            close(descriptor)
        }
        guard descriptor >= 0, bytes.withUnsafeBytes({ write(descriptor, $0.baseAddress, $0.count) }) == bytes.count
        else { throw Failure("mkstemp: \(errno)") }
        return try body(String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self))
    }
}

extension RawClient {
    convenience init(_ server: ListenerServer, receiveBuffer: Int32? = nil) throws {
        try self.init(port: server.port, wire: server.wire, receiveBuffer: receiveBuffer)
    }

    convenience init(port: UInt16, wire: Wire, receiveBuffer: Int32? = nil) throws {
        try self.init(port: port, receiveBuffer: receiveBuffer) { wire == .tls ? try TLSClient($0) : nil }
    }

    var tls: TLSClient? { stream as? TLSClient }
}

/// The client's side of a TLS connection on a socket that blocks, by OpenSSL: another library than the server's.
final class TLSClient: SecureStream {
    private let handle: OpaquePointer

    private static let shared = {
        let context = SSL_CTX_new(TLS_client_method())
        // The server's identity does not matter here; natter's own client is tried on that elsewhere.
        if let context { SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil) }
        return Monitor(context)
    }()
    private static var context: OpaquePointer? { shared.withLock { $0 } }

    init(_ descriptor: Int32) throws {
        guard let context = Self.context, let made = SSL_new(context) else {
            throw Failure("SSL_new")
        }
        handle = made
        SSL_set_fd(handle, descriptor)
        // A throw from here on ends in 'deinit'.
        guard SSL_connect(handle) == 1 else { throw Failure("no handshake") }
    }

    deinit {
        ERR_clear_error()
        SSL_free(handle)
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        ERR_clear_error()
        return Int(SSL_write(handle, bytes.baseAddress, Int32(bytes.count)))
    }

    /// - Returns: 0 at the end, however it came; -1 if nothing came in time.
    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        ERR_clear_error()
        let count = SSL_read(handle, buffer.baseAddress, Int32(buffer.count))
        if count > 0 { return Int(count) }
        return SSL_get_error(handle, count) == SSL_ERROR_WANT_READ ? -1 : 0
    }

    func finishSending() { SSL_shutdown(handle) }

    /// The first message of a handshake, as it goes over the wire.
    static func hello() throws -> [UInt8] {
        guard let context, let session = SSL_new(context), let input = BIO_new(BIO_s_mem()),
            let output = BIO_new(BIO_s_mem())
        else { throw Failure("SSL_new") }
        defer { SSL_free(session) }
        // They belong to the session from here on.
        SSL_set_bio(session, input, output)
        SSL_connect(session)
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = BIO_read(output, &bytes, Int32(bytes.count))
        guard count > 0 else { throw Failure("no hello") }
        return Array(bytes.prefix(Int(count)))
    }

    /// The certificate that the server has shown, as its SHA-256.
    var fingerprint: String {
        guard let certificate = SSL_get1_peer_certificate(handle) else { return "" }
        defer { X509_free(certificate) }
        var bytes = [UInt8](repeating: 0, count: 32)
        var count = UInt32(bytes.count)
        X509_digest(certificate, EVP_sha256(), &bytes, &count)
        return bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) }.joined(separator: ":")
    }
}
