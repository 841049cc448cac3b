@testable import NatterServer
import Testing
import TestSupport

@Suite("X-Forwarded-For")
struct ForwardedForTests {
    private static let proxies: Set<PeerAddress> = Set(
        ["127.0.0.1", "10.0.0.1", "2001:db8::1"].compactMap { PeerAddress($0) })

    @Test(
        "of trusted proxies, the rightmost hop that is none of them is the client",
        arguments: [
            ([], "127.0.0.1"),
            (["203.0.113.7"], "203.0.113.7"),
            ([" \t203.0.113.7 "], "203.0.113.7"),
            (["203.0.113.7:5000"], "203.0.113.7"),
            (["2001:db8:1::9"], "2001:db8:1::9"),
            (["2001:0DB8:1:0::9"], "2001:db8:1::9"),
            (["[2001:db8:1::9]"], "2001:db8:1::9"),
            (["[2001:db8:1::9]:443"], "2001:db8:1::9"),
            (["::ffff:203.0.113.7"], "203.0.113.7"),
            // An address that the client itself has put before it says nothing.
            (["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            (["nonsense, 203.0.113.7"], "203.0.113.7"),
            (["\u{600}, 203.0.113.7"], "203.0.113.7"),
            (["198.51.100.1\u{600}, 203.0.113.7"], "203.0.113.7"),
            (["127.0.0.1, 203.0.113.7"], "203.0.113.7"),
            // Proxies behind proxies, and several headers, which are one list.
            (["203.0.113.7, 10.0.0.1"], "203.0.113.7"),
            (["203.0.113.7, 10.0.0.1", "2001:db8::1"], "203.0.113.7"),
            (["198.51.100.1", "203.0.113.7, 10.0.0.1"], "203.0.113.7"),
            (["203.0.113.7, ::ffff:10.0.0.1"], "203.0.113.7"),
            (["203.0.113.7,2001:DB8::1 , 10.0.0.1"], "203.0.113.7"),
            (["10.0.0.1, 127.0.0.1"], "10.0.0.1"),
            // A text that must be read and is no address leaves only the peer.
            (["unknown"], "127.0.0.1"),
            (["203.0.113.7, nonsense"], "127.0.0.1"),
            (["203.0.113.7, nonsense, 10.0.0.1"], "127.0.0.1"),
            (["203.0.113.7,"], "127.0.0.1"),
            (["203.0.113.7,,10.0.0.1"], "127.0.0.1"),
            ([""], "127.0.0.1"),
            (["203.0.113.7:"], "127.0.0.1"),
            (["203.0.113.7:70000"], "127.0.0.1"),
            (["203.0.113.7:+5"], "127.0.0.1"),
            (["[203.0.113.7]"], "127.0.0.1"),
            (["[2001:db8:1::9"], "127.0.0.1"),
            (["[2001:db8:1::9]x"], "127.0.0.1"),
            (["2001:db8:1::9%eth0"], "127.0.0.1"),
            (["203.0.113"], "127.0.0.1"),
            (["0x7f.1"], "127.0.0.1"),
            (["203.0.113.7 198.51.100.1"], "127.0.0.1"),
            (["\"203.0.113.7\""], "127.0.0.1"),
        ] as [([String], String)])
    func trusted(values: [String], client: String) throws {
        let server = try ListenerServer(proxies: Self.proxies)
        let connection = try RawClient(port: server.port)
        #expect(try connection.request("GET", "/x", headers: values.map { "X-Forwarded-For: \($0)" }).status == 200)
        #expect(server.handler.summary(of: "/x")?.remoteAddress == client)
    }

    @Test("of anybody else it means nothing")
    func untrusted() throws {
        let server = try ListenerServer(proxies: Set([PeerAddress("10.0.0.1")].compactMap { $0 }))
        let connection = try RawClient(port: server.port)
        #expect(try connection.request("GET", "/x", headers: ["X-Forwarded-For: 203.0.113.7"]).status == 200)
        #expect(server.handler.summary(of: "/x")?.remoteAddress == "127.0.0.1")
    }

    @Test("one connection of a proxy brings requests of many clients, each with a limit of its own")
    func limit() throws {
        let server = try ListenerServer(proxies: Self.proxies) { $0.connectionsPerAddress = 3 }
        // A head that is repeated counts as each other.
        let again = try RawClient(port: server.port)
        #expect(try again.request("GET", "/again", headers: ["X-Forwarded-For: 203.0.113.7"]).status == 200)
        let waiting = try (0..<3).map { _ in try RawClient(port: server.port) }
        for client in waiting { client.sendRequest("GET", "/hang", headers: ["X-Forwarded-For: 203.0.113.7"]) }
        #expect(server.handler.hasWaiting(3))
        let other = try RawClient(port: server.port)
        #expect(try other.request("GET", "/other", headers: ["X-Forwarded-For: 203.0.113.8"]).status == 200)
        #expect(try other.request("GET", "/proxy").status == 200)
        #expect(try other.request("GET", "/fourth", headers: ["X-Forwarded-For: 203.0.113.7"]).status == 429)
        #expect(other.isClosedByPeer())
        #expect(try again.request("GET", "/again", headers: ["X-Forwarded-For: 203.0.113.7"]).status == 429)
        // Once one of the three has ended, the next is served.
        server.handler.answerWaiting()
        for client in waiting { #expect(try client.answer().status == 200) }
        let next = try RawClient(port: server.port)
        #expect(try next.request("GET", "/next", headers: ["X-Forwarded-For: 203.0.113.7"]).status == 200)
    }
}
