@testable internal import NatterServer
internal import NatterSystem
internal import Testing

@Suite("what the login limit counts by")
struct LoginLimiterTests {
    /// How many wrong passwords for as many names pass, from addresses in turn.
    private func failures(from addresses: [String]) -> Int {
        let limiter = LoginLimiter(now: { 0 })
        var count = 0
        for index in 0..<200 {
            guard let attempt = try? limiter.begin(name: "u\(index)", address: addresses[index % addresses.count])
            else {
                break
            }
            limiter.fail(attempt)
            count += 1
        }
        return count
    }

    @Test(
        "addresses of one network are one client: an IPv4 /24, an IPv6 /64",
        arguments: [
            ["2001:db8::1"], ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::1"], ["192.0.2.1", "192.0.2.200"],
            ["127.0.0.1", "127.9.9.9", "::1"],
        ])
    func together(addresses: [String]) { #expect(failures(from: addresses) == LoginLimiter.perNetwork) }

    @Test(
        "others are not",
        arguments: [["2001:db8::1", "2001:db8:0:1::1"], ["192.0.2.1", "192.0.3.1"], ["127.0.0.1", "192.0.2.1"]])
    func apart(addresses: [String]) { #expect(failures(from: addresses) == 2 * LoginLimiter.perNetwork) }

    @Test("who guesses an account's password locks out nobody on another network")
    func elsewhere() throws {
        let limiter = LoginLimiter(now: { 0 })
        for _ in 0..<LoginLimiter.perAccount {
            limiter.fail(try limiter.begin(name: "alice", address: "192.0.2.1"))
        }
        #expect(throws: APIError.self) { try limiter.begin(name: "alice", address: "192.0.2.200") }
        for address in ["192.0.3.1", "2001:db8::1", "127.0.0.1"] {
            limiter.cancel(try limiter.begin(name: "alice", address: address))
        }
        limiter.cancel(try limiter.begin(name: "bob", address: "192.0.2.1"))
    }

    @Test("memory is bounded, however many names and addresses there are")
    func bounded() throws {
        let clock = Monitor<Int64>(0)
        let limiter = LoginLimiter(
            maximumEntries: 1_000,
            now: {
                clock.withLock { time in
                    time += 1
                    return time
                }
            })
        for index in 0..<20_000 {
            limiter.fail(try limiter.begin(name: "u\(index)", address: "10.\(index >> 8).\(index & 255).1"))
            #expect(limiter.count <= 2_000)
        }
        // The oldest are dropped, not the newest.
        for _ in 0..<9 { limiter.fail(try limiter.begin(name: "u19999", address: "10.78.31.9")) }
        #expect(throws: APIError.self) { try limiter.begin(name: "U19999", address: "10.78.31.2") }
    }
}
