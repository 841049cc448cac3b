internal import Glibc
internal import NatterModel
@testable internal import NatterServer
internal import NatterSystem
internal import TestSupport

extension Exchange {
    /// A request of nobody's connection. Its replies come to `mailbox`.
    static func ofTest(_ owner: JobOwner? = nil, mailbox: Mailbox? = nil) throws -> Exchange {
        let head = RequestHead(
            method: "GET", target: "/test", path: ["test"], query: [], headers: [], remoteAddress: "127.0.0.1",
            isProxied: false, contentLength: nil, isChunked: false)
        let request = Exchange(head: head, answering: try mailbox ?? Mailbox())
        if let owner { request.note(Asker(owner: owner) { nil }) }
        return request
    }
}

/// Keeps all threads of a pool until it is opened.
final class Door: Sendable {
    private let isOpen = Monitor(false)

    /// - Parameter threads: how many the pool has.
    init(_ pool: WorkerPool, threads: Int) throws {
        let held = Monitor(0)
        for number in 0..<threads {
            pool.proceed(try .ofTest(.network("door \(number)"))) { [isOpen] in
                held.signal { $0 += 1 }
                isOpen.wait(timeoutMilliseconds: 60_000) { $0 }
            }
        }
        guard held.wait(timeoutMilliseconds: 60_000, for: { $0 == threads }) else { throw Failure("no thread is free") }
    }

    func open() { isOpen.signal { $0 = true } }
}

extension ChatServer {
    /// Keeps all workers.
    func holdWorkers() throws -> [Door] {
        let processors = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        return try [
            Door(workers, threads: 2), Door(slowWorkers, threads: max(1, processors / 2)),
            Door(hashers, threads: processors),
        ]
    }
}
