internal import NatterHTTP
internal import NatterModel
internal import NatterSystem
internal import SystemSupport
internal import Testing
internal import TestSupport

@Suite("TLS", .serialized, .timeLimit(.minutes(5)))
struct TLSTests {
    private func status(of server: TLSServer) throws -> Int {
        try makeClient("https://localhost:\(server.port)", caFile: server.caFile).perform(HTTPRequest(.get, "/")).status
    }

    private func refusalOf(_ server: TLSServer) -> (kind: Kind, text: String)? {
        refusal(
            try makeClientUnchecked("https://localhost:\(server.port)", caFile: server.caFile).perform(
                HTTPRequest(.get, "/")))
    }

    @Test(
        "a certificate of the given authority is verified, by name and by address",
        arguments: ["localhost", "127.0.0.1"], [TLSServer.Certificate.good, .intermediate])
    func verified(host: String, certificate: TLSServer.Certificate) throws {
        for version in ["-tls1_2", "-tls1_3"] {
            let server = try TLSServer(certificate, options: "-www \(version)")
            let client = try makeClient("https://\(host):\(server.port)", caFile: server.caFile)
            for _ in 1...2 {
                let response = try client.perform(HTTPRequest(.get, "/"))
                #expect(response.status == 200)
                #expect(text(response).contains("s_server"))
            }
        }
    }

    @Test(
        "certificates with every kind of key are verified",
        arguments: [
            "rsa:2048", "rsa-pss -pkeyopt rsa_keygen_bits:2048", "ec -pkeyopt ec_paramgen_curve:P-384",
            "ec -pkeyopt ec_paramgen_curve:P-521", "ed25519", "ed448",
        ])
    func keys(kind: String) throws {
        for version in ["-tls1_2", "-tls1_3"] {
            #expect(try status(of: TLSServer(.good, key: kind, options: "-www \(version)")) == 200)
        }
    }

    @Test(
        "each cipher and each group is agreed on with a server that has no other",
        arguments: [
            "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256", "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384",
            "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256", "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256",
            "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384", "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305",
            "-groups X25519", "-groups X448", "-groups P-256", "-groups P-384", "-groups P-521",
        ])
    func algorithms(options: String) throws {
        #expect(try status(of: TLSServer(.good, options: "-www \(options)")) == 200)
    }

