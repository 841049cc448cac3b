import NatterModel
@testable import NatterServer
import NatterSystem
import Synchronization
import Testing
internal import TestSupport

/// A listener on a free port with a handler made for tests, on a thread of its own until the value goes.
final class ListenerServer: Sendable {
    let listener: HTTPListener
    let handler: TestHandler
    let wire: Wire
    private let thread: SystemThread
    private let hasJoined = Atomic<Bool>(false)

    init(_ wire: Wire = .plain, proxies: Set<PeerAddress> = [], _ adjust: (inout ListenerLimits) -> Void = { _ in })
        throws
    {
        var limits = ListenerLimits()
        limits.reaperMilliseconds = 20
        limits.stopMilliseconds = 1_000
        adjust(&limits)
        let handler = try TestHandler()
        let listener = try HTTPListener(
            address: "127.0.0.1", port: 0, limits: limits, proxies: proxies, identity: wire.identity, handler: handler)
        self.handler = handler
        self.wire = wire
        self.listener = listener
        thread = try SystemThread(name: "listener") { listener.run() }
    }

    deinit { stop() }

    var port: UInt16 { listener.port }

    /// A client that has had an answer. On a busy machine an honest one may be too slow for a short deadline, and then
    /// comes again.
    func served() throws -> RawClient {
        for _ in 0..<10 {
            if let client = try? RawClient(self), let answer = try? client.request("GET", "/honest") {
                #expect(answer.text == "<honest>")
                return client
            }
        }
        throw Failure("the server serves nobody")
    }

    /// Stops, and returns when `run` has.
    func stop() {
        listener.stop()
        join()
    }

    func join() {
        if !hasJoined.exchange(true, ordering: .relaxed) { thread.join() }
    }
}

/// The test handler acts by the first segment of the path.
///
/// - `echo` gives the body back, at once; `later` does so from another thread; `small` takes 10 bytes at most.
/// - `hang` answers only when the server stops.
/// - `big` answers 16 MiB to reader 1, `big/2` to reader 2.
/// - `call/…` calls a function of the test on the loop's thread.
/// - `cpu` tells how many milliseconds of processor the loop's thread has had.
/// - `refuse` refuses by the head.
/// - `upload` counts a streamed body, pausing now and then until another thread goes on; `upload/early` answers 422 at
///   its first piece.
/// - `download/COUNT/PIECE` sends that many bytes in pieces, another thread making each; `flood` never ends;
///   `broken` breaks off.
/// - all else: the path's segments and the query, as they were understood.
final class TestHandler: HTTPHandler {
    private struct State {
        var waiting: [Exchange] = []
        var summaries: [RequestSummary] = []
        var abandoned = 0
        var ended: [String] = []
        var producersClosed = 0
        var prepared = 0
        var begun = 0
    }

    private let state = Monitor(State())
    private let worker = try? Worker()
    /// The function that `call` calls, with the last segment of the path.
    let called = Monitor<(@Sendable (String) -> Void)?>(nil)

    init() throws {}

    var commonHeaders: [(name: String, value: String)] { [] }
    func connected(_ address: String) {}
    func disconnected(_ summary: ConnectionSummary) {}

    func prepare(_ head: RequestHead) -> @Sendable () -> BodyPlan {
        state.signal { $0.prepared += 1 }
        return { self.plan(head) }
    }

    private func plan(_ head: RequestHead) -> BodyPlan {
        state.signal { $0.begun += 1 }
        return switch head.path?.first {
        case "refuse": .refuse(Reply(status: 403, body: .bytes(Array("no".utf8))))
        case "upload": .stream(Upload(handler: self))
        case "small": .collect(limit: 10, answer)
        default: .collect(limit: 1 << 20, answer)
        }
    }

