internal import Foundation

/// An authority, certificates of its making and the `openssl s_server` that shows them, in a directory of their own.
///
/// What is written to the server goes out through TLS as it is, so an answer can be cut or odd there too.
final class TLSServer {
    struct Missing: Error {}

    /// What the server shows.
    enum Certificate: String, CaseIterable {
        /// For `localhost` and 127.0.0.1, by the authority.
        case good
        /// The same, but for another name.
        case otherName
        case expired
        case selfSigned
    }

    let directory: URL
    private(set) var port: UInt16 = 0
    private let server = Process()
    private let input = Pipe()
    private let output = Pipe()

    /// Whether the tests can be run at all.
    static let isAvailable = (try? run(["version"], in: URL(fileURLWithPath: "/tmp"))) != nil

    init(_ certificate: Certificate, options: [String] = []) throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("natter-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try makeCertificates(certificate)

        server.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        server.arguments =
            ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", "leaf.pem", "-key", "leaf.key"] + options
        server.currentDirectoryURL = directory
        server.standardInput = input
        server.standardOutput = output
        server.standardError = FileHandle.nullDevice
        try server.run()
        let words = try waitForOutput("ACCEPT 127.0.0.1:", thenLine: true)
        guard let port = UInt16(words) else { throw Missing() }
        self.port = port
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(at: directory)
    }

    var caFile: String { directory.appendingPathComponent("ca.pem").path }

    /// Writes to the connection that is open. The first byte may not be one of the tool's own commands, which are
    /// single letters other than `H`.
    func send(_ text: String) { try? input.fileHandleForWriting.write(contentsOf: Data(text.utf8)) }

    func waitForRequest() throws { _ = try waitForOutput("\r\n\r\n", thenLine: false) }

    /// Makes a file for `-HTTP`, which sends a file as it is, its head included.
    func write(file: String, bytes: [UInt8]) throws {
        var answer = Data("HTTP/1.1 200 OK\r\nContent-Length: \(bytes.count)\r\n\r\n".utf8)
        answer.append(contentsOf: bytes)
        try answer.write(to: directory.appendingPathComponent(file))
    }

    /// Ends the process, and with it the connection without a word of TLS.
    func stop() {
        if server.isRunning { kill(server.processIdentifier, SIGKILL) }
        server.waitUntilExit()
    }

    private var seen = ""

    /// - Returns: the text between `text` and the end of its line.
    private func waitForOutput(_ text: String, thenLine: Bool) throws -> String {
        while true {
            if let found = seen.range(of: text) {
                let rest = seen[found.upperBound...]
                if !thenLine {
                    seen = String(rest)
                    return ""
                }
                if let end = rest.firstIndex(where: \.isNewline) {
                    defer { seen = String(rest[end...]) }
                    return String(rest[..<end])
                }
            }
            let data = output.fileHandleForReading.availableData
            guard !data.isEmpty else { throw Missing() }
            seen += String(decoding: data, as: UTF8.self)
        }
    }

    private func makeCertificates(_ certificate: Certificate) throws {
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        let names = certificate == .otherName ? "DNS:elsewhere.example,IP:127.0.0.2" : "DNS:localhost,IP:127.0.0.1"
        try TLSServer.run(
            ["req", "-x509"] + key + ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test-ca", "-days", "2"],
            in: directory)
        if certificate == .selfSigned {
            try TLSServer.run(
                ["req", "-x509"] + key
                    + ["-keyout", "leaf.key", "-out", "leaf.pem", "-subj", "/CN=leaf", "-days", "2"]
                    + ["-addext", "subjectAltName=\(names)"],
                in: directory)
            return
        }
        try Data("subjectAltName=\(names)".utf8).write(to: directory.appendingPathComponent("extensions"))
        try TLSServer.run(
            ["req"] + key + ["-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=leaf"], in: directory)
        try TLSServer.run(
            ["x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
                + ["-days", certificate == .expired ? "-1" : "2", "-extfile", "extensions", "-out", "leaf.pem"],
            in: directory)
    }

    private static func run(_ arguments: [String], in directory: URL) throws {
        let tool = Process()
        tool.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        tool.arguments = ["openssl"] + arguments
        tool.currentDirectoryURL = directory
        tool.standardInput = FileHandle.nullDevice
        tool.standardOutput = FileHandle.nullDevice
        tool.standardError = FileHandle.nullDevice
        try tool.run()
        tool.waitUntilExit()
        guard tool.terminationStatus == 0 else { throw Missing() }
    }
}
