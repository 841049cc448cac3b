internal import CMicroHTTPD
internal import Glibc
internal import NatterLanguage
internal import NatterSystem
internal import NatterTLS
internal import Synchronization

/// Drives libmicrohttpd. Everything but its making happens on one thread, the one that calls `run`.
///
/// The library's own epoll thread loses wake-ups when another thread resumes a connection (measured with 0.9.75), so
/// this thread alone suspends and resumes, and others reach it by a ``Mailbox``.
final class ListenerLoop {
    let limits: ListenerLimits
    let handler: any HTTPHandler
    let mailbox: Mailbox
    let proxies: Set<PeerAddress>
    /// Milliseconds, as of the last wake-up; what a request needs to know of time is not worth a look each.
    private(set) var now = MonotonicClock.now()
    private(set) var isStopping = false
    let count = Atomic<Int>(0)

    private var socket: ListeningSocket
    private let lingerer: Lingerer
    let handshakes: HandshakeWatch
    /// What connections speak TLS with from now on; nil where they don't.
    private var identity: TLSIdentity?
    private let connectionLimit: Int
    private var daemon: OpaquePointer?
    private var connections: [Connection] = []
    private var collectedBytes = 0
    private var perAddress: [PeerAddress.Key: Int] = [:]
    private var events: [LoopEvent] = []
    private var nextReaping: Int64
    private var reapingBegan: Int64
    /// Connections before this one have not been looked at in this round.
    private var unreaped = 0
    /// A round looks at the connections in so many parts, or in fewer where they are few: thousands that come together
    /// are cut together, and would hold everybody up for as long as that takes.
    private static let partsOfRound = 50
    private static let leastPart = 64

    /// Starts to listen; connections wait until `run`.
    init(
        socket: consuming ListeningSocket, limits: ListenerLimits, connectionLimit: Int, proxies: Set<PeerAddress>,
        identity: TLSIdentity?, handler: any HTTPHandler, mailbox: Mailbox
    ) throws(ListenerError) {
        (self.limits, self.proxies, self.handler, self.mailbox) = (limits, proxies, handler, mailbox)
        self.connectionLimit = connectionLimit
        self.identity = identity
        reapingBegan = now
        nextReaping = now + limits.reaperMilliseconds
        lingerer = try Lingerer(limits: limits)
        handshakes = try HandshakeWatch()
        self.socket = socket
        var settings = DaemonCallbacks.settings
        settings.listening_descriptor = self.socket.descriptor
        settings.connection_limit = UInt32(clamping: connectionLimit)
        settings.connection_memory = limits.connectionMemoryBytes
        settings.context = Unmanaged.passUnretained(self).toOpaque()
        let started =
            identity == nil
            ? natter_start_daemon(&settings)
            : TLSIdentity.priorities.withCString { priorities in
                settings.tls_priorities = priorities
                return natter_start_daemon(&settings)
            }
        guard let daemon = started else { throw .cannotStart }
        // From here on the socket is ours again to close: the library is told so at the end.
        self.daemon = daemon
    }

    deinit { closeDaemon() }

    /// Serves until it is told to stop and nothing is left, or the time for that is over.
    func run() {
        guard let daemon else { return }
        mailbox.adoptThread()
        var stopDeadline: Int64?
        while true {
            wait(daemon, until: nextReaping)
            now = MonotonicClock.now()
            takeEvents()
            MHD_run(daemon)
            if now >= nextReaping { reap() }
            guard isStopping else { continue }
            let deadline = stopDeadline ?? now + limits.stopMilliseconds
            stopDeadline = deadline
            if (connections.isEmpty && lingerer.isEmpty) || now >= deadline { break }
            closeIdle()
        }
        end(daemon)
    }

