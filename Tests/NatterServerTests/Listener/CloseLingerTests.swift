import Glibc
@testable import NatterServer
import Testing

@Suite("sockets that are closed slowly")
struct CloseLingerTests {
    /// As for a moment while another thread starts a process, which has all descriptors until it runs its program.
    @Test("a dropped socket is forgotten, also if another descriptor keeps it open", arguments: [true, false])
    func dropped(endsByPeer: Bool) throws {
        let linger = try CloseLinger(limits: ListenerLimits())
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        defer { for end in ends { close(end) } }
        linger.keep(ends[0], now: 0)
        #expect(!linger.isEmpty)
        if endsByPeer {
            shutdown(ends[1], Int32(SHUT_WR))
            linger.drain()
        } else {
            linger.reap(now: .max)
            shutdown(ends[1], Int32(SHUT_WR))
        }
        #expect(linger.isEmpty)
        // Otherwise it would be read and closed once more by a number that may be another file's.
        var watched = pollfd(fd: linger.descriptor, events: Int16(POLLIN), revents: 0)
        #expect(poll(&watched, 1, 0) == 0)
    }
}
