internal import CMicroHTTPD
internal import Glibc
internal import NatterModel
internal import NatterSystem
internal import Synchronization

/// Drives libmicrohttpd. Everything except `init` runs on one thread, the one that calls `run`.
///
/// The library's own epoll thread loses wake-ups when another thread resumes a connection (measured with 0.9.75). So
/// only this thread suspends and resumes connections, and other threads reach it through a ``Mailbox``.
final class ListenerLoop {
    let limits: ListenerLimits
    let handler: any HTTPHandler
    let mailbox: Mailbox
    let proxies: Set<PeerAddress>
    let commonHeaders: [(name: String, value: String)]
    /// The time of the last wake-up, in milliseconds. It is precise enough for deadlines and saves a system call per
    /// request.
    private(set) var now = MonotonicClock.now()
    private(set) var isStopping = false
    /// How often the loop has woken up.
    private(set) var turn: UInt64 = 0
    /// How many turns in a row did not wait for events, because there was work.
    private var unpolledTurns = 0
    private static let mostUnpolledTurns = 4

    /// How many requests the library asks about in each turn. See ``ClientConnection/awaitReply()``.
    var polledRequests = 0
    /// How many events came together last, such as the replies to the posts of one commit.
    private(set) var lastEvents = 0
    /// Whether the library may have work of which no event will tell, apart from those requests.
    var hasWork = false

    private let openConnections: Monitor<Int>
    private var socket: ListeningSocket
    private let linger: CloseLinger
    let handshakes: PendingHandshakes
    /// Tells which clients have gone, because the library does not look at a connection while its answer is made.
    private let departures: SocketPoll
    private var watched: [Int32: ClientConnection] = [:]
    /// The certificate for new connections, or nil for plain HTTP.
    private var identity: TLSIdentity?
    private var daemon: OpaquePointer?
    private var connections: [ClientConnection] = []
    private var collectedBytes = 0
    private var answerBytes = 0
    private var answerBytesByReader: [Int64: Int] = [:]
    private var perAddress: [PeerAddress.Key: Int] = [:]
    private var events: [LoopEvent] = []
    private var nextReaping: Int64
    private var reapingBegan: Int64
    /// Connections before this index have not been checked in this round.
    private var unreaped = 0
    /// A round checks the connections in this many parts, or in fewer if there are few connections. Thousands of
    /// clients that connect together miss their deadline together, and cutting all of them in one step would delay
    /// everyone else.
    private static let partsOfRound = 50
    private static let leastPart = 64

    /// Starts to listen. Connections wait until `run`.
    init(
        socket: consuming ListeningSocket, limits: ListenerLimits, connectionLimit: Int, proxies: Set<PeerAddress>,
        identity: TLSIdentity?, handler: any HTTPHandler, mailbox: Mailbox, openConnections: Monitor<Int>
    ) throws(ListenerError) {
        (self.limits, self.proxies, self.handler, self.mailbox) = (limits, proxies, handler, mailbox)
        (self.identity, self.openConnections) = (identity, openConnections)
        commonHeaders = handler.commonHeaders
        reapingBegan = now
        nextReaping = now + limits.reaperMilliseconds
        linger = try CloseLinger(limits: limits)
        handshakes = try PendingHandshakes()
        departures = try SocketPoll()
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
        // The socket stays ours to close. The library learns that when the daemon is quiesced at the end.
        self.daemon = daemon
    }

    deinit { closeDaemon() }

    /// Serves until it is told to stop. Then it returns when no connection is left or the time for stopping is over.
    func run() {
        guard let daemon else { return }
        mailbox.adoptThread()
        var stopDeadline: Int64?
        while true {
            wait(daemon, until: nextReaping)
            now = MonotonicClock.now()
            turn &+= 1
            takeEvents()
            MHD_run(daemon)
            if now >= nextReaping { reap() }
            guard isStopping else { continue }
            let deadline = stopDeadline ?? now + limits.stopMilliseconds
            stopDeadline = deadline
            if (connections.isEmpty && linger.isEmpty) || now >= deadline { break }
            closeIdle()
        }
        end(daemon)
    }