    private func wait(_ daemon: OpaquePointer, until time: Int64) {
        var timeout = max(0, time - MonotonicClock.now())
        var wanted: UInt64 = 0
        if MHD_get_timeout(daemon, &wanted) == .YES { timeout = min(timeout, Int64(clamping: wanted)) }
        // Idle connections are looked at more often while stopping: nothing tells when a request is over.
        if isStopping { timeout = min(timeout, 20) }
        withUnsafeTemporaryAllocation(of: pollfd.self, capacity: 4) { places in
            places[0] = pollfd(fd: natter_epoll_descriptor(daemon), events: Int16(POLLIN), revents: 0)
            places[1] = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
            places[2] = pollfd(fd: lingerer.descriptor, events: Int16(POLLIN), revents: 0)
            places[3] = pollfd(fd: handshakes.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(places.baseAddress, 4, Int32(clamping: timeout)) > 0 else { return }
            if places[1].revents != 0 { mailbox.acknowledge() }
            if places[2].revents != 0 { lingerer.drain() }
            if places[3].revents != 0 { handshakes.resumeReady() }
        }
    }

    private func takeEvents() {
        mailbox.take(into: &events)
        for event in events {
            switch event {
            case .reply(let exchange, let reply):
                if let connection = exchange.connection, !connection.isCut {
                    connection.take(reply)
                } else {
                    reply.discard()
                }
            case .resume(let exchange): exchange.connection?.resumeTransfer()
            case .identity(let identity): self.identity = identity
            case .stop: beginStopping()
            }
        }
        events.removeAll(keepingCapacity: true)
    }

    /// Looks at the deadlines of some connections, from the last to the first: what takes the place of one that ends is the
    /// last, which was looked at.
    private func reap() {
        if unreaped == 0 {
            lingerer.reap(now: now)
            (unreaped, reapingBegan) = (connections.count, now)
        }
        let part = max(ListenerLoop.leastPart, connections.count / ListenerLoop.partsOfRound)
        let end = min(unreaped, connections.count)
        unreaped = max(0, end - part)
        for connection in connections[unreaped..<end] where !connection.isCut { connection.checkDeadline() }
        let period = limits.reaperMilliseconds
        nextReaping =
            unreaped == 0
            ? max(reapingBegan + period, now + 1) : now + max(1, period / Int64(ListenerLoop.partsOfRound))
    }

    // MARK: Connections come and go

    func accepts(_ address: UnsafePointer<sockaddr>?) -> Bool {
        guard let peer = PeerAddress(address) else { return false }
        guard let key = key(of: peer) else { return true }
        return perAddress[key, default: 0] < limits.connectionsPerAddress
    }

    /// What the connections of an address are counted by; those of a proxy are many clients', whose requests are counted.
    private func key(of peer: PeerAddress) -> PeerAddress.Key? { proxies.contains(peer) ? nil : peer.key }

    /// Counts a connection of an address, or a request that a proxy has brought from there.
    ///
    /// - Returns: false, and nothing is counted, if it has as many as it may.
    func enter(_ client: PeerAddress) -> Bool {
        guard let key = key(of: client) else { return true }
        guard perAddress[key, default: 0] < limits.connectionsPerAddress else { return false }
        perAddress[key, default: 0] += 1
        return true
    }

    func leave(_ client: PeerAddress) {
        guard let key = key(of: client) else { return }
        let rest = perAddress[key, default: 1] - 1
        perAddress[key] = rest > 0 ? rest : nil
    }

    /// - Returns: the connection's context, which lives until `closed`; nil if it could not be taken.
    func opened(_ handle: OpaquePointer) -> UnsafeMutableRawPointer? {
        let descriptor = natter_connection_descriptor(handle)
        guard let address = PeerAddress(natter_connection_address(handle)) else { return nil }
        let connection = Connection(handle: handle, descriptor: descriptor, address: address, loop: self)
        if let identity, let session = natter_connection_tls(handle) {
            connection.beginTLS(OpaquePointer(session), identity)
        }
        connection.index = connections.count
        connections.append(connection)
        handler.connected(connection.addressText)
        // Whoever is one too many was turned away before.
        _ = enter(address)
        count.store(connections.count, ordering: .relaxed)
        return Unmanaged.passUnretained(connection).toOpaque()
    }

    func closed(_ connection: Connection) {
        handshakes.remove(connection)
        handler.disconnected(connection.summary)
        if !connection.isCut, connection.mustLinger || SocketStatistics.unreadBytes(connection.descriptor) > 0 {
            lingerer.keep(connection.descriptor, now: now)
        }
        leave(connection.address)
        let last = connections.removeLast()
        if last !== connection {
            last.index = connection.index
            connections[connection.index] = last
        }
        count.store(connections.count, ordering: .relaxed)
    }

    /// libmicrohttpd is about to answer 400 to a head that it has just read whole, and 0.9.75 would send that answer's
    /// head twice, which is two answers. So the connection gets ours, and is closed before the library's.
    ///
    /// The library does not say which connection it is about: it is the one whose head is there, unseen by us.
    func libraryRefusesHead() {
        for connection in connections where connection.hasUnseenHead {
            connection.answerPastLibrary(
                handler.guardReply(
                    .malformed(reason: "the Content-Length is not a number, or a cookie is malformed")))
        }
    }

    // MARK: Memory

    /// Counts bytes of a body that is being collected; false if there may be no more of them.
    func reserve(_ count: Int) -> Bool {
        guard collectedBytes + count <= limits.collectedBytes else { return false }
        collectedBytes += count
        return true
    }

    func release(_ count: Int) { collectedBytes -= count }

    // MARK: The end

    private func beginStopping() {
        guard !isStopping, let daemon else { return }
        isStopping = true
        MHD_quiesce_daemon(daemon)
        socket.close()
        handler.stopping()
    }

    private func closeIdle() {
        for connection in connections where !connection.isCut && connection.isIdle { connection.cut("stopping") }
    }

    private func end(_ daemon: OpaquePointer) {
        for connection in connections where !connection.isCut { connection.cut("stopping") }
        // A suspended connection must be resumed, and its resumption carried out, before the daemon may be stopped.
        for _ in 0..<3 { MHD_run(daemon) }
        for event in mailbox.close() {
            if case .reply(_, let reply) = event { reply.discard() }
        }
        closeDaemon()
    }

    private func closeDaemon() {
        guard let daemon else { return }
        self.daemon = nil
        // Quiesced, so that the library leaves the listening socket to its owner.
        if !isStopping { MHD_quiesce_daemon(daemon) }
        MHD_stop_daemon(daemon)
    }
}
