internal import Glibc
internal import NatterSystem

/// Stands between a client and a server, and cuts connections after a random number of bytes in either direction. Which
/// ones and where is decided by a seed.
final class CuttingProxy: Sendable {
    private struct State {
        var generator: SeededGenerator
        var cutsLeft: Int
        var cuts = 0
        var sockets: Set<Int32> = []
        var isStopping = false
    }

    let port: UInt16
    private let listener: Int32
    private let state: Monitor<State>
    private let threads = Monitor<[SystemThread]>([])

    var url: String { "http://127.0.0.1:\(port)" }
    var cuts: Int { state.withLock { $0.cuts } }

    /// - Parameters:
    ///   - cuts: how many connections are cut; the later ones are left alone.
    ///   - bytes: where a connection may be cut, counted over both directions.
    init(to server: UInt16, seed: UInt64, cuts: Int, bytes: ClosedRange<Int>) throws {
        let (listener, port) = try Loopback.listen()
        let state = Monitor(State(generator: SeededGenerator(seed: seed), cutsLeft: cuts))
        (self.listener, self.port, self.state) = (listener, port, state)
        let thread = try SystemThread(name: "test-proxy") { [threads] in
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                let limit: Int? = state.withLock { state in
                    state.sockets.insert(client)
                    guard state.cutsLeft > 0 else { return nil }
                    state.cutsLeft -= 1
                    return Int.random(in: bytes, using: &state.generator)
                }
                let started = try? SystemThread(name: "test-link") {
                    if CuttingProxy.link(client, to: server, limit: limit) { state.withLock { $0.cuts += 1 } }
                    state.withLock { _ = $0.sockets.remove(client) }
                    close(client)
                }
                if let started { threads.withLock { $0.append(started) } }
            }
        }
        threads.withLock { $0.append(thread) }
    }

    deinit {
        state.withLock { state in for socket in state.sockets { shutdown(socket, Int32(SHUT_RDWR)) } }
        shutdown(listener, Int32(SHUT_RDWR))
        for thread in threads.withLock({ $0 }) { thread.join() }
        close(listener)
    }

    /// Carries bytes both ways until one side ends or the limit is reached.
    ///
    /// - Returns: whether it was cut.
    private static func link(_ client: Int32, to port: UInt16, limit: Int?) -> Bool {
        guard let server = Loopback.connect(to: port) else { return false }
        defer { close(server) }
        var left = limit ?? .max
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            var polls = [
                pollfd(fd: client, events: Int16(POLLIN), revents: 0),
                pollfd(fd: server, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&polls, 2, 30_000) > 0 else { return false }
            for (from, to) in [(0, server), (1, client)] where polls[from].revents != 0 {
                let count = recv(polls[from].fd, &buffer, min(buffer.count, left), 0)
                guard count > 0 else { return false }
                var sent = 0
                while sent < count {
                    let done = buffer.withUnsafeBytes {
                        Glibc.send(to, $0.baseAddress.map { $0 + sent }, count - sent, Int32(MSG_NOSIGNAL))
                    }
                    guard done > 0 else { return false }
                    sent += done
                }
                left -= count
                guard left > 0 else {
                    // As a reset, so that the client may also lose what it had not read yet.
                    var option = linger(l_onoff: 1, l_linger: 0)
                    setsockopt(client, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
                    return true
                }
            }
        }
    }
}
