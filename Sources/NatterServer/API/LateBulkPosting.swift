internal import Synchronization

/// A stream of messages whose token only another server can know. Reading pauses at the first piece, until a worker has asked.
final class LateBulkPosting: BodySink {
    private let server: ChatServer
    private let make: @Sendable (Exchange) throws(APIError) -> BulkPosting
    private let state = Mutex((begin: [UInt8](), posting: BulkPosting?.none))

    /// - Parameter make: looks the token up, on a worker.
    init(_ server: ChatServer, _ make: @escaping @Sendable (Exchange) throws(APIError) -> BulkPosting) {
        (self.server, self.make) = (server, make)
    }

    private var posting: BulkPosting? { state.withLock { $0.posting } }

    var heldBytes: Int { posting?.heldBytes ?? state.withLock { $0.begin.count } }

    func receive(_ bytes: UnsafeRawBufferPointer, _ exchange: Exchange) -> Bool {
        if let posting { return posting.receive(bytes, exchange) }
        let begin = Array(bytes)
        state.withLock { $0.begin = begin }
        look(exchange) { posting in
            let wantsMore = begin.withUnsafeBytes { posting.receive($0, exchange) }
            if wantsMore { exchange.resume() }
        }
        return false
    }

    func finish(_ exchange: Exchange) {
        if let posting { return posting.finish(exchange) }
        look(exchange) { $0.finish(exchange) }
    }

    private func look(_ exchange: Exchange, then go: @escaping @Sendable (BulkPosting) -> Void) {
        do throws(APIError) {
            try server.workers.begin(exchange) { [self] in
                do throws(APIError) {
                    let posting = try make(exchange)
                    state.withLock { $0 = ([], posting) }
                    go(posting)
                } catch {
                    exchange.respond(error.reply)
                }
            }
        } catch {
            exchange.respond(error.reply)
        }
    }
}