    private func wait(_ daemon: OpaquePointer, until time: Int64) {
        var timeout = max(0, time - MonotonicClock.now())
        var wanted: UInt64 = 0
        if MHD_get_timeout(daemon, &wanted) == .YES { timeout = min(timeout, Int64(clamping: wanted)) }
        // The library wants a turn at once as long as it asks about a request. If that is all, the reply's event is awaited. The
        // bound is for what it may have besides and does not tell, such as a head that just filled its buffer.
        if timeout == 0, polledRequests > 0, !hasWork { timeout = 1 }
        hasWork = false
        // The library asks for its own events in each turn, and the mailbox is looked into. The others can wait for a few.
        if timeout == 0, unpolledTurns < ListenerLoop.mostUnpolledTurns { return unpolledTurns += 1 }
        unpolledTurns = 0
        // While stopping, look for idle connections more often, because no event says that a request has ended.
        if isStopping { timeout = min(timeout, 20) }
        withUnsafeTemporaryAllocation(of: pollfd.self, capacity: 5) { places in
            places[0] = pollfd(fd: natter_epoll_descriptor(daemon), events: Int16(POLLIN), revents: 0)
            places[1] = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
            places[2] = pollfd(fd: linger.descriptor, events: Int16(POLLIN), revents: 0)
            places[3] = pollfd(fd: handshakes.descriptor, events: Int16(POLLIN), revents: 0)
            places[4] = pollfd(fd: departures.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(places.baseAddress, 5, Int32(clamping: timeout)) > 0 else { return }
            if places[1].revents != 0 { mailbox.acknowledge() }
            if places[2].revents != 0 { linger.drain() }
            if places[3].revents != 0 { handshakes.resumeReady() }
            if places[4].revents != 0 { departures.forEachReady { watched[$0]?.clientHasLeft() } }
        }
    }

    private func takeEvents() {
        mailbox.take(into: &events)
        if !events.isEmpty { lastEvents = events.count }
        for event in events {
            switch event {
            case .answer(.reply(let reply), let exchange):
                if let connection = exchange.connection, !connection.isCut { connection.accept(reply) }
            case .answer(.resume, let exchange): exchange.connection?.resumeTransfer()
            case .answer(.cut, let exchange): exchange.connection?.cutForRefusal()
            case .identity(let identity): self.identity = identity
            case .probe(let probe): probe.answer()
            case .stop: beginStopping()
            }
        }
        events.removeAll(keepingCapacity: true)
    }

    /// Checks the deadlines of some connections, from the last to the first. If a connection ends, the last one takes
    /// its place, and that one was checked already.
    private func reap() {
        if unreaped == 0 {
            linger.reap(now: now)
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

    // MARK: Opening and closing connections

    func accepts(_ address: UnsafePointer<sockaddr>?) -> Bool {
        guard let peer = PeerAddress(address) else { return false }
        // Behind a proxy the server speaks plain HTTP, so nobody on the network may reach it past the proxy.
        guard proxies.isEmpty || peer.isLoopback || proxies.contains(peer) else { return false }
        guard let key = key(of: peer) else { return true }
        return perAddress[key, default: 0] < limits.connectionsPerAddress
    }

    /// The key for counting connections from an address. It is nil for a proxy, because its requests are counted by
    /// client.
    private func key(of peer: PeerAddress) -> PeerAddress.Key? { proxies.contains(peer) ? nil : peer.key }

    /// Counts a connection from an address, or a request that a proxy forwarded from there.
    ///
    /// - Returns: false, without counting, if the address has reached its limit.
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

    /// - Returns: the connection's context, which lives until `closed`. It is nil if the address is unknown.
    func opened(_ handle: OpaquePointer) -> UnsafeMutableRawPointer? {
        let descriptor = natter_connection_descriptor(handle)
        guard let address = PeerAddress(natter_connection_address(handle)) else { return nil }
        let connection = ClientConnection(handle: handle, descriptor: descriptor, address: address, loop: self)
        if let identity, let session = natter_connection_tls(handle) {
            connection.beginTLS(OpaquePointer(session), identity)
        }
        connection.index = connections.count
        connections.append(connection)
        if departures.add(descriptor, onlyEnd: true) { watched[descriptor] = connection }
        handler.connected(connection.addressText)
        // `accepts` has already refused a connection above the limit.
        _ = enter(address)
        openConnections.withLock { $0 = connections.count }
        return Unmanaged.passUnretained(connection).toOpaque()
    }

    func closed(_ connection: ClientConnection) {
        handshakes.remove(connection)
        if watched.removeValue(forKey: connection.descriptor) != nil { departures.remove(connection.descriptor) }
        handler.disconnected(connection.summary)
        if !connection.isCut, connection.mustLinger || SocketStatistics.unreadBytes(connection.descriptor) > 0 {
            linger.keep(connection.descriptor, now: now)
        }
        leave(connection.address)
        let last = connections.removeLast()
        if last !== connection {
            last.index = connection.index
            connections[connection.index] = last
        }
        openConnections.withLock { $0 = connections.count }
    }

    /// libmicrohttpd is about to answer 400 or 413 to a head that it has just read. Version 0.9.75 would send the head of that
    /// reply twice, which makes two replies. So the connection gets our reply and is closed before the library sends
    /// its own.
    ///
    /// The library does not say which connection it refuses. It is the one with a complete head that we have not seen.
    ///
    /// - Parameter isTooLong: The announced body is longer than the library can count.
    func libraryRefusesHead(isTooLong: Bool) {
        let violation: HTTPViolation =
            isTooLong
            ? .bodyTooLarge(limitBytes: .max)
            : .malformed(reason: "the Content-Length is not a number, or a cookie is malformed")
        for connection in connections where connection.hasUnseenHead {
            // It says the same of malformed cookies and of those for which it has no room. These are most of their head, and
            // it has them twice.
            let hadRoom = connection.hasRoomForAnswer(
                headBytes: 2 * connection.headSize, records: connection.recordCount)
            connection.sendPastLibrary(isTooLong || hadRoom ? handler.reply(to: violation) : .headTooLarge)
        }
    }

    // MARK: Memory

    /// Reserves memory for a part of a body. Returns false if all bodies together have reached the limit.
    func reserve(_ count: Int) -> Bool {
        guard collectedBytes + count <= limits.collectedBytes else { return false }
        collectedBytes += count
        return true
    }

    func release(_ count: Int) { collectedBytes -= count }

    /// An answer of so many bytes is never refused, because it takes hardly more than its connection.
    private static let smallAnswerBytes = 32 << 10

    /// Why an answer must not be sent now; nil if there is room for it.
    func violation(sending bytes: Int, to reader: Int64?) -> HTTPViolation? {
        guard bytes > ListenerLoop.smallAnswerBytes else { return nil }
        if let reader, answerBytesByReader[reader, default: 0] + bytes > limits.answerBytesPerReader {
            return .tooManyOwnAnswers
        }
        return answerBytes + bytes > limits.answerBytes ? .tooManyAnswers : nil
    }

    /// Counts the bytes of an answer while it is sent.
    func hold(_ bytes: Int, for reader: Int64?) {
        answerBytes += bytes
        if let reader, bytes > 0 { answerBytesByReader[reader, default: 0] += bytes }
    }

    func letGo(_ bytes: Int, for reader: Int64?) {
        answerBytes -= bytes
        guard let reader, bytes > 0 else { return }
        let rest = answerBytesByReader[reader, default: bytes] - bytes
        answerBytesByReader[reader] = rest > 0 ? rest : nil
    }

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
        // A suspended connection must be resumed and run once more before the daemon may be stopped.
        for _ in 0..<3 { MHD_run(daemon) }
        mailbox.close()
        closeDaemon()
    }

    private func closeDaemon() {
        guard let daemon else { return }
        self.daemon = nil
        // A quiesced daemon leaves the listening socket to its owner.
        if !isStopping { MHD_quiesce_daemon(daemon) }
        MHD_stop_daemon(daemon)
    }
}
