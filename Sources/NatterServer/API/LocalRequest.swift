internal import NatterModel
internal import NatterStore
internal import NatterSystem

/// The answer to a request that came over no connection.
public struct LocalReply: Sendable {
    public let status: Int
    public let headers: [(name: String, value: String)]
    public let body: [UInt8]
    /// For the operator and the service log only: names of files, and errors of the system.
    public let note: String?
}

extension ChatServer {
    /// The name of the operator in the audit trail.
    ///
    /// - Parameter id: the user who runs the command.
    public static func operatorName(_ id: UInt32) -> String { "operator (uid \(id))" }

    /// Answers a request of this process as a listener would, without a socket. Blocks until the answer is complete.
    ///
    /// - Parameters:
    ///   - target: path and query, percent-encoded.
    ///   - headers: with names in lower case.
    ///   - operatorID: the user whose command asks, who may administer accounts without a token; nil asks like a client on
    ///     this machine.
    /// - Returns: nil if the server ended first, or cut the answer.
    public func answer(
        _ method: String, _ target: String, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
        operatorID: UInt32? = nil
    ) -> LocalReply? {
        let place = target.withCString { RequestTarget($0) }
        let head = RequestHead(
            method: method, target: place.text, path: place.path, query: place.query, headers: headers,
            remoteAddress: "127.0.0.1", isProxied: false, contentLength: body.isEmpty ? nil : body.count,
            isChunked: false,
            operatorID: operatorID)
        let answer = LocalAnswer()
        let request = Exchange(head: head, answering: answer)
        let handler = RequestHandler(server: self)
        localAnswers.withLock { $0[ObjectIdentifier(answer)] = answer }
        let reply = answer.reply(of: handler, to: request, body)
        let bytes = reply.flatMap { answer.body(of: $0, to: request) }
        localAnswers.withLock { $0[ObjectIdentifier(answer)] = nil }
        request.end()
        guard let reply, let bytes else {
            handler.abandoned(request)
            return nil
        }
        let common = handler.commonHeaders.filter { common in !reply.headers.contains { $0.name == common.name } }
        return LocalReply(status: reply.status, headers: reply.headers + common, body: bytes, note: reply.note)
    }
}

/// Waits for the answer to a request that came over no connection.
final class LocalAnswer: AnswerPlace {
    private struct State {
        var reply: Reply?
        var isResumed = false
        var isCut = false
    }

    private let state = Monitor(State())

    func receive(_ step: AnswerStep, of request: Exchange) {
        switch step {
        case .reply(let reply): state.signal { $0.reply = reply }
        case .resume: state.signal { $0.isResumed = true }
        case .cut: cut()
        }
    }

    func cut() { state.signal { $0.isCut = true } }

    /// Passes the request to its handler, and waits for the reply.
    fileprivate func reply(of handler: RequestHandler, to request: Exchange, _ body: [UInt8]) -> Reply? {
        switch handler.prepare(request.head)() {
        case .refuse(let reply): return reply
        case .refuseLater(let answer): answer(request)
        case .collect(let limit, let answer):
            if let violation = request.head.violation(collecting: limit) { return handler.reply(to: violation) }
            answer(body, request)
        case .stream(let sink):
            var rest = body[...]
            // A sink may reply before the end of the body.
            while !rest.isEmpty, state.withLock({ $0.reply == nil }) {
                let wantsMore = rest.prefix(Piece.bytes).withUnsafeBytes { sink.receive($0, request) }
                rest = rest.dropFirst(Piece.bytes)
                if !wantsMore { waitToGoOn() }
            }
            if state.withLock({ $0.reply == nil }) { sink.finish(request) }
        }
        return state.next({ $0.reply.take() }, unless: { $0.isCut })
    }

    /// Takes all pieces of a body; nil if it was cut.
    fileprivate func body(of reply: Reply, to request: Exchange) -> [UInt8]? {
        if reply.isHeadOnly(for: request.head.method) { return [] }
        switch reply.body {
        case .bytes(let bytes): return bytes
        case .producer(let producer, let length):
            var bytes: [UInt8] = []
            while bytes.count != length {
                guard state.withLock({ !$0.isCut }), request.refusal == nil else { return nil }
                switch producer.next(maximum: Piece.bytes, request) {
                case .bytes(let piece): bytes += piece
                case .wait: waitToGoOn()
                case .end: return length == nil ? bytes : nil
                case .abort: return nil
                }
            }
            return bytes
        }
    }

    private func waitToGoOn() {
        state.wait { $0.isResumed || $0.isCut || $0.reply != nil }
        state.withLock { $0.isResumed = false }
    }
}
