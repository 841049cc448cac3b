internal import CMicroHTTPD
internal import Glibc

/// Closes sockets slowly: what a refused client goes on sending is read and thrown away for a while.
///
/// Closing a socket with unread bytes in it resets the connection, and a reset throws away the answer that the client
/// has not read yet. So our side is shut down, and the other kept open.
final class Lingerer {
    /// Readable when there is something to throw away.
    let descriptor: Int32
    private let limits: ListenerLimits
    private var deadlines: [Int32: Int64] = [:]

    init(limits: ListenerLimits) throws(ListenerError) {
        self.limits = limits
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw .cannotStart }
    }

    deinit {
        for socket in deadlines.keys { close(socket) }
        close(descriptor)
    }

    /// Keeps the connection behind `socket`, which its owner may close.
    func keep(_ socket: Int32, now: Int64) {
        guard deadlines.count < limits.lingerConnections else { return }
        let copy = fcntl(socket, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { return }
        // libmicrohttpd has done it by now, but not where TLS has ended.
        shutdown(copy, Int32(SHUT_WR))
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.fd = copy
        guard epoll_ctl(descriptor, EPOLL_CTL_ADD, copy, &event) == 0 else {
            close(copy)
            return
        }
        deadlines[copy] = now + limits.lingerMilliseconds
    }

    /// Reads what has come; a client that closed its side is let go.
    func drain() {
        withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) { scratch in
            withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) { events in
                let count = epoll_wait(descriptor, events.baseAddress, Int32(events.count), 0)
                for index in 0..<Int(max(0, count)) {
                    let socket = events[index].data.fd
                    let received = recv(socket, scratch.baseAddress, scratch.count, Int32(MSG_DONTWAIT))
                    if received == 0 || (received < 0 && errno != EAGAIN && errno != EINTR) { drop(socket) }
                }
            }
        }
    }

    /// Lets those go whose time is over.
    func reap(now: Int64) {
        for (socket, deadline) in deadlines where now > deadline { drop(socket) }
    }

    var isEmpty: Bool { deadlines.isEmpty }

    private func drop(_ socket: Int32) {
        deadlines[socket] = nil
        close(socket)
    }
}
