internal import NatterSystem
internal import NatterProtocol

/// A piece of an answer that is made while it is sent.
struct Piece: Sendable {
    /// About how many bytes a piece has.
    static let bytes = 64 << 10

    var bytes: [UInt8] = []
    var isLast = false
    /// About how many bytes the maker keeps for the next pieces, besides those that it always keeps.
    var keptBytes = 0
}

/// Produces an answer piece by piece. A worker makes one piece ahead of the socket, so the listener's thread never waits
/// for a disk or encodes much, and a slow reader costs little memory.
final class PieceProducer: BodyProducer {
    private let workers: WorkerPool
    private let exchange: Exchange
    /// About how many bytes `make` keeps.
    private let sourceBytes: Int
    /// Makes the next piece; nil if that is impossible. One worker at a time calls it, because the next piece is made only
    /// after the last one was taken.
    private let make: @Sendable () -> Piece?
    private let state = Monitor(State())

    private struct State {
        /// The next piece, or nil if it is not ready.
        var ready: Piece?
        /// The exchange to resume when the next piece is ready.
        var waiting: Exchange?
        var isFinished = false
        var hasFailed = false
        /// The length of the longest piece. Messages of control characters make long ones.
        var longest = Piece.bytes
        /// The most that was kept between two pieces.
        var mostKept = 0
    }

    /// - Parameters:
    ///   - exchange: the request that is answered.
    ///   - sourceBytes: about how many bytes `make` keeps.
    init(
        _ workers: WorkerPool, _ exchange: Exchange, sourceBytes: Int, _ make: @escaping @Sendable () -> Piece?
    ) {
        (self.workers, self.exchange, self.sourceBytes, self.make) = (workers, exchange, sourceBytes, make)
    }

    /// The source, the piece that the listener sends, and the next one.
    var heldBytes: Int { sourceBytes + state.withLock { 2 * $0.longest + $0.mostKept } }

    /// The body of an answer. If all of it is one piece, it is sent with its length and needs no second job on a worker.
    ///
    /// - Parameter length: of all pieces, if that is known.
    func body(length: Int? = nil) -> ReplyBody {
        makeNext()
        let whole = state.withLock { $0.ready?.isLast == true ? $0.ready?.bytes : nil }
        return whole.map { .bytes($0) } ?? .producer(self, length: length)
    }

    func next(maximum: Int, _ exchange: Exchange) -> ProducerStep {
        let (step, hasMore) = state.withLock { state -> (ProducerStep, Bool) in
            if let ready = state.ready {
                state.ready = nil
                state.isFinished = ready.isLast
                return (.bytes(ready.bytes), !ready.isLast)
            }
            if state.hasFailed { return (.abort, false) }
            if state.isFinished { return (.end, false) }
            state.waiting = exchange
            return (.wait, false)
        }
        if hasMore { workers.proceed(exchange) { [self] in makeNext() } }
        return step
    }

    private func makeNext() {
        let piece = make()
        let waiting = state.withLock { state -> Exchange? in
            state.ready = piece
            state.hasFailed = piece == nil
            state.longest = max(state.longest, piece?.bytes.count ?? 0)
            state.mostKept = max(state.mostKept, piece?.keptBytes ?? 0)
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume()
    }
}

/// The pieces of a list of any length. Only the items are kept; their objects are made as they
/// are sent.
final class WholeList<Item: Sendable, Object: Encodable & Sendable>: Sendable {
    /// How many objects are made at a time.
    private static var stepCount: Int { 256 }

    private let items: [Item]
    private let field: String
    private let isLines: Bool
    private let objects: @Sendable (ArraySlice<Item>) -> [Object]
    private let end: ListEnd
    private let state = Monitor(State())

    private struct State {
        var done = 0
        /// How many objects were written. An item may be gone by then.
        var written = 0
    }

    init(
        _ items: [Item], _ field: String, isLines: Bool, _ end: ListEnd,
        _ objects: @escaping @Sendable (ArraySlice<Item>) -> [Object]
    ) {
        (self.items, self.field, self.isLines, self.end, self.objects) = (items, field, isLines, end, objects)
    }

    /// About how many bytes the items take, with one short text each.
    var heldBytes: Int { items.count * (MemoryLayout<Item>.stride + 32) }

    func next() -> Piece {
        state.withLock { state in
            var piece = Piece()
            if state.done == 0, !isLines { piece.bytes += Array("{\"\(field)\":[".utf8) }
            while state.done < items.count, piece.bytes.count < Piece.bytes {
                let made = objects(items[state.done...].prefix(WholeList.stepCount))
                state.done = min(items.count, state.done + WholeList.stepCount)
                for object in made {
                    if !isLines, state.written > 0 { piece.bytes.append(UInt8(ascii: ",")) }
                    piece.bytes += WireJSON.encode(object)
                    if isLines { piece.bytes.append(UInt8(ascii: "\n")) }
                    state.written += 1
                }
            }
            guard state.done == items.count else { return piece }
            piece.isLast = true
            if !isLines {
                piece.bytes += Array("],".utf8) + WireJSON.encode(end).dropFirst()
            }
            return piece
        }
    }
}

/// The fields that follow the objects of a list.
struct ListEnd: Encodable, Sendable {
    var more: Bool
    @OrNull var next: String?
}