    @Sendable private func answer(body: [UInt8], _ exchange: Exchange) {
        let head = exchange.head
        switch head.path?.first {
        case "echo", "small": exchange.respond(Reply(status: 200, body: .bytes(body)))
        case "later": run { exchange.respond(Reply(status: 200, body: .bytes(body))) }
        case "big":
            var reply = Reply(status: 200, body: .bytes([UInt8](repeating: 0x78, count: 16 << 20)))
            reply.reader = head.path.flatMap { $0.count > 1 ? Int64($0[1]) : nil } ?? 1
            exchange.respond(reply)
        case "hang": state.signal { $0.waiting.append(exchange) }
        case "call":
            called.withLock { $0 }?(head.path?.last ?? "")
            exchange.respond(Reply(status: 200, body: .bytes([])))
        case "cpu":
            let milliseconds = ThreadTime.now() / 1_000_000
            exchange.respond(Reply(status: 200, body: .bytes(Array("\(milliseconds)".utf8))))
        case "download":
            let count = head.path.flatMap { $0.count > 1 ? Int($0[1]) : nil } ?? 0
            let piece = head.path.flatMap { $0.count > 2 ? Int($0[2]) : nil } ?? 1_000
            let isOfKnownLength = head.path?.count == 4
            exchange.respond(
                Reply(
                    status: 200,
                    body: .producer(
                        Download(handler: self, count: count, piece: piece), length: isOfKnownLength ? count : nil)))
        case "flood": exchange.respond(Reply(status: 200, body: .producer(Flood(handler: self), length: nil)))
        case "broken":
            exchange.respond(Reply(status: 200, body: .producer(Broken(handler: self), length: nil)))
        default:
            guard let path = head.path, let query = head.query else {
                return exchange.respond(Reply(status: 400, body: .bytes(Array("path or query".utf8))))
            }
            let text =
                path.map { "<\($0)>" }.joined() + query.map { " \($0.name)=\($0.value)" }.joined()
            exchange.respond(Reply(status: 200, headers: [("X-Test", "yes")], body: .bytes(Array(text.utf8))))
        }
    }

    func reply(to violation: HTTPViolation) -> Reply {
        let status =
            switch violation {
            case .malformed: 400
            case .bodyTooLarge: 413
            case .tooManyRequests, .tooManyOwnAnswers: 429
            case .tooManyBodies, .tooManyAnswers: 503
            }
        return Reply(status: status, body: .bytes(Array(violation.description.utf8)), note: "guard")
    }

    func abandoned(_ exchange: Exchange) { state.signal { $0.ended.append(exchange.head.target) } }

    func finished(_ summary: RequestSummary) { state.signal { $0.summaries.append(summary) } }

    func stopping() { answerWaiting("stopping") }

    // MARK: For the tests

    /// Answers the hanging requests.
    func answerWaiting(_ text: String = "") {
        let waiting = state.withLock { state in
            defer { state.waiting = [] }
            return state.waiting
        }
        for exchange in waiting { exchange.respond(Reply(status: 200, body: .bytes(Array(text.utf8)))) }
    }

    func run(_ work: @escaping @Sendable () -> Void) { worker?.run(work) }

    /// Waits for a summary of this target.
    func summary(of target: String) -> RequestSummary? {
        state.wait(timeoutMilliseconds: 60_000) { $0.summaries.first { $0.target == target } }
    }

    /// Waits until so many requests have begun.
    func hasBegun(_ count: Int) -> Bool {
        state.wait(timeoutMilliseconds: 60_000) { $0.begun >= count ? true : nil } ?? false
    }

    /// Waits until so many requests hang.
    func hasWaiting(_ count: Int) -> Bool {
        state.wait(timeoutMilliseconds: 60_000) { $0.waiting.count >= count ? true : nil } ?? false
    }

    /// Waits until a request of this target has ended without its whole answer.
    func hasEnded(_ target: String) -> Bool {
        state.wait(timeoutMilliseconds: 60_000) { $0.ended.contains(target) ? true : nil } ?? false
    }

    func hasAbandoned(_ count: Int) -> Bool {
        state.wait(timeoutMilliseconds: 60_000) { $0.abandoned >= count ? true : nil } ?? false
    }

    func hasClosedProducers(_ count: Int) -> Bool {
        state.wait(timeoutMilliseconds: 60_000) { $0.producersClosed >= count ? true : nil } ?? false
    }

    var producersClosed: Int { state.withLock { $0.producersClosed } }
    /// How many heads were read, and not just compared with the one before.
    var prepared: Int { state.withLock { $0.prepared } }

