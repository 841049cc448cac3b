internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

/// A stream of messages in one request. Body and answer are NDJSON, and each line of the body gets one line of the
/// answer.
///
/// It processes the lines in batches. It reads nothing more while a batch is parsed, made durable and answered, so a
/// body of any length needs the memory of one batch only. The reply can't begin before the whole request is read, so
/// the answers wait in a spool until then.
final class BulkPosting: BodySink {
    /// A batch is complete when it has this many bytes.
    private static let batchBytes = 256 << 10
    /// After so many refused lines in a row, no line is tried any more. An answer is longer than a short line.
    private static let refusalLimit = 1_000

    private let server: ChatServer
    private let principal: Principal
    private let stopAtRefusal: Bool
    private let state: Monitor<State>

    private struct State {
        /// Complete lines, and the beginning of the next.
        var pending: [UInt8] = []
        /// The length of the complete lines in `pending`. It is stored so that each piece of a long line is searched
        /// only once.
        var completeBytes = 0
        var lineNumber = 0
        /// True inside a line that is too long. The rest of that line is discarded.
        var isSkipping = false
        /// A line was refused, and the request said `stop`.
        var hasStopped = false
        /// How many lines in a row were refused, up to now.
        var refusedInRow = 0
        /// The rest of the body is read and discarded.
        var isOver = false
        /// The spool could not be written.
        var isBroken = false
        var accepted = MessageTally()
        /// The answers so far.
        var spool: Spool
    }

    /// One parsed line of the request.
    private enum Line: Sendable {
        case message(NewMessage, number: Int)
        case refused(APIError, number: Int)

        var number: Int {
            switch self {
            case .message(_, let number), .refused(_, let number): number
            }
        }

        var isRefused: Bool { if case .refused = self { true } else { false } }
    }

    /// - Throws: an error in the request before its first line.
    init(_ head: RequestHead, _ server: ChatServer, _ principal: Principal) throws(APIError) {
        try Query.check(head)
        stopAtRefusal = try Query(head).flag("stop")
        try translate(server.store.checkScope(.sendAny, of: principal))
        self.principal = principal
        self.server = server
        state = Monitor(State(spool: server.spools.makeSpool()))
    }

    var heldBytes: Int { state.withLock { $0.pending.count } }

    func receive(_ bytes: UnsafeRawBufferPointer, _ exchange: Exchange) -> Bool {
        let batch: [UInt8]? = state.withLock { state in
            if state.isOver { return nil }
            if let end = bytes.lastIndex(of: UInt8(ascii: "\n")) { state.completeBytes = state.pending.count + end + 1 }
            state.pending.append(contentsOf: bytes)
            guard state.pending.count >= BulkPosting.batchBytes else { return nil }
            return takeLines(&state)
        }
        guard let batch else { return true }
        server.workers.submitAlways(for: principal.account) { [self] in
            work(batch) { exchange.resume() }
        }
        return false
    }

    func finish(_ exchange: Exchange) {
        let rest = state.withLock { state in
            defer { state.pending = [] }
            return state.pending
        }
        server.workers.submitAlways(for: principal.account) { [self] in
            work(rest) { [self] in
                let (isBroken, accepted, spool) = state.withLock { ($0.isBroken, $0.accepted, $0.spool) }
                if !accepted.isEmpty { exchange.addFact("accepted", accepted.text) }
                if isBroken { return exchange.respond(APIError(StoreError.diskFull).reply) }
                exchange.respond(
                    Reply(
                        status: 200, headers: [("Content-Type", MediaType.ndjson)],
                        body: .producer(SpoolProducer(spool), length: spool.count), note: principal.name.text))
            }
        }
    }

    func abandoned() {}

    /// Removes the complete lines from `pending`. Returns nil if there is none yet. A line over the limit is returned
    /// truncated, so that it is refused and its rest takes no memory.
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

    /// Parses the lines of a batch, has their messages stored, and spools the answers.
    private func work(_ batch: [UInt8], _ completion: @escaping @Sendable () -> Void) {
        let (lines, tried) = state.withLock { state in
            var lines = parse(batch, &state)
            let tried = countTried(lines, state)
            cut(&lines, tried: tried, &state)
            return (lines, min(tried, lines.count))
        }
        let messages = lines[..<tried].compactMap { line in
            if case .message(let message, _) = line { message } else { nil }
        }
        guard !messages.isEmpty else {
            answer(lines, [], tried: tried)
            return completion()
        }
        server.store.post(messages, by: principal, stopAtRefusal: stopAtRefusal) { [self] outcomes in
            server.workers.submitAlways(for: principal.account) { [self] in
                answer(lines, outcomes, tried: tried)
                completion()
            }
        }
    }

    /// How many lines, from the first on, the store may get. With `stop` it gets no line after a refused one.
    private func countTried(_ lines: [Line], _ state: State) -> Int {
        if state.hasStopped { return 0 }
        return (stopAtRefusal ? lines.firstIndex(where: \.isRefused) : nil) ?? lines.count
    }

    /// Ends the request before the first line that must not be tried any more, because too many in a row were refused or
    /// their answers have no room. That line is answered with `not_tried`, and the lines after it are dropped.
    private func cut(_ lines: inout [Line], tried: Int, _ state: inout State) {
        var inRow = state.refusedInRow
        let hasRoom = state.spool.hasRoomForBatch
        for (index, line) in lines.enumerated() {
            if !hasRoom || inRow >= BulkPosting.refusalLimit {
                let reason: Phrase =
                    hasRoom
                    ? "not tried, because too many lines in a row were refused"
                    : "not tried, because the answers to this request take too much room"
                lines.removeSubrange(index...)
                lines.append(.refused(APIError(.notTried, reason), number: line.number))
                (state.isOver, state.pending) = (true, [])
                return
            }
            inRow = line.isRefused || index >= tried ? inRow + 1 : 0
        }
    }

    private func parse(_ batch: [UInt8], _ state: inout State) -> [Line] {
        var lines: [Line] = []
        var rest = batch[...]
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
            let request = try MessageRoutes.request(from: bytes)
            try translate(server.store.checkScope(.send(conversation: request.conversation), of: principal))
            return .message(try MessageRoutes.newMessage(request), number: number)
        } catch {
            return .refused(error, number: number)
        }
    }

    /// Spools one answer for each line.
    private func answer(_ lines: [Line], _ outcomes: [PostOutcome], tried: Int) {
        var bytes: [UInt8] = []
        var next = outcomes[...]
        var (hasStopped, accepted, inRow) = state.withLock { ($0.hasStopped, $0.accepted, $0.refusedInRow) }
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
            inRow = refusal == nil ? 0 : inRow + 1
            if let refusal {
                hasStopped = hasStopped || stopAtRefusal
                var body = refusal.body
                body.line = line.number
                bytes += WireJSON.encode(body)
            }
            bytes.append(UInt8(ascii: "\n"))
        }
        state.withLock { state in
            state.hasStopped = hasStopped
            state.accepted = accepted
            state.refusedInRow = inRow
            guard (try? state.spool.append(bytes)) != true else { return }
            (state.isBroken, state.isOver, state.pending) = (true, true, [])
        }
    }
}
