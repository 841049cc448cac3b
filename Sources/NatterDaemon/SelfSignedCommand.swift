internal import NatterCommandLine
internal import NatterModel
internal import NatterSystem
internal import NatterServer
internal import NatterProtocol

extension CommandSpec {
    static let selfSigned = CommandSpec(
        "tls-self-signed", "make a TLS certificate to give to clients yourself", group: "Service",
        options: [
            .option("days", value: "DAYS", "how long it is valid, 3650 by default", long: "It takes 1 to 36,500.")
        ],
        operands: [
            .optional(
                "NAME", isRepeating: true,
                "what clients call the server, a host name or an address; by default those of this machine")
        ],
        description: [
            "Make a private key and a self-signed certificate, 'tls-key.pem' and 'tls-cert.pem' in the data directory. "
                + "Print how to serve with them and what to give to clients. It overwrites nothing.",
            "Clients that get the certificate with 'natter --ca-file' trust this server, and no other server.",
        ],
        examples: [
            Example("natterd tls-self-signed", "for all names and addresses of this machine"),
            Example("natterd tls-self-signed chat.lan 192.168.1.2", "for a name and an address"),
        ],
        run: SelfSignedCommand.run)
}

enum SelfSignedCommand {
    static let certificateName = "tls-cert.pem"
    static let keyName = "tls-key.pem"
    private static let days: ClosedRange<Int64> = 1...36_500
    private static let defaultDays: Int64 = 3_650
    /// The limit for a machine with very many addresses, such as a router.
    private static let addressLimit = 32

    private struct Made: Encodable {
        var certificate: String
        var key: String
        var names: [String]
        var expires: String
        var fingerprint: String
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let directory = try DataDirectory.path(arguments, console)
        let days = try arguments.integer("days", in: days) ?? defaultDays
        let names = try names(arguments)
        let (certificatePath, keyPath) = ("\(directory)/\(certificateName)", "\(directory)/\(keyName)")
        let disk = PosixDisk()
        for path in [certificatePath, keyPath] where try disk.information(path) != nil {
            throw CommandFailure(
                .cannotCreate, code: "exists",
                "'\(path)' exists already; move it away first if clients should trust another one")
        }
        let made = try SelfSignedCertificate(for: names, now: console.clock.now(), days: days)
        try disk.makeDirectories(directory)
        try write(made.key, to: keyPath, disk)
        do throws(DiskError) { try write(made.certificate, to: certificatePath, disk) } catch {
            try? disk.remove(keyPath)
            throw error
        }
        try disk.syncDirectory(directory)
        let object = Made(
            certificate: certificatePath, key: keyPath, names: names.map(\.description), expires: made.expires.rfc3339,
            fingerprint: made.fingerprint)
        do throws(OutputError) {
            if arguments.flag("json") {
                try console.output.writeJSON(WireJSON.encode(object))
            } else {
                try describe(made, names, certificatePath, keyPath, console.output)
            }
            try console.output.flush()
        } catch {
            throw error.afterwards
        }
        return .success
    }

    private static func write(_ bytes: [UInt8], to path: String, _ disk: PosixDisk) throws(DiskError) {
        let file = try disk.open(path, .create)
        do throws(DiskError) {
            try file.write(bytes, at: 0)
            try file.sync()
        } catch {
            // The next run would refuse to overwrite it.
            try? disk.remove(path)
            throw error
        }
    }

    /// The given names, or all names of this machine if there are none. The names for loopback are always included.
    private static func names(_ arguments: Arguments) throws(UsageError) -> [SubjectName] {
        var names: [SubjectName] = []
        func add(_ name: SubjectName?) { if let name, !names.contains(name) { names.append(name) } }
        for text in arguments.operands {
            guard let name = SubjectName(text) else {
                throw arguments.error("'\(text)' is neither a host name nor a numeric address")
            }
            add(name)
        }
        if names.isEmpty, let host = Host.name {
            add(SubjectName(host))
            // The name in multicast DNS.
            if !host.contains(".") { add(SubjectName("\(host).local")) }
        }
        if arguments.operands.isEmpty { Host.addresses.prefix(addressLimit).forEach { add(SubjectName($0)) } }
        for own in ["localhost", "127.0.0.1", "::1"] { add(SubjectName(own)) }
        return names
    }

    private static func describe(
        _ made: SelfSignedCertificate, _ names: [SubjectName], _ certificate: String, _ key: String, _ output: Output
    ) throws(OutputError) {
        let host = names.first?.description ?? "localhost"
        let shown = host.contains(":") ? "[\(host)]" : host
        let list = names.map(\.description).joined(separator: ", ")
        func say(_ phrase: Phrase) throws(OutputError) { try output.writeLine(phrase.text) }
        try say("made '\(certificate)' and '\(key)', valid until \(String(made.expires.rfc3339.prefix(10)))")
        try say("names: \(list)")
        try say("fingerprint: \(made.fingerprint)")
        try output.writeLine("")
        try say("to serve with it, put into 'natterd.conf' beside it:")
        try output.writeLine("  listen = 0.0.0.0:7117")
        try output.writeLine("  tls-cert = \(certificateName)")
        try output.writeLine("  tls-key = \(keyName)")
        try output.writeLine("  registration = invite")
        try output.writeLine("")
        try say("give '\(certificate)', never the key, to each client; there, compare the fingerprint:")
        try output.writeLine("  openssl x509 -in \(certificateName) -noout -fingerprint -sha256")
        try say("and if it is the same:")
        try output.writeLine("  natter config set ca-file /path/to/\(certificateName)")
        try output.writeLine("  natter config set server https://\(shown):7117")
        try output.writeLine("  natter register NAME --invite CODE")
        try say("create an admin account first; that admin's 'natter admin invite' prints a CODE:")
        try output.writeLine("  natterd user add NAME --admin")
    }
}
