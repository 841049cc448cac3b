internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

/// A stream of messages in one request. Body and answer are NDJSON, and each line of the body gets one line of the
/// answer.
///
/// It processes the lines in batches. While one is made durable, the answers to the one before are written, and the next one
/// is read and parsed. So a body of any length needs the memory of three batches only, and an account may
/// send sixteen at a time. The reply can't begin before the whole request is read, so the answers wait in a spool until then.
final class BulkPosting: BodySink {
    /// A batch is complete when it has this many bytes or lines. A parsed line and its answer take some hundred bytes
    /// besides their text.
    private static let batchBytes = 256 << 10
    /// As many as may be refused in a row, so that the store takes a batch at once if nothing was refused before it.
    private static let batchLines = refusalLimit
    /// After so many refused lines in a row, no line is tried any more. An answer is longer than a short line.
    private static let refusalLimit = 2_000

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
        /// How many lines in `pending` are complete.
        var completeLines = 0
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
        /// Whether the store got a message, so that its sender must be told what became of it.
        var hasPosted = false
        /// Whether the store has a batch.
        var isStoring = false
        /// The batch behind it. No more is read while there is one.
        var next: ParsedBatch?
        /// Batches whose answers are not in the spool yet. Those of the first are being written.
        var unanswered: [SettledBatch] = []
        /// The answers so far.
        var spool: Spool
    }

    private struct ParsedBatch {
        let lines: [Line]
        let exchange: Exchange
        let isLast: Bool
    }

    /// A batch with the answers to its lines.
    private struct SettledBatch {
        let answers: [Answer]
        let exchange: Exchange
        let isLast: Bool
    }

    private enum Answer {
        case message(Message)
        case refused(APIError, line: Int)
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
        state = Monitor(State(spool: try server.spools.makeSpool(for: principal.account)))
    }

    var heldBytes: Int { state.withLock { $0.pending.count } }

    func receive(_ bytes: UnsafeRawBufferPointer, _ exchange: Exchange) -> Bool {
        let batch: [UInt8]? = state.withLock { state in
            if state.isOver { return nil }
            if let end = bytes.lastIndex(of: UInt8(ascii: "\n")) { state.completeBytes = state.pending.count + end + 1 }
            for byte in bytes where byte == UInt8(ascii: "\n") { state.completeLines += 1 }
            state.pending.append(contentsOf: bytes)
            guard state.pending.count >= BulkPosting.batchBytes || state.completeLines >= BulkPosting.batchLines else {
                return nil
            }
            return takeLines(&state)
        }
        guard let batch else { return true }
        submit(batch, exchange, isLast: false)
        return false
    }

    func finish(_ exchange: Exchange) {
        let rest = state.withLock { state in
            defer { state.pending = [] }
            return state.pending
        }
        submit(rest, exchange, isLast: true)
    }

    /// Parses a batch on a worker, because parsed lines may take twenty times the memory of short ones.
    private func submit(_ batch: [UInt8], _ exchange: Exchange, isLast: Bool) {
        exchange.note(principal, server.store)
        proceed(exchange) { $0.work(batch, exchange, isLast: isLast) }
    }

    /// Queues a step. Without a message in the store, the request ends with its sender's session or token.
    private func proceed(_ exchange: Exchange, _ step: @escaping @Sendable (BulkPosting) -> Void) {
        server.slowWorkers.proceed(exchange, isSettled: state.withLock { $0.hasPosted }) { [self] in step(self) }
    }

    private func respond(_ exchange: Exchange) {
        let (isBroken, accepted, spool) = state.withLock { ($0.isBroken, $0.accepted, $0.spool) }
        if !accepted.isEmpty { exchange.addFact("accepted", accepted.text) }
        if isBroken { return exchange.respond(APIError(StoreError.diskFull).reply) }
        exchange.respond(
            Reply(
                status: 200, headers: [("Content-Type", MediaType.ndjson)],
                body: .producer(SpoolProducer(spool), length: spool.count), note: principal.name.text))
    }

    /// Removes the complete lines from `pending`. Returns nil if there is none yet. A line over the limit is returned
    /// truncated, so that it is refused and its rest takes no memory.
    private func takeLines(_ state: inout State) -> [UInt8]? {
        if state.completeBytes > 0 {
            let lines = Array(state.pending[..<state.completeBytes])
            state.pending.removeFirst(state.completeBytes)
            (state.completeBytes, state.completeLines) = (0, 0)
            return lines
        }
        // The line may be complete but for the LF behind its CR.
        let longest = Limits.bodyBytes + (state.pending.last == UInt8(ascii: "\r") ? 1 : 0)
        guard state.pending.count > longest else { return nil }
        let line = state.pending
        state.pending = []
        return line
    }

    /// Parses the lines of a batch, has their messages stored, and spools the answers.
    private func work(_ batch: [UInt8], _ exchange: Exchange, isLast: Bool) {
        let first: ParsedBatch? = state.withLock { state in
            let parsed = ParsedBatch(lines: parse(batch, &state), exchange: exchange, isLast: isLast)
            guard state.isStoring else {
                state.isStoring = true
                return parsed
            }
            state.next = parsed
            return nil
        }
        if let first { begin(first) }
    }

    /// Has the store take a batch, and lets the next one come. Whether its lines may be tried depends on the answers to those
    /// before.
    private func begin(_ batch: ParsedBatch) {
        let lines = state.withLock { $0.isOver ? [] : batch.lines[...] }
        if !batch.isLast { batch.exchange.resume() }
        post(lines, [], batch.exchange, isLast: batch.isLast)
    }

    /// Has the store take the lines that are not answered yet. It gets no more of them at a time than may be refused in a row, so
    /// that it stores nothing behind so many.
    private func post(_ lines: ArraySlice<Line>, _ answers: [Answer], _ exchange: Exchange, isLast: Bool) {
        let (part, rest) = state.withLock { state in
            let lines = cut(refusingUntried(lines, state), &state)
            let count = max(1, BulkPosting.refusalLimit - state.refusedInRow)
            return (lines.prefix(count), lines.dropFirst(count))
        }
        let messages = part.compactMap { line in
            if case .message(let message, _) = line { message } else { nil }
        }
        guard !messages.isEmpty else { return handle([], part, rest, answers, exchange, isLast: isLast) }
        state.withLock { $0.hasPosted = true }
        server.store.post(messages, by: principal, stopAtRefusal: stopAtRefusal) { [self] outcomes in
            proceed(exchange) { $0.handle(outcomes, part, rest, answers, exchange, isLast: isLast) }
        }
    }

    /// Answers the lines of which the store has taken the messages, and goes on with the rest.
    private func handle(
        _ outcomes: [PostOutcome], _ part: ArraySlice<Line>, _ rest: ArraySlice<Line>, _ answers: [Answer],
        _ exchange: Exchange, isLast: Bool
    ) {
        let answers = answers + state.withLock { self.answers(to: part, outcomes, &$0) }
        if rest.isEmpty {
            settle(answers, exchange, isLast: isLast)
        } else {
            post(rest, answers, exchange, isLast: isLast)
        }
    }

    /// With `stop`, the store gets no line after a refused one.
    private func refusingUntried(_ lines: ArraySlice<Line>, _ state: State) -> ArraySlice<Line> {
        guard stopAtRefusal, let first = state.hasStopped ? lines.startIndex : lines.firstIndex(where: \.isRefused)
        else {
            return lines
        }
        return lines[..<first]
            + lines[first...].map { line in
                line.isRefused ? line : .refused(APIError(StoreError.notTried), number: line.number)
            }
    }

    /// Ends the request before the first line that must not be tried any more, because too many in a row were refused or
    /// their answers have no room. That line is answered with `not_tried` or `disk_full`, and the lines after it are dropped.
    private func cut(_ lines: ArraySlice<Line>, _ state: inout State) -> ArraySlice<Line> {
        var inRow = state.refusedInRow
        let batches = state.unanswered.count + 1
        let noRoom: APIError? =
            if !state.spool.isDiskFree() {
                APIError(StoreError.diskFull)
            } else if !state.spool.hasRoom(forBatches: batches) {
                APIError(.notTried, "not tried, because the answers to this request take too much room")
            } else {
                nil
            }
        for (index, line) in zip(lines.indices, lines) {
            if noRoom != nil || inRow >= BulkPosting.refusalLimit {
                let reason = noRoom ?? APIError(.notTried, "not tried, because too many lines in a row were refused")
                (state.isOver, state.pending) = (true, [])
                return lines[..<index] + [.refused(reason, number: line.number)]
            }
            inRow = line.isRefused ? inRow + 1 : 0
        }
        return lines
    }

    /// Stops behind a line at which `cut` ends the request: a refusal takes a hundred times the memory of a short line.
    private func parse(_ batch: [UInt8], _ state: inout State) -> [Line] {
        var lines: [Line] = []
        var rest = batch[...]
        // Only of these lines, because those before may not be answered yet.
        var inRow = 0
        while !rest.isEmpty, inRow <= BulkPosting.refusalLimit {
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
                inRow += 1
                continue
            }
            if bytes.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }) { continue }
            let line = line(bytes, number)
            inRow = line.isRefused ? inRow + 1 : 0
            lines.append(line)
        }
        return lines
    }

    private func line(_ bytes: ArraySlice<UInt8>, _ number: Int) -> Line {
        do throws(APIError) {
            let request = try MessageRoutes.request(from: bytes)
            let need = ScopeNeed.send(conversation: request.conversation, id: request.conversationID)
            try translate(server.store.checkScope(need, of: principal))
            return .message(try MessageRoutes.newMessage(request), number: number)
        } catch {
            return .refused(error, number: number)
        }
    }

    // MARK: Answers

    private func settle(_ answers: [Answer], _ exchange: Exchange, isLast: Bool) {
        let (first, next) = state.withLock { state in
            state.unanswered.append(SettledBatch(answers: answers, exchange: exchange, isLast: isLast))
            let next = state.next
            state.next = nil
            state.isStoring = next != nil
            return (state.unanswered.count == 1 ? state.unanswered.first : nil, next)
        }
        if let next { begin(next) }
        // Otherwise the answers to the batch before are still being written.
        if let first { write(first) }
    }

    /// Decides on one answer for each line, and notes what the next lines depend on.
    private func answers(to lines: ArraySlice<Line>, _ outcomes: [PostOutcome], _ state: inout State) -> [Answer] {
        var next = outcomes[...]
        var answers: [Answer] = []
        answers.reserveCapacity(lines.count)
        for line in lines {
            var answer: Answer
            switch line {
            case .refused(let error, _): answer = .refused(error, line: line.number)
            case .message:
                switch next.popFirst() {
                case .posted(let message):
                    state.accepted.add(message.conversation, message.seq.rawValue, message.seq.rawValue)
                    answer = .message(message)
                case .repeated(let message): answer = .message(message)
                case .refused(let error): answer = .refused(APIError(error), line: line.number)
                case nil: answer = .refused(APIError(StoreError.notTried), line: line.number)
                }
            }
            if state.hasStopped { answer = .refused(APIError(StoreError.notTried), line: line.number) }
            if case .refused = answer {
                state.refusedInRow += 1
                state.hasStopped = state.hasStopped || stopAtRefusal
            } else {
                state.refusedInRow = 0
            }
            answers.append(answer)
        }
        return answers
    }

    /// Spools the answers to a batch, while the store has the next one.
    private func write(_ batch: SettledBatch) {
        var bytes: [UInt8] = []
        for answer in batch.answers {
            switch answer {
            case .message(let message): MessageObject(message).write(to: &bytes)
            case .refused(let error, let line):
                var body = error.body
                body.line = line
                bytes += WireJSON.encode(body)
            }
            bytes.append(UInt8(ascii: "\n"))
        }
        let next = state.withLock { state in
            state.unanswered.removeFirst()
            if (try? state.spool.append(bytes)) != true {
                (state.isBroken, state.isOver, state.pending) = (true, true, [])
            }
            return state.unanswered.first
        }
        if batch.isLast { return respond(batch.exchange) }
        if let next { proceed(next.exchange) { $0.write(next) } }
    }
}
