internal import Glibc
internal import NatterSystem
internal import TestSupport

/// Stands between clients and a server, and carries each connection on a thread of its own.
final class Proxy: Sendable {
    let port: UInt16
    private let listener: Int32
    private let sockets = Monitor<Set<Int32>>([])
    private let threads = Monitor<[SystemThread]>([])

    var url: String { "http://127.0.0.1:\(port)" }

    /// - Parameter carry: carries all bytes of one connection; the connection is closed when it returns.
    init(_ carry: @escaping @Sendable (Int32) -> Void) throws {
        let (listener, port) = try Loopback.listen()
        (self.listener, self.port) = (listener, port)
        let thread = try SystemThread(name: "test-proxy") { [threads, sockets] in
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                sockets.withLock { _ = $0.insert(client) }
                let started = try? SystemThread(name: "test-link") {
                    carry(client)
                    sockets.withLock { _ = $0.remove(client) }
                    close(client)
                }
                if let started { threads.withLock { $0.append(started) } }
            }
        }
        threads.withLock { $0.append(thread) }
    }

    deinit {
        sockets.withLock { for socket in $0 { shutdown(socket, Int32(SHUT_RDWR)) } }
        shutdown(listener, Int32(SHUT_RDWR))
        while let thread = threads.withLock({ $0.popLast() }) { thread.join() }
        close(listener)
    }
}

/// Cuts connections after a random number of bytes in either direction. A seed decides which ones and where.
final class CuttingProxy: Sendable {
    private struct State {
        var generator: SeededGenerator
        var cutsLeft: Int
        var cuts = 0
    }

    private let state: Monitor<State>
    private let proxy: Proxy

    var url: String { proxy.url }
    var cuts: Int { state.withLock { $0.cuts } }

    /// - Parameters:
    ///   - cuts: how many connections are cut; the later ones are left alone.
    ///   - bytes: where a connection may be cut, counted over both directions.
    ///   - endsThere: after the first cut, all connections are closed at once.
    init(to server: UInt16, seed: UInt64, cuts: Int, bytes: ClosedRange<Int>, endsThere: Bool = false) throws {
        let state = Monitor(State(generator: SeededGenerator(seed: seed), cutsLeft: cuts))
        self.state = state
        proxy = try Proxy { client in
            if endsThere, state.withLock({ $0.cuts > 0 }) { return }
            let limit: Int? = state.withLock { state in
                guard state.cutsLeft > 0 else { return nil }
                state.cutsLeft -= 1
                return Int.random(in: bytes, using: &state.generator)
            }
            if CuttingProxy.link(client, to: server, limit: limit) { state.withLock { $0.cuts += 1 } }
        }
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
                guard count > 0, Loopback.send(Array(buffer[..<count]), to: to) else { return false }
                left -= count
                guard left > 0 else {
                    Loopback.resetOnClose(client)
                    return true
                }
            }
        }
    }
}

/// Loses, doubles, delays or reorders whole requests and answers, as a seed says.
final class UnsteadyProxy: Sendable {
    enum Trouble: CaseIterable {
        case lostRequest, lostAnswer, doubled, doubledLater, delayed, overtaken
    }

    private struct State {
        var generator: SeededGenerator
        var counts: [Trouble: Int] = [:]
        var passed = 0
    }

    private let state: Monitor<State>
    private let late = Monitor<[SystemThread]>([])
    private let proxy: Proxy

    var url: String { proxy.url }
    /// How often each of them has happened.
    var counts: [Trouble: Int] { state.withLock { $0.counts } }
    var passed: Int { state.withLock { $0.passed } }

    /// - Parameter share: the requests that have trouble, in percent.
    init(to server: UInt16, seed: UInt64, share: Int) throws {
        let state = Monitor(State(generator: SeededGenerator(seed: seed)))
        self.state = state
        proxy = try Proxy { [late] client in
            while UnsteadyProxy.carry(client, to: server, share, state, late) {}
        }
    }

    deinit { while let thread = late.withLock({ $0.popLast() }) { thread.join() } }

    /// Carries one request and its answer.
    ///
    /// - Returns: whether the connection stays open.
    private static func carry(
        _ client: Int32, to server: UInt16, _ share: Int, _ state: Monitor<State>, _ late: Monitor<[SystemThread]>
    ) -> Bool {
        guard let request = Loopback.message(from: client) else { return false }
        let (trouble, pause) = state.withLock { state -> (Trouble?, UInt32) in
            let isTroubled = Int.random(in: 0..<100, using: &state.generator) < share
            let trouble = isTroubled ? Trouble.allCases.randomElement(using: &state.generator) : nil
            if let trouble { state.counts[trouble, default: 0] += 1 } else { state.passed += 1 }
            return (trouble, UInt32.random(in: 1_000...40_000, using: &state.generator))
        }
        switch trouble {
        case .lostRequest: return false
        case .lostAnswer:
            _ = Loopback.exchange(request, with: server)
            return false
        case .doubled: _ = Loopback.exchange(request, with: server)
        case .doubledLater:
            let thread = try? SystemThread(name: "test-late") {
                usleep(pause)
                _ = Loopback.exchange(request, with: server)
            }
            if let thread { late.withLock { $0.append(thread) } }
        case .delayed: usleep(pause)
        case .overtaken:
            // Until another request has gone through, if there is any.
            let passed = state.withLock { $0.passed }
            _ = state.wait(timeoutMilliseconds: 50) { $0.passed > passed ? true : nil }
        case nil: state.signal { _ in }
        }
        guard let answer = Loopback.exchange(request, with: server) else { return false }
        return Loopback.send(answer, to: client)
    }
}