    fileprivate func noteAbandoned() { state.signal { $0.abandoned += 1 } }
    fileprivate func noteClosed() { state.signal { $0.producersClosed += 1 } }
}

/// Another thread, which does one thing after the other.
final class Worker: Sendable {
    private let jobs = Monitor<(list: [@Sendable () -> Void], isOver: Bool)>(([], false))

    init() throws {
        let jobs = jobs
        let thread = try SystemThread(name: "worker") {
            while true {
                let list = jobs.wait { state -> [@Sendable () -> Void]? in
                    if state.list.isEmpty { return state.isOver ? [] : nil }
                    defer { state.list = [] }
                    return state.list
                }
                guard let list, !list.isEmpty else { return }
                for job in list { job() }
            }
        }
        // A job may hold the last reference to its server, and so to this.
        thread.detach()
    }

    deinit { jobs.signal { $0.isOver = true } }

    func run(_ job: @escaping @Sendable () -> Void) { jobs.signal { $0.list.append(job) } }
}

private final class Upload: BodySink {
    private let handler: TestHandler
    private let count = Atomic<Int>(0)
    private let sum = Atomic<Int>(0)
    private let isComplete = Atomic<Bool>(false)

    init(handler: TestHandler) { self.handler = handler }

    var heldBytes: Int { 0 }

    func receive(_ bytes: UnsafeRawBufferPointer, _ exchange: Exchange) -> Bool {
        let earlier = count.wrappingAdd(bytes.count, ordering: .relaxed).oldValue
        sum.wrappingAdd(bytes.reduce(0) { $0 + Int($1) }, ordering: .relaxed)
        // Now and then another thread must resume it.
        if exchange.head.path?.last == "early" {
            if earlier == 0 { exchange.respond(Reply(status: 422, body: .bytes(Array("enough".utf8)))) }
            return earlier > 0
        }
        if earlier / 50_000 == (earlier + bytes.count) / 50_000 { return true }
        handler.run { exchange.resume() }
        return false
    }

    func finish(_ exchange: Exchange) {
        isComplete.store(true, ordering: .relaxed)
        let text = "\(count.load(ordering: .relaxed)) \(sum.load(ordering: .relaxed))"
        handler.run { exchange.respond(Reply(status: 200, body: .bytes(Array(text.utf8)))) }
    }

    deinit {
        if !isComplete.load(ordering: .relaxed) { handler.noteAbandoned() }
    }
}

private final class Download: BodyProducer {
    private let handler: TestHandler
    private let piece: Int
    private let state: Mutex<(made: Int, left: Int)>

    init(handler: TestHandler, count: Int, piece: Int) {
        (self.handler, self.piece) = (handler, piece)
        state = Mutex((0, count))
    }

    func next(maximum: Int, _ exchange: Exchange) -> ProducerStep {
        let count = state.withLock { state -> Int? in
            if state.left == 0 { return nil }
            defer { state.made = 0 }
            state.left -= state.made
            return state.made
        }
        guard let count else { return .end }
        if count > 0 { return .bytes([UInt8](repeating: UInt8(ascii: "d"), count: count)) }
        handler.run { [self] in
            state.withLock { $0.made = min(piece, $0.left) }
            exchange.resume()
        }
        return .wait
    }

    deinit { handler.noteClosed() }
}

private final class Flood: BodyProducer {
    private let handler: TestHandler
    init(handler: TestHandler) { self.handler = handler }
    func next(maximum: Int, _ exchange: Exchange) -> ProducerStep { .bytes([UInt8](repeating: 0x66, count: maximum)) }
    deinit { handler.noteClosed() }
}

private final class Broken: BodyProducer {
    private let handler: TestHandler
    private let steps = Atomic<Int>(0)
    init(handler: TestHandler) { self.handler = handler }
    func next(maximum: Int, _ exchange: Exchange) -> ProducerStep {
        steps.wrappingAdd(1, ordering: .relaxed).oldValue == 0 ? .bytes(Array("half".utf8)) : .abort
    }
    deinit { handler.noteClosed() }
}
