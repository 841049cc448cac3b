internal import Glibc
internal import TestSupport

/// An authority, certificates of its making and the `openssl s_server` that shows them, in a directory of their own.
///
/// The server sends its input through TLS as it is, so an answer can be cut or odd there too.
final class TLSServer {
    /// The certificate that the server shows.
    enum Certificate: String, CaseIterable {
        /// For `localhost` and 127.0.0.1, by the authority.
        case good
        /// Like `good`, but by an authority that another one has certified.
        case intermediate
        /// Like `good`, but for another name.
        case otherName
        case expired
        case selfSigned
    }

    let port: UInt16
    private let directory: TemporaryDirectory
    private let server: ChildProcess

    /// - Parameters:
    ///   - key: what `openssl req -newkey` takes for the keys of the authority and of the server.
    ///   - digest: the option for what the authority signs, if not OpenSSL's default.
    ///   - options: more words for `openssl s_server`.
    init(
        _ certificate: Certificate, key: String = "ec -pkeyopt ec_paramgen_curve:P-256", digest: String? = nil,
        options: String = ""
    ) throws {
        directory = try TemporaryDirectory()
        try TLSServer.makeCertificates(certificate, key: "-nodes -newkey \(key)", digest: digest, in: directory)
        server = try TLSServer.start(
            ["s_server", "-accept", "127.0.0.1:0", "-cert", "leaf.pem", "-key", "leaf.key"] + TLSServer.words(options),
            in: directory.path)
        var line = ""
        while !line.hasPrefix("ACCEPT 127.0.0.1:") { line = try server.line() }
        guard let port = UInt16(line.dropFirst("ACCEPT 127.0.0.1:".count)) else { throw Failure("no port: \(line)") }
        self.port = port
    }

    var caFile: String { directory("ca.pem") }

    /// The SHA-256 of the certificate that it shows, as openssl computes it.
    func fingerprint(withColons: Bool = false) throws -> String {
        let line = try TLSServer.start(
            ["x509", "-in", "leaf.pem", "-noout", "-fingerprint", "-sha256"], in: directory.path
        ).finish().output
        let digits = line.split(separator: "=").last?.filter { !$0.isNewline } ?? ""
        return "sha256:" + (withColons ? digits : digits.filter { $0 != ":" }.lowercased())
    }

    /// Writes to the connection that is open. The first byte may not be one of the tool's own commands, which are
    /// single letters other than `H`.
    func send(_ text: String) { server.type(text) }

    func waitForRequest() throws { while try server.line() != "\r" {} }

    /// Makes a file for `-HTTP`, which sends a file as it is, its head included.
    func write(file: String, bytes: [UInt8]) throws {
        try directory.write(file, Array("HTTP/1.1 200 OK\r\nContent-Length: \(bytes.count)\r\n\r\n".utf8) + bytes)
    }

    /// Kills the process, which ends the connection without TLS's close_notify.
    func stop() {
        server.signal(SIGKILL)
        _ = server.finish()
    }

    private static func makeCertificates(
        _ certificate: Certificate, key: String, digest: String?, in directory: TemporaryDirectory
    ) throws {
        let key = words(key)
        let names = certificate == .otherName ? "DNS:elsewhere.example,IP:127.0.0.2" : "DNS:localhost,IP:127.0.0.1"
        let root = certificate == .intermediate ? "root" : "ca"
        try run(
            ["req", "-x509"] + key
                + ["-keyout", "\(root).key", "-out", "\(root).pem", "-subj", "/CN=test-\(root)", "-days", "2"],
            in: directory.path)
        if certificate == .intermediate {
            try directory.write("authority", "basicConstraints=critical,CA:TRUE")
            try run(
                ["req"] + key + ["-keyout", "ca.key", "-out", "ca.csr", "-subj", "/CN=test-ca"], in: directory.path)
            try run(
                ["x509", "-req", "-in", "ca.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial"]
                    + ["-days", "2", "-extfile", "authority", "-out", "ca.pem"],
                in: directory.path)
        }
        if certificate == .selfSigned {
            try run(
                ["req", "-x509"] + key
                    + ["-keyout", "leaf.key", "-out", "leaf.pem", "-subj", "/CN=leaf", "-days", "2"]
                    + ["-addext", "subjectAltName=\(names)"],
                in: directory.path)
            return
        }
        try directory.write("extensions", "subjectAltName=\(names)")
        try run(
            ["req"] + key + ["-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=leaf"], in: directory.path)
        try run(
            ["x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
                + (digest.map { [$0] } ?? [])
                + ["-days", certificate == .expired ? "-1" : "2", "-extfile", "extensions", "-out", "leaf.pem"],
            in: directory.path)
    }

    private static func words(_ text: String) -> [String] { text.split(separator: " ").map(String.init) }

    private static func run(_ words: [String], in directory: String) throws {
        let outcome = try start(words, in: directory).finish()
        guard outcome.code == 0 else { throw Failure("openssl: \(outcome.errors)") }
    }

    private static func start(_ words: [String], in directory: String) throws -> ChildProcess {
        try ChildProcess(
            "/bin/sh", ["-c", "cd \"$0\" && exec openssl \"$@\"", directory] + words,
            environment: ["PATH": "/usr/bin:/bin"], input: words[0] == "s_server" ? .pipe : .nothing)
    }
}
