internal import CMicroHTTPD
internal import Glibc
internal import NatterSystem

/// A set of sockets to wait for with epoll(7).
final class SocketPoll {
    /// Readable while one of the sockets is.
    let descriptor: Int32

    init() throws(ListenerError) {
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw .cannotStart }
    }

    deinit { close(descriptor) }

    /// - Parameter onlyEnd: whether to report only that the other side has ended the connection, once.
    /// - Returns: false if the kernel refuses the socket.
    func add(_ socket: Int32, onlyEnd: Bool = false) -> Bool {
        var event = epoll_event()
        event.events = EPOLLRDHUP.rawValue | (onlyEnd ? EPOLLET.rawValue : EPOLLIN.rawValue)
        event.data.fd = socket
        return epoll_ctl(descriptor, EPOLL_CTL_ADD, socket, &event) == 0
    }

    /// Call it before `socket` is closed. The kernel forgets a socket only when no process has a descriptor of it any more. Until
    /// then it reports it under this number, which may be another file's by now.
    func remove(_ socket: Int32) { epoll_ctl(descriptor, EPOLL_CTL_DEL, socket, nil) }

    /// Calls `body` for readable sockets, at most 256 of them, without waiting.
    func forEachReady(_ body: (Int32) -> Void) {
        withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 256) { events in
            let count = epoll_wait(descriptor, events.baseAddress, Int32(events.count), 0)
            for index in 0..<Int(max(0, count)) { body(events[index].data.fd) }
        }
    }
}

/// Closes sockets slowly. For a while it reads and discards the data that a refused client still sends.
///
/// Closing a socket with unread bytes resets the connection, and the reset discards a reply that the client has not
/// read yet. So only our side is shut down, and the other side stays open.
final class CloseLinger {
    private let limits: ListenerLimits
    private let poll: SocketPoll
    private var deadlines: [Int32: Int64] = [:]

    init(limits: ListenerLimits) throws(ListenerError) {
        self.limits = limits
        poll = try SocketPoll()
    }

    deinit { for socket in deadlines.keys { close(socket) } }

    /// Readable while there is something to discard.
    var descriptor: Int32 { poll.descriptor }

    /// Keeps the connection behind `socket` open, even if its owner closes `socket`.
    func keep(_ socket: Int32, now: Int64) {
        guard deadlines.count < limits.lingerConnections else { return }
        let copy = fcntl(socket, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { return }
        // libmicrohttpd has already done this, except when it ended TLS.
        shutdown(copy, Int32(SHUT_WR))
        guard poll.add(copy) else {
            close(copy)
            return
        }
        deadlines[copy] = now + limits.lingerMilliseconds
    }

    /// Reads and discards the data that has arrived. Drops clients that closed their side.
    func drain() {
        withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) { scratch in
            poll.forEachReady { socket in
                let received = retrying { recv(socket, scratch.baseAddress, scratch.count, Int32(MSG_DONTWAIT)) }
                if received == 0 || (received < 0 && errno != EAGAIN) { drop(socket) }
            }
        }
    }

    /// Drops sockets whose deadline has passed.
    func reap(now: Int64) {
        for (socket, deadline) in deadlines where now > deadline { drop(socket) }
    }

    var isEmpty: Bool { deadlines.isEmpty }

    private func drop(_ socket: Int32) {
        guard deadlines.removeValue(forKey: socket) != nil else { return }
        poll.remove(socket)
        close(socket)
    }
}

/// Connections in a TLS handshake that wait for the client's next bytes.
///
/// libmicrohttpd 0.9.75 treats a connection whose handshake must wait as readable, and runs it in a busy loop. So such
/// a connection is suspended, and resumed when there is something to read.
final class PendingHandshakes {
    private let poll: SocketPoll
    private var waiting: [Int32: ClientConnection] = [:]

    init() throws(ListenerError) { poll = try SocketPoll() }

    /// Readable when a client has continued its handshake.
    var descriptor: Int32 { poll.descriptor }

    /// - Returns: false if the kernel refuses the socket.
    func add(_ connection: ClientConnection) -> Bool {
        guard poll.add(connection.descriptor) else { return false }
        waiting[connection.descriptor] = connection
        return true
    }

    func remove(_ connection: ClientConnection) {
        guard waiting.removeValue(forKey: connection.descriptor) != nil else { return }
        poll.remove(connection.descriptor)
    }

    /// Resumes the connections whose clients have continued.
    func resumeReady() { poll.forEachReady { waiting[$0]?.resumeHandshake() } }
}
