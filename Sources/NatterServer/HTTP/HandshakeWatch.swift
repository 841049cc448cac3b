internal import CMicroHTTPD
internal import Glibc

/// Waits for clients in the middle of a TLS handshake.
///
/// libmicrohttpd 0.9.75 takes a connection whose handshake has to wait for ready to be read, and runs it again and again
/// with no pause. So such a connection is suspended, and this tells when there is something for it to read.
final class HandshakeWatch {
    /// Readable when a client has gone on.
    let descriptor: Int32
    private var waiting: [Int32: Connection] = [:]

    init() throws(ListenerError) {
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw .cannotStart }
    }

    deinit { close(descriptor) }

    /// - Returns: false if it cannot be waited for.
    func add(_ connection: Connection) -> Bool {
        var event = epoll_event()
        event.events = EPOLLIN.rawValue | EPOLLRDHUP.rawValue
        event.data.fd = connection.descriptor
        guard epoll_ctl(descriptor, EPOLL_CTL_ADD, connection.descriptor, &event) == 0 else { return false }
        waiting[connection.descriptor] = connection
        return true
    }

    func remove(_ connection: Connection) {
        guard waiting.removeValue(forKey: connection.descriptor) != nil else { return }
        epoll_ctl(descriptor, EPOLL_CTL_DEL, connection.descriptor, nil)
    }

    /// Lets those go on who can.
    func resumeReady() {
        withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 256) { events in
            let count = epoll_wait(descriptor, events.baseAddress, Int32(events.count), 0)
            for index in 0..<Int(max(0, count)) { waiting[events[index].data.fd]?.resumeHandshake() }
        }
    }
}
