internal import Glibc
internal import NatterSystem
internal import TestSupport

/// A server on a free port of this machine. The test decides exactly what it does with each connection.
package final class ScriptedServer: Sendable {
    package let port: UInt16
    private let listener: Int32
    private let thread: SystemThread
    private let log: Monitor<Log>

    fileprivate struct Log {
        var connections = 0
        var requests: [String] = []
        var closed = 0
        var current: Int32 = -1
        var isStopping = false
    }

    /// - Parameter script: runs for each connection in turn, with its number from 1. The connection is closed when it
    ///   returns.
    package init(host: String = "127.0.0.1", port: UInt16 = 0, script: @escaping @Sendable (Peer, Int) -> Void) throws {
        let (listener, bound) = try Loopback.listen(host: host, port: port, backlog: 16)
        let log = Monitor(Log())
        (self.listener, self.port, self.log) = (listener, bound, log)
        thread = try SystemThread(name: "test-server") {
            while true {
                let socket = accept(listener, nil, nil)
                guard socket >= 0 else { return }
                let number = log.withLock { log in
                    log.connections += 1
                    log.current = log.isStopping ? -1 : socket
                    return log.connections
                }
                script(Peer(socket: socket, log: log), number)
                log.withLock { $0.current = -1 }
                close(socket)
                log.signal { $0.closed += 1 }
            }
        }
    }

    deinit {
        log.withLock { log in
            log.isStopping = true
            if log.current >= 0 { shutdown(log.current, Int32(SHUT_RDWR)) }
        }
        shutdown(listener, Int32(SHUT_RDWR))
        thread.join()
        close(listener)
    }

    package var url: String { "http://127.0.0.1:\(port)" }
    package var connections: Int { log.withLock { $0.connections } }
    /// The heads and bodies of the requests.
    package var requests: [String] { log.withLock { $0.requests } }

    /// Waits until this side has closed this many connections.
    package func waitForClosed(_ count: Int) {
        _ = log.wait(timeoutMilliseconds: 60_000) { $0.closed >= count ? true : nil }
    }
}

/// The server's end of one connection.
package struct Peer: Sendable {
    package let socket: Int32
    fileprivate let log: Monitor<ScriptedServer.Log>

    fileprivate init(socket: Int32, log: Monitor<ScriptedServer.Log>) {
        (self.socket, self.log) = (socket, log)
    }

    /// Reads one complete request, including its body.
    ///
    /// - Returns: nil if the client closed the connection first.
    @discardableResult
    package func readRequest() -> String? {
        guard let bytes = Loopback.message(from: socket, timeoutMilliseconds: -1) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        log.signal { $0.requests.append(text) }
        return text
    }

    package func read(_ count: Int) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: count)
        let got = recv(socket, &buffer, count, 0)
        return got > 0 ? Array(buffer.prefix(got)) : nil
    }

    /// - Returns: false if the client has closed the connection.
    @discardableResult
    package func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    @discardableResult
    package func send(_ bytes: [UInt8]) -> Bool { Loopback.send(bytes, to: socket) }

    /// Sends a typical answer with a length.
    package func answer(_ body: String, status: String = "200 OK", headers: String = "") {
        send("HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)")
    }

    /// Waits until the client has closed the connection.
    package func waitForClose() { while read(65_536) != nil {} }

    /// Makes the close send a reset.
    package func abort() { Loopback.resetOnClose(socket) }

    /// Waits, in tests of timeouts.
    package func pause(milliseconds: Int32) { poll(nil, 0, milliseconds) }
}
