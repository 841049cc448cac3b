internal import Glibc
internal import NatterSystem

/// Stands between clients and a server, and loses, doubles, delays or reorders whole requests and answers, as a seed says.
final class UnsteadyProxy: Sendable {
    enum Trouble: CaseIterable {
        case lostRequest, lostAnswer, doubled, doubledLater, delayed, overtaken
    }

    private struct State {
        var generator: SeededGenerator
        var counts: [Trouble: Int] = [:]
        var passed = 0
        var sockets: Set<Int32> = []
    }

    let port: UInt16
    private let listener: Int32
    private let state: Monitor<State>
    private let threads = Monitor<[SystemThread]>([])

    var url: String { "http://127.0.0.1:\(port)" }
    /// How often what has happened.
    var counts: [Trouble: Int] { state.withLock { $0.counts } }
    var passed: Int { state.withLock { $0.passed } }

    /// - Parameter share: of the requests that something happens to, in percent.
    init(to server: UInt16, seed: UInt64, share: Int) throws {
        let (listener, port) = try Loopback.listen()
        let state = Monitor(State(generator: SeededGenerator(seed: seed)))
        (self.listener, self.port, self.state) = (listener, port, state)
        let thread = try SystemThread(name: "test-proxy") { [threads] in
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                state.withLock { _ = $0.sockets.insert(client) }
                let started = try? SystemThread(name: "test-link") {
                    while UnsteadyProxy.carry(client, to: server, share, state, threads) {}
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
        while let thread = threads.withLock({ $0.popLast() }) { thread.join() }
        close(listener)
    }

    /// Carries one request and its answer.
    ///
    /// - Returns: whether the connection goes on.
    private static func carry(
        _ client: Int32, to server: UInt16, _ share: Int, _ state: Monitor<State>,
        _ threads: Monitor<[SystemThread]>
    ) -> Bool {
        guard let request = Loopback.message(from: client, isAnswer: false) else { return false }
        let (trouble, pause) = state.withLock { state -> (Trouble?, UInt32) in
            let isTroubled = Int.random(in: 0..<100, using: &state.generator) < share
            let trouble = isTroubled ? Trouble.allCases.randomElement(using: &state.generator) : nil
            if let trouble { state.counts[trouble, default: 0] += 1 } else { state.passed += 1 }
            return (trouble, UInt32.random(in: 1_000...40_000, using: &state.generator))
        }
        switch trouble {
        case .lostRequest: return false
        case .lostAnswer:
            _ = exchange(request, with: server)
            return false
        case .doubled: _ = exchange(request, with: server)
        case .doubledLater:
            let late = try? SystemThread(name: "test-late") {
                usleep(pause)
                _ = exchange(request, with: server)
            }
            if let late { threads.withLock { $0.append(late) } }
        case .delayed: usleep(pause)
        case .overtaken:
            // Until another has gone through, or there is none.
            let passed = state.withLock { $0.passed }
            _ = state.wait(timeoutMilliseconds: 50) { $0.passed > passed ? true : nil }
        case nil: state.signal { _ in }
        }
        guard let answer = exchange(request, with: server) else { return false }
        return Loopback.send(answer, to: client)
    }

    private static func exchange(_ request: [UInt8], with port: UInt16) -> [UInt8]? {
        guard let server = Loopback.connect(to: port) else { return nil }
        defer { close(server) }
        guard Loopback.send(request, to: server) else { return nil }
        return Loopback.message(from: server, isAnswer: true)
    }
}