    @Test(
        "an authority may sign with each of the usual digests",
        arguments: ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-384"], ["-sha256", "-sha384", "-sha512"])
    func digests(kind: String, digest: String) throws {
        #expect(try status(of: TLSServer(.good, key: kind, digest: digest, options: "-www")) == 200)
    }

    @Test("only ciphers with forward secrecy are offered")
    func forwardSecrecy() throws {
        func server(_ ciphers: String) throws -> TLSServer {
            try TLSServer(.good, key: "rsa:2048", options: "-www -tls1_2 -serverpref -cipher \(ciphers)")
        }
        #expect(try status(of: server("AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256")) == 200)
        let failed = try refusalOf(server("AES128-GCM-SHA256"))
        #expect(failed?.text.contains("handshake failure") == true, "\(failed?.text ?? "taken")")
    }

    // It tests what natterd's hooks do, though the other clients of this process have set the library up already.
    @Test("a client that shares OpenSSL with others verifies, too")
    func shared() throws {
        let server = try TLSServer(.good, options: "-www")
        for caFile in [server.caFile, nil] {
            let client = HTTPClient(
                address: try ServerAddress(url: "https://localhost:\(server.port)"), timeoutMilliseconds: 60_000,
                caFile: caFile, userAgent: "natter-test")
            let failed = refusal(try client.perform(HTTPRequest(.get, "/")))
            #expect(failed?.kind == (caFile == nil ? .certificate : nil))
        }
    }

    @Test(
        "any other certificate is refused, with the reason",
        arguments: [
            (TLSServer.Certificate.otherName, "localhost", "hostname mismatch; use a name that it is made out to"),
            (.otherName, "127.0.0.1", "ip address mismatch; use a name that it is made out to"),
            (.expired, "localhost", "certificate has expired; ask the server's administrator to renew it"),
            (.selfSigned, "localhost", "self-signed certificate; if you trust its authority, name that with --ca-file"),
        ])
    func refused(certificate: TLSServer.Certificate, host: String, reason: String) throws {
        let server = try TLSServer(certificate, options: "-www")
        let failed = refusal(
            try makeClientUnchecked("https://\(host):\(server.port)", caFile: server.caFile).perform(
                HTTPRequest(.post, "/", body: [])))
        #expect(failed?.kind == .certificate)
        let words = reason.split(separator: "; ", maxSplits: 1)
        let text = failed?.text ?? ""
        #expect(text.hasPrefix("the certificate of '\(host)' is not verified: \(words[0]); it is '/CN="), "\(text)")
        let pinned = try server.fingerprint()
        #expect(text.hasSuffix("', \(pinned), checked with '\(server.caFile)'; \(words[1])"), "\(text)")
    }

    @Test(
        "a certificate is trusted by its fingerprint alone, whoever issued it, for any name; another one gets nothing")
    func pinned() throws {
        let (own, other) = (try TLSServer(.selfSigned, options: "-www"), try TLSServer(.good, options: "-www"))
        let pinned = try #require(CertificateFingerprint(try own.fingerprint(withColons: true)))
        func client(_ server: TLSServer) throws -> HTTPClient {
            HTTPClient(
                address: try ServerAddress(url: "https://127.0.0.1:\(server.port)"), timeoutMilliseconds: 60_000,
                caFile: server.caFile, fingerprint: pinned, userAgent: "natter-test", ownsOpenSSL: true)
        }
        #expect(try client(own).perform(HTTPRequest(.get, "/")).status == 200)
        let refused = try client(other)
        let failed = refusal(try refused.perform(HTTPRequest(.post, "/", body: Array("a secret".utf8))))
        #expect(failed?.kind == .certificate)
        for fingerprint in ["\(pinned)", try other.fingerprint()] {
            #expect(failed?.text.contains(fingerprint) == true, "\(failed?.text ?? "taken")")
        }
    }

    @Test("a fingerprint has 64 hexadecimal digits, with colons or without")
    func fingerprints() {
        let digits = String(repeating: "aB", count: 32)
        #expect(CertificateFingerprint("sha256:" + digits)?.description == "sha256:" + digits.lowercased())
        #expect(CertificateFingerprint("SHA256:" + String(repeating: "AB:", count: 31) + "ab") != nil)
        #expect(CertificateFingerprint(digits) != nil)
        for word in ["", "sha256:", "sha1:" + digits, "sha256:" + digits + "00", "sha256:" + digits.dropLast(2) + "zz"]
        {
            #expect(CertificateFingerprint(word) == nil, "\(word)")
        }
    }

    @Test("the system's authorities do not know ours")
    func unknownAuthority() throws {
        let server = try TLSServer(.good, options: "-www")
        let failed = refusal(
            try makeClientUnchecked("https://localhost:\(server.port)").perform(HTTPRequest(.get, "/")))
        #expect(failed?.kind == .certificate)
        #expect(failed?.text.contains("unable to get local issuer certificate") == true)
    }

    @Test("a CA file that cannot be read, or holds no certificate, is named")
    func badFile() {
        for (file, kind) in [
            ("/no/such/file", Kind.unreadable), ("/", .unreadable), ("/dev/null", .malformedCertificates),
        ] {
            let failed = refusal(
                try makeClientUnchecked("https://localhost:1", caFile: file).perform(HTTPRequest(.get, "/")))
            #expect(failed?.kind == kind, "\(file)")
            #expect(failed?.text.contains("'\(file)'") == true)
        }
    }

    @Test("TLS 1.1 is too old")
    func tooOld() throws {
        let server = try TLSServer(.good, options: "-www -tls1_1 -cipher ALL:@SECLEVEL=0")
        let failed = refusalOf(server)
        #expect(failed?.kind == .notReached)
        #expect(failed?.text.contains("no TLS connection") == true, "\(failed?.text ?? "taken")")
    }

    @Test(
        "a server without TLS is not reached",
        arguments: [
            ("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "it does not speak TLS on this port"),
            // libmicrohttpd's answer to a line that is no request.
            ("", "it was closed without an answer"),
        ])
    func plainServer(answer: String, reason: String) throws {
        let server = try ScriptedServer { peer, _ in
            // All of the client's first message, or the close would be a reset.
            _ = peer.read(4_096)
            peer.send(answer)
            if !answer.isEmpty { peer.waitForClose() }
        }
        let failed = refusal(
            try makeClientUnchecked("https://127.0.0.1:\(server.port)").perform(HTTPRequest(.post, "/", body: [])))
        #expect(failed?.kind == .notReached)
        #expect(
            failed?.text
                == "cannot reach 'https://127.0.0.1:\(server.port)': \(reason); its address may begin with 'http://'")
    }

    @Test("a certificate that is none is not a refused connection")
    func malformedCertificate() throws {
        let random = [UInt8](repeating: 7, count: 32)
        // TLS 1.2 with ECDHE-ECDSA-AES128-GCM-SHA256, no session, and secure renegotiation (RFC 5746).
        let hello: [UInt8] = [2, 0, 0, 45, 3, 3] + random + [0, 0xC0, 0x2B, 0, 0, 5, 0xFF, 1, 0, 1, 0]
        // One certificate, whose length has no end. OpenSSL's words for that are not loaded.
        let certificate: [UInt8] = [11, 0, 0, 11, 0, 0, 8, 0, 0, 5, 0x30, 0x85, 1, 1, 1]
        let records = [hello, certificate].flatMap { [22, 3, 3, 0, UInt8($0.count)] + $0 } as [UInt8]
        let server = try ScriptedServer { peer, _ in
            _ = peer.read(1_000)
            peer.send(records)
            peer.waitForClose()
        }
        let failed = refusal(
            try makeClientUnchecked("https://127.0.0.1:\(server.port)").perform(HTTPRequest(.get, "/")))
        #expect(failed?.kind == .notReached)
        #expect(failed?.text.contains("no TLS connection: ") == true, "\(failed?.text ?? "taken")")
    }

    @Test("a refused port, a silent one and one that closes")
    func noHandshake() throws {
        let port = try Loopback.closedPort()
        let refused = refusal(try makeClientUnchecked("https://localhost:\(port)").perform(HTTPRequest(.get, "/")))
        #expect(refused?.kind == .notReached)
        #expect(refused?.text == "cannot reach 'https://localhost:\(port)': connection refused")

        let silent = try ScriptedServer { peer, _ in peer.waitForClose() }
        let late = refusal(
            try makeClientUnchecked("https://127.0.0.1:\(silent.port)", timeoutMilliseconds: 80).perform(
                HTTPRequest(.get, "/")))
        #expect(late?.kind == .timedOut(sent: false))

        let closing = try ScriptedServer { peer, _ in _ = peer.read(10) }
        let closed = refusal(
            try makeClientUnchecked("https://127.0.0.1:\(closing.port)").perform(HTTPRequest(.get, "/")))
        #expect(closed?.kind == .notReached, "\(closed?.text ?? "taken")")
    }

    @Test("answers are read as over plain HTTP, interim ones too, and the connection is kept")
    func scripted() throws {
        let server = try TLSServer(.good)
        let client = try makeClient("https://localhost:\(server.port)", caFile: server.caFile)
        let answers = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        ]
        let script = try SystemThread(name: "script") { [server = Monitor(server)] in
            let server = server.withLock { $0 }
            for answer in answers {
                guard (try? server.waitForRequest()) != nil else { return }
                server.send(answer)
            }
        }
        for _ in answers {
            #expect(text(try client.perform(HTTPRequest(.post, "/", body: []), timeoutMilliseconds: 60_000)) == "hello")
        }
        script.join()
    }

