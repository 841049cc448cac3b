internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

/// A stream of messages in one request: NDJSON in, NDJSON out, a line for a line.
///
/// Lines are taken in portions; while one is parsed, made durable and answered, nothing more is read, so a body of any length
/// costs the memory of a portion. The answers wait in a spool until the request has been read, because none can begin before.
final class BulkPosting: BodySink {
    /// Bytes after which what has come is handed on.
    private static let portionBytes = 256 << 10

    private let server: ChatServer
    private let principal: Principal
    private let stopAtRefusal: Bool
    private let spool: Spool
    private let state = Monitor(State())

    private struct State {
        /// Complete lines and the beginning of one.
        var pending: [UInt8] = []
        /// How much of `pending` is complete lines; kept, so that a long line is not searched again with each piece of it.
        var completeBytes = 0
        var lineNumber = 0
        /// Within a line that is too long: its rest is thrown away.
        var isSkipping = false
        var hasStopped = false
        var isBroken = false
        var accepted = MessageTally()
    }

    /// One line of the request, read.
    private enum Line: Sendable {
        case message(NewMessage, number: Int)
        case refused(APIError, number: Int)

        var number: Int {
            switch self {
            case .message(_, let number), .refused(_, let number): number
            }
        }
    }

    static func isBulk(_ head: RequestHead, _ route: Route) -> Bool {
        guard route.method == "POST", route.path == MessageRoutes.posting.path,
            let type = head.header("content-type")
        else { return false }
        return MediaType.isNDJSON(type)
    }

    /// - Throws: what is wrong with the request before its first line.
    init(_ head: RequestHead, _ server: ChatServer) throws(APIError) {
        try Query.check(head)
        stopAtRefusal = try Query(head).flag("stop")
        principal = try Authentication(head, server.store).principal()
        self.server = server
        spool = Spool(directory: server.options.spoolDirectory)
    }

    func receive(_ bytes: UnsafeRawBufferPointer, _ exchange: Exchange) -> Bool {
        let portion: [UInt8]? = state.withLock { state in
            if let end = bytes.lastIndex(of: UInt8(ascii: "\n")) { state.completeBytes = state.pending.count + end + 1 }
            state.pending.append(contentsOf: bytes)
            guard state.pending.count >= BulkPosting.portionBytes else { return nil }
            return takeLines(&state)
        }
        guard let portion else { return true }
        server.workers.goOn { [self] in
            work(portion) { exchange.resumeReading() }
        }
        return false
    }

    func finish(_ exchange: Exchange) {
        let rest = state.withLock { state in
            defer { state.pending = [] }
            return state.pending
        }
        server.workers.goOn { [self] in
            work(rest) { [self] in
                let (isBroken, accepted) = state.withLock { ($0.isBroken, $0.accepted) }
                if !accepted.isEmpty { exchange.tell("accepted", accepted.text) }
                guard !isBroken else {
                    return exchange.respond(server.dressed(APIError(StoreError.diskFull).reply()))
                }
                exchange.respond(
                    server.dressed(
                        Reply(
                            status: 200, headers: [("Content-Type", MediaType.ndjson)],
                            body: .producer(SpoolProducer(spool), length: spool.count), note: principal.name.text)))
            }
        }
    }

    func abandoned() {}

    /// Takes the complete lines off what is pending; nil where there is none yet. A line beyond the limit is handed on cut
    /// short, which refuses it, and the rest of it is not kept.
    private func takeLines(_ state: inout State) -> [UInt8]? {
        if state.completeBytes > 0 {
            let lines = Array(state.pending[..<state.completeBytes])
            state.pending.removeFirst(state.completeBytes)
            state.completeBytes = 0
            return lines
        }
        guard state.pending.count > Limits.bodyBytes else { return nil }
        let line = state.pending
        state.pending = []
        return line
    }

    /// Reads the lines of a portion, has their messages stored, and writes down the answers.
    private func work(_ portion: [UInt8], _ completion: @escaping @Sendable () -> Void) {
        let (lines, hadStopped) = state.withLock { state in (read(portion, &state), state.hasStopped) }
        let refusal = stopAtRefusal ? lines.firstIndex { if case .refused = $0 { true } else { false } } : nil
        // What a refused line would stop is not given to the store.
        let tried = hadStopped ? 0 : refusal ?? lines.count
        let messages = lines[..<tried].compactMap { line in
            if case .message(let message, _) = line { message } else { nil }
        }
        guard !messages.isEmpty else {
            answer(lines, [], tried: tried)
            return completion()
        }
        server.store.post(messages, by: principal, stopAtRefusal: stopAtRefusal) { [self] outcomes in
            server.workers.goOn { [self] in
                answer(lines, outcomes, tried: tried)
                completion()
            }
        }
    }

    private func read(_ portion: [UInt8], _ state: inout State) -> [Line] {
        var lines: [Line] = []
        var rest = portion[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: UInt8(ascii: "\n"))
            var bytes = rest[..<(end ?? rest.endIndex)]
            rest = end.map { rest[($0 + 1)...] } ?? []
            if state.isSkipping {
                state.isSkipping = end == nil
                continue
            }
            state.lineNumber += 1
            let number = state.lineNumber
            if bytes.last == UInt8(ascii: "\r") { bytes = bytes.dropLast() }
            if bytes.count > Limits.bodyBytes {
                state.isSkipping = end == nil
                lines.append(
                    .refused(APIError(.tooLarge, "a line has at most \(Limits.bodyBytes) bytes"), number: number))
                continue
            }
            if bytes.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }) { continue }
            lines.append(line(bytes, number))
        }
        return lines
    }

    private func line(_ bytes: ArraySlice<UInt8>, _ number: Int) -> Line {
        do throws(APIError) {
            let message = try MessageRoutes.newMessage(MessageRoutes.request(from: bytes))
            do throws(StoreError) {
                try server.store.checkScope(.send(conversation: message.conversation), of: principal)
            } catch {
                throw APIError(error)
            }
            return .message(message, number: number)
        } catch {
            return .refused(error, number: number)
        }
    }

    /// Writes down one answer a line.
    private func answer(_ lines: [Line], _ outcomes: [PostOutcome], tried: Int) {
        var bytes: [UInt8] = []
        var next = outcomes[...]
        var (hasStopped, accepted) = state.withLock { ($0.hasStopped, $0.accepted) }
        for (index, line) in lines.enumerated() {
            var refusal: APIError?
            switch line {
            case .refused(let error, _): refusal = error
            case .message where index >= tried: break
            case .message:
                switch next.popFirst() {
                case .posted(let message):
                    accepted.add(message.conversation, message.seq.rawValue, message.seq.rawValue)
                    bytes += WireJSON.encode(MessageObject(message))
                case .repeated(let message): bytes += WireJSON.encode(MessageObject(message))
                case .refused(let error): refusal = APIError(error)
                case nil: refusal = APIError(StoreError.notTried)
                }
            }
            if hasStopped || (refusal == nil && index >= tried) { refusal = APIError(StoreError.notTried) }
            if let refusal {
                hasStopped = hasStopped || stopAtRefusal
                var body = refusal.body
                body.line = line.number
                bytes += WireJSON.encode(body)
            }
            bytes.append(UInt8(ascii: "\n"))
        }
        let isWritten = (try? spool.append(bytes)) != nil
        state.withLock { state in
            state.hasStopped = hasStopped
            state.accepted = accepted
            state.isBroken = state.isBroken || !isWritten
        }
    }
}
