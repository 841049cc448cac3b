internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("TLS")
struct TLSTests {
    /// A data directory with people, a certificate for this machine, and a server with it.
    private func secureWorld(_ options: [String] = []) throws -> World {
        let world = try World(isServing: false)
        try certificate(in: world)
        try world.serve(["--tls-cert", world.certificate, "--tls-key", world.key] + options)
        #expect(world.url.hasPrefix("https://127.0.0.1:"))
        return world
    }

    @discardableResult
    private func certificate(in world: World, _ words: String...) throws -> Outcome {
        for path in [world.certificate, world.key] where Files.mode(path) != nil { unlink(path) }
        let outcome = try Daemon.run(["tls-self-signed", "--data", world.data] + words, home: world.directory.path)
        #expect(outcome.code == 0, "\(outcome.errors)")
        return outcome
    }

    @Test(
        "a household: natterd makes the certificate, natter trusts it by --ca-file or by its settings, and nothing else"
    )
    func household() throws {
        let world = try World(isServing: false)
        let made = try certificate(in: world, "--json", "chat.example")
        let object = try JSON(parsing: made.output)
        #expect(Files.mode(world.certificate) == 0o600 && Files.mode(world.key) == 0o600)
        let shown = try ChildProcess(
            "/usr/bin/openssl", ["x509", "-in", world.certificate, "-noout", "-fingerprint", "-sha256"],
            environment: [:]
        ).finish().output
        #expect(shown.hasSuffix("=\(object[string: "fingerprint"] ?? "?")\n"))
        #expect(!made.output.contains("PRIVATE KEY"))
        try expect(Daemon.run(["tls-self-signed", "--data", world.data], home: world.directory.path), 73)
        // As its last lines say: in natterd.conf, relative to it.
        try world.directory.write(
            "data/natterd.conf", "listen = 0.0.0.0:0\ntls-cert = tls-cert.pem\ntls-key = tls-key.pem\n")
        let daemon = try world.start(["serve"], errors: .path(world.data + ".log"))
        let port = try #require(try daemon.line().split(separator: ":").last)
        let alice = Person(name: "alice", home: world.alice.home, server: "https://localhost:\(port)")
        try expect(alice("send", "one"), 69, "--ca-file")
        #expect(try alice("send", "two", "--ca-file", world.certificate).code == 0)
        #expect(try alice("config", "set", "ca-file", world.certificate).code == 0)
        #expect(try alice("send", "three").code == 0)
        #expect(try alice.texts("log") == ["two", "three"])
        try expect(alice("config", "set", "ca-file", "tls-cert.pem"), 65)
        #expect(daemon.finish(after: SIGTERM).code == 0)
    }

