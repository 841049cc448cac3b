internal import NatterHTTP
internal import Testing

@Suite struct ServerAddressTests {
    @Test(
        "an address has one canonical form",
        arguments: [
            ("http://127.0.0.1:7117", "http://127.0.0.1:7117"),
            ("HTTP://Example.ORG", "http://example.org"),
            ("http://example.org:80/", "http://example.org"),
            ("https://example.org:443/chat/", "https://example.org/chat"),
            ("https://example.org:80", "https://example.org:80"),
            ("http://[::1]:7117", "http://[::1]:7117"),
            ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
            ("http://localhost", "http://localhost"),
            ("http://a_b-c.d.", "http://a_b-c.d."),
        ])
    func canonical(given: String, form: String) throws {
        let address = try ServerAddress(url: given)
        #expect(address.description == form)
        #expect(try ServerAddress(url: form) == address)
    }

    @Test(
        "anything but an exact address is refused",
        arguments: [
            "", "example.org", "example.org:80", "ftp://example.org", "http:/example.org", "http://", "http:///x",
            "http://:80", "http://user@example.org", "http://user:secret@example.org", "http://example.org?x=1",
            "http://example.org/#x", "http://example.org:", "http://example.org:0", "http://example.org:65536",
            "http://example.org:+80", "http://example.org:080000", "http://example.org:8o", "http://exam ple.org",
            "http://example..org", "http://-a.org", "http://127.1", "http://0x7f000001", "http://2130706433",
            "http://::1", "http://[::1", "http://[127.0.0.1]", "http://[::1]x", "http://[fe80::1%25eth0]",
            "http://bücher.example", "http://example.org/a b", "http://example.org/%2", "http://example.org/%zz",
            "http://exa\u{0}mple.org", "http://example.org\\@evil.org",
        ])
    func refused(given: String) {
        #expect(throws: AddressError.self) { try ServerAddress(url: given) }
    }

    @Test(
        "only this machine is loopback",
        arguments: [
            ("http://localhost", true), ("http://LOCALHOST:1", true), ("http://127.0.0.1", true),
            ("http://127.9.9.9", true), ("http://[::1]", true), ("http://128.0.0.1", false),
            ("http://127.example.org", false), ("http://localhost.example.org", false), ("http://[::2]", false),
            ("http://0.0.0.0", false), ("http://[::ffff:127.0.0.1]", false),
        ])
    func loopback(given: String, expected: Bool) throws {
        #expect(try ServerAddress(url: given).isLoopback == expected)
    }

    @Test("names are encoded for a path and for a query")
    func encoding() {
        #expect(HTTPRequest.encodeSegment("@bob") == "@bob")
        #expect(HTTPRequest.encodeSegment("a/b c%?#|é") == "a%2Fb%20c%25%3F%23%7C%C3%A9")
        #expect(HTTPRequest.encodeQuery([]) == "")
        #expect(HTTPRequest.encodeQuery([("q", "a&b=c d+é"), ("limit", "5")]) == "?q=a%26b%3Dc%20d%2B%C3%A9&limit=5")
    }

    @Test(
        "addresses that a request of a stranger may go to",
        arguments: [
            ("8.8.8.8", true), ("172.15.255.255", true), ("172.16.0.0", false), ("172.31.255.255", false),
            ("172.32.0.0", true), ("100.63.255.255", true), ("100.64.0.0", false), ("100.127.255.255", false),
            ("0.0.0.0", false), ("10.1.2.3", false), ("127.0.0.1", false), ("169.254.169.254", false),
            ("192.168.0.1", false), ("198.17.0.1", true), ("198.19.0.1", false), ("224.0.0.1", false),
            ("255.255.255.255", false), ("223.255.255.255", true), ("2606:4700::1111", true), ("::1", false),
            ("::", false), ("fe80::1", false), ("fc00::1", false), ("2001:db8::1", false), ("2001::1", false),
            ("2002:7f00:1::", false), ("3fff::1", false), ("::ffff:127.0.0.1", false), ("::ffff:8.8.8.8", true),
            ("64:ff9b::7f00:1", false), ("64:ff9b::808:808", true), ("ff02::1", false), ("localhost", nil),
            ("127.1", nil), ("", nil), ("8.8.8.8 ", nil), ("fe80::1%eth0", nil),
        ] as [(String, Bool?)])
    func publicAddresses(text: String, isPublic: Bool?) {
        #expect(PublicAddress.isPublic(text) == isPublic)
    }
}