    @Test(
        "an answer without TLS's close_notify is truncated, even if the connection's end delimits it",
        arguments: [
            "HTTP/1.1 200 OK\r\n\r\nhalf of", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf of",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ])
    func cut(wire: String) throws {
        let server = try TLSServer(.good)
        let client = try makeClient("https://localhost:\(server.port)", caFile: server.caFile)
        let script = try SystemThread(name: "script") { [server = Monitor(server)] in
            let server = server.withLock { $0 }
            guard (try? server.waitForRequest()) != nil else { return }
            server.send(wire)
        }
        var body: [UInt8] = []
        let failed = failure { () throws(TransportError) in
            try client.perform(
                HTTPRequest(.get, "/"), timeoutMilliseconds: 60_000,
                onBody: { bytes in
                    body.append(contentsOf: bytes)
                    server.stop()
                })
        }
        script.join()
        #expect(failed?.kind == .interrupted)
        #expect(String(decoding: body, as: UTF8.self).hasPrefix("half"))
    }

    @Test("a large body arrives complete")
    func large() throws {
        let server = try TLSServer(.good, options: "-HTTP")
        let client = try makeClient("https://localhost:\(server.port)", caFile: server.caFile)
        try server.write(file: "large", bytes: [UInt8](repeating: 7, count: 5_000_000))
        let response = try client.perform(HTTPRequest(.get, "/large"))
        #expect(response.body == [UInt8](repeating: 7, count: 5_000_000))
    }
}