    @Test("a profile trusts one certificate by its fingerprint; any other one gets neither password nor token")
    func fingerprint() throws {
        let world = try secureWorld()
        let shown = try ChildProcess(
            "/usr/bin/openssl", ["x509", "-in", world.certificate, "-noout", "-fingerprint", "-sha256"],
            environment: [:]
        ).finish().output
        let fingerprint = "sha256:" + (shown.split(separator: "=").last?.filter { !$0.isNewline } ?? "")
        let wrong = "sha256:" + String(repeating: "ab", count: 32)
        let alice = world.alice
        // Without it, the error names the certificate and what was to vouch for it
        let unknown = try alice("whoami")
        #expect(unknown.code == 69 && isOneLine(unknown.errors), "\(unknown)")
        let digits = fingerprint.dropFirst(7).filter { $0 != ":" }.lowercased()
        for part in ["'/", "sha256:\(digits)", "'/etc/ssl/certs'"] { #expect(unknown.errors.contains(part), "\(part)") }
        #expect(try alice("profile", "set", "default", "fingerprint=").code == 0)
        let refused = try alice.enter("login", "alice", "--fingerprint", wrong)
        #expect(refused.code == 69 && isOneLine(refused.errors), "\(refused)")
        for part in [wrong, "sha256:\(digits)"] { #expect(refused.errors.contains(part), "\(refused.errors)") }
        try expect(alice.enter("login", "alice", "--fingerprint", "sha256:x"), 64)
        try expect(alice.enter("login", "alice", "--fingerprint", fingerprint), hasNotes: true)
        #expect(try alice("send", "hello").code == 0)
        // It is the profile's from now on
        try expect(alice("profile", "set", "default", "fingerprint=\(wrong)"))
        try expect(alice("send", "x"), 69, wrong)
        try expect(alice("profile", "set", "default", "fingerprint=\(fingerprint)"))
        #expect(try alice.texts("log") == ["hello"])
        try expect(alice("send", "x", "--server", "http://127.0.0.1:1"), 69, "has no certificate")
    }

    @Test("what --queue and wrap keep waits while the certificate is not verified, and goes out once it is")
    func waiting() throws {
        let world = try secureWorld()
        // Given a server whose certificate was replaced by one that its people do not know
        let first = try world.directory.write("first.pem", try #require(Files.bytes(world.certificate)))
        try expect(world.alice("sync", "--ca-file", first))
        world.stopServing()
        try certificate(in: world)
        try world.serve(["--tls-cert", world.certificate, "--tls-key", world.key])
        func wary(_ words: String..., input: String = "") throws -> Outcome {
            try world.alice.run(words + ["--ca-file", first], input: .text(input))
        }
        // When they send what must not get lost
        for text in ["one", "two"] {
            let queued = try wary("send", "--queue", text)
            #expect(queued.code == 0 && queued.errors.contains("certificate") && isOneLine(queued.errors), "\(queued)")
        }
        let lines = try wary("send", "--lines", "--queue", input: "three\nfour\n")
        #expect(lines.code == 0 && isOneLine(lines.errors), "\(lines)")
        for file in [first, world.directory("nosuch.pem")] {
            let wrapped = try world.alice("wrap", "-c", "general", "--ca-file", file, "--", "true")
            #expect(wrapped.code == 0 && wrapped.errors.hasPrefix("natter: queued: "), "\(wrapped)")
        }
        // Then all of it waits, and what would deliver it says why it does not
        for words in [["sync"], ["outbox", "retry"], ["send", "five"]] {
            try expect(world.alice.run(words + ["--ca-file", first]), 69, "certificate")
        }
        let status = try #require(try world.alice("status", "--offline", "--json").objects().first)
        #expect(status[int: "waiting"] == 6 && status[int: "parked"] == 0, "\(status)")
        // And it goes out in order when the certificate is known
        try expect(world.alice("sync", "--ca-file", world.certificate), hasNotes: true)
        let texts = try world.bob.texts("log", "--ca-file", world.certificate)
        #expect(texts.prefix(4) == ["one", "two", "three", "four"] && texts.count == 6, "\(texts)")
    }

    @Test("SIGHUP takes another certificate, and a reader that waits meanwhile is not cut")
    func reload() throws {
        let world = try World(isServing: false)
        try certificate(in: world)
        let first = try world.directory.write("first.pem", try #require(Files.bytes(world.certificate)))
        let daemon = try world.start(
            ["serve", "--listen", "127.0.0.1:0", "--log-level", "debug"]
                + ["--tls-cert", world.certificate, "--tls-key", world.key])
        let url = String(try daemon.line().dropFirst("natterd: listening on ".count))
        let (alice, bob) = (
            world.alice.at(url),
            world.bob.at(url)
        )
        let reader = try bob.start(["log", "-f", "--format", "%m", "--ca-file", first, "--verbose"])
        #expect(try alice("send", "one", "--ca-file", first).code == 0)
        #expect(try reader.line() == "one")
        try certificate(in: world)
        daemon.signal(SIGHUP)
        try daemon.waitForErrors(" reloaded ")
        #expect(try alice("send", "two", "--ca-file", first).code == 69)
        #expect(try alice("send", "three", "--ca-file", world.certificate).code == 0)
        // The reader does not know the new certificate: it can only have this by the connection that it had.
        #expect(try reader.line() == "three")
        // A bad file changes nothing, and is told.
        try Data("nonsense".utf8).write(to: URL(filePath: world.certificate))
        daemon.signal(SIGHUP)
        try daemon.waitForErrors(" not_reloaded ")
        let second = try Self.shownCertificate(url)
        let old = try #require(Files.text(first)).dropLast()
        #expect(second.contains("BEGIN CERTIFICATE") && !second.contains(old))
        let end = reader.finish(after: SIGINT)
        #expect(end.code == 130 && !end.errors.contains("no answer"), "\(end.errors)")
        #expect(daemon.finish(after: SIGTERM).code == 0)
    }

    @Test("a certificate of natterd.conf that is missing is 66 with its line, and systemd does not try it again")
    func missingFile() throws {
        let world = try World(isServing: false)
        try certificate(in: world)
        let configuration = try world.directory.write(
            "data/natterd.conf", "listen = 127.0.0.1:0\ntls-cert = nosuch.pem\ntls-key = \(world.key)\n")
        let outcome = try world.natterd("serve")
        #expect(outcome.code == 66 && isOneLine(outcome.errors), "\(outcome)")
        let problem = "natterd: '\(configuration)', line 2: cannot read '\(world.data)/nosuch.pem': "
        #expect(outcome.errors.hasPrefix(problem), "\(outcome)")
        // A file that the command line names has no line.
        let given = try world.natterd("serve", "--tls-cert", "/nosuch.pem")
        #expect(given.code == 66 && given.errors.hasPrefix("natterd: cannot read '/nosuch.pem': "), "\(given)")
        let unit = URL(filePath: #filePath).appending(path: "../../../packaging/systemd/natterd.service").standardized
            .path
        let line = Files.text(unit)?.split(separator: "\n").first { $0.hasPrefix("RestartPreventExitStatus=") }
        #expect(line?.split { " =".contains($0) }.contains("66") == true)
    }

    @Test("a certificate or a key that cannot be read is 66, one that cannot be served with 78, with the file's name")
    func badFiles() throws {
        let world = try World(isServing: false)
        try certificate(in: world)
        let text = try #require(Files.text(world.certificate))
        let other = try World(isServing: false)
        try certificate(in: other)
        func serve(_ certificate: String, _ key: String) throws -> Outcome {
            try world.natterd("serve", "--listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key)
        }
        let nonsense = try world.directory.write("nonsense", "nonsense")
        let empty = try world.directory.write("empty", "")
        let exposed = try world.directory.write("exposed", try #require(Files.bytes(world.key)), mode: 0o644)
        let encrypted = world.directory("encrypted")
        try Self.openssl(["ec", "-in", world.key, "-aes256", "-passout", "pass:secret", "-out", encrypted])
        let cases = [
            (nonsense, world.key, nonsense), (world.certificate, nonsense, nonsense), (empty, world.key, empty),
            (world.certificate, empty, empty), ("/nix", world.key, "/nix"), (world.certificate, "/nix", "/nix"),
            (world.directory.path, world.key, world.directory.path), (world.certificate, exposed, exposed),
            (world.certificate, encrypted, encrypted), (world.certificate, other.key, other.key),
            (try world.directory.write("cut", String(text.dropLast(40))), world.key, world.directory("cut")),
        ]
        for (certificate, key, named) in cases {
            let outcome = try serve(certificate, key)
            let code: Int32 = named == "/nix" || named == world.directory.path ? 66 : 78
            #expect(
                outcome.code == code && isOneLine(outcome.errors) && outcome.errors.contains("'\(named)'"),
                "\(certificate) \(key): \(outcome)")
        }
        chmod(exposed, 0o640)
        chown(exposed, UInt32.max, 1)
        #expect(try serve(world.certificate, exposed).code == 78)
        for words in [["--tls-cert", world.certificate], ["--tls-key", world.key]] {
            #expect(try Daemon.run(["serve", "--data", world.data] + words, home: world.directory.path).code == 64)
        }
        for words in [["bad name"], ["-x.example"], ["1.2.3"], ["--days", "0"], [""]] {
            let outcome = try Daemon.run(
                ["tls-self-signed", "--data", world.directory("new")] + words, home: world.directory.path)
            #expect(outcome.code == 64 && isOneLine(outcome.errors), "\(words)")
        }
        #expect(Files.mode(world.directory("new")) == nil)
    }

    @Test("keys of other makers are served with", arguments: ["rsa:2048", "ed25519", "ec"])
    func otherKeys(kind: String) throws {
        let world = try World(isServing: false)
        let curve = kind == "ec" ? ["-pkeyopt", "ec_paramgen_curve:P-384"] : []
        try Self.openssl(
            ["req", "-x509", "-newkey", kind] + curve + ["-nodes", "-keyout", world.key, "-out", world.certificate]
                + ["-subj", "/CN=x", "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1"])
        try world.serve(["--tls-cert", world.certificate, "--tls-key", world.key])
        try expectSuccess(world.alice("whoami", "--ca-file", world.certificate))
    }

    @Test("an authority is found in the system's directory, by the hash of its name")
    func hashedDirectory() throws {
        let world = try secureWorld()
        let hash = try ChildProcess(
            "/usr/bin/openssl", ["x509", "-in", world.certificate, "-noout", "-hash"], environment: [:]
        ).finish().output.trimmingCharacters(in: .newlines)
        try FileManager.default.createDirectory(
            atPath: world.directory("certs"), withIntermediateDirectories: false)
        try FileManager.default.createSymbolicLink(
            atPath: world.directory("certs/\(hash).0"), withDestinationPath: world.certificate)
        let places = ["SSL_CERT_DIR": world.directory("certs")]
        try expectSuccess(world.alice.run(["whoami"], environment: places))
        #expect(try world.alice.run(["whoami"], environment: ["SSL_CERT_DIR": world.directory.path]).code == 69)
    }

    @Test("TLS 1.2 and 1.3 are spoken, nothing older, and no cipher without forward secrecy")
    func versions() throws {
        let world = try secureWorld()
        func offers(_ options: String...) throws -> Bool {
            let target = String(world.url.dropFirst("https://".count))
            return try ChildProcess(
                "/usr/bin/openssl", ["s_client", "-connect", target] + options, environment: [:]
            ).finish().output.contains("Verify return code: 18")
        }
        #expect(try offers("-tls1_3"))
        #expect(try offers("-tls1_2"))
        #expect(try offers("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"))
        #expect(try !offers("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"))
        #expect(try !offers("-tls1", "-cipher", "ALL:@SECLEVEL=0"))
        #expect(try !offers("-tls1_2", "-cipher", "AES128-SHA:AES128-GCM-SHA256"))
        #expect(try !offers("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"))
    }

    @Test("the doctor tells of a certificate that ends soon")
    func doctor() throws {
        let world = try World(isServing: false)
        for (days, isFound) in [("3", true), ("90", false)] {
            try certificate(in: world, "--days", days)
            try world.serve(["--tls-cert", world.certificate, "--tls-key", world.key])
            _ = try world.alice("sync", "--ca-file", world.certificate)
            let report = try world.alice("doctor", "--ca-file", world.certificate, "--verbose")
            #expect(report.output.contains("expires on") == isFound, "\(report)")
            #expect(report.errors.contains("certificate: valid until") != isFound)
            world.stopServing()
        }
    }
}

extension World {
    var certificate: String { directory("data/tls-cert.pem") }
    var key: String { directory("data/tls-key.pem") }
}

extension TLSTests {
    private static func openssl(_ words: [String]) throws {
        let outcome = try ChildProcess("/usr/bin/openssl", words, environment: ["PATH": "/usr/bin:/bin"]).finish()
        guard outcome.code == 0 else { throw Failure("openssl: \(outcome.errors)") }
    }

    /// The certificate that a server shows, as PEM.
    private static func shownCertificate(_ url: String) throws -> String {
        try ChildProcess(
            "/usr/bin/openssl", ["s_client", "-connect", String(url.dropFirst("https://".count))], environment: [:]
        ).finish().output
    }
}
