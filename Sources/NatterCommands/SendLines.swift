internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterSystem
internal import NatterProtocol

/// `send --lines` and `send --ndjson`: one message per line. The messages are sent in batches when they arrive, with
/// the memory of one batch.
final class SendLines {
    /// The maximum length of a key in bytes. It leaves room for a line's number.
    static let keyLimit = 52

    private let context: Context
    private let messages: LineMessages
    /// True if the user has chosen the key.
    private let hasOwnKey: Bool
    private let sender: MessageSender?
    /// The queue, or nil without `--queue`.
    private let queue: LineQueue?
    private let groups: NamedGroups
    private let meter: ProgressLine

    private var batch = MessageBatch()
    /// How many messages the server has, and the line of the last one.
    private var sentCount = 0
    private var sentLine: Int64 = 0
    private var isTyped = false

    /// - Parameters:
    ///   - key: the prefix of the ids. With nil, one is generated for this run.
    ///   - api: nil with `--offline`, which queues everything.
    ///   - outbox: keeps messages that cannot be sent. It is nil without `--queue`.
    init(
        _ context: Context, form: LineMessages.Form, conversation: String, key: String?, api: ServerAPI?,
        outbox: Outbox?
    ) throws {
        self.context = context
        hasOwnKey = key != nil
        messages = LineMessages(
            form: form, conversation: conversation, key: key ?? MessageID.make(at: context.now))
        let timeout = try context.timeoutMilliseconds()
        sender = api.map { MessageSender(api: $0, timeoutMilliseconds: timeout) }
        let groups = NamedGroups(context)
        self.groups = groups
        queue = try outbox.map { try LineQueue($0, api: api, groups, context) }
        meter = ProgressLine(context)
    }

    /// Checks a key that the user has chosen.
    static func check(key: String) throws {
        guard IdempotencyKey(key) != nil, key.utf8.count <= keyLimit else {
            throw CommandFailure(
                .invalidData, code: "bad_id",
                "the id '\(key)' is not valid; with --lines and --ndjson use 1 to \(keyLimit) printable ASCII "
                    + "characters, to which each line's number is added")
        }
    }

    /// - Parameter descriptor: the source of the lines.
    func run(descriptor: Int32) throws -> ExitCode {
        defer { meter.clear() }
        do { return try sendAll(descriptor: descriptor) } catch let error as OutputError where error != .closedPipe {
            throw stopped(by: error)
        } catch let error as OutboxError {
            throw stopped(by: error)
        }
    }

    private func sendAll(descriptor: Int32) throws -> ExitCode {
        isTyped = Terminal.isTerminal(descriptor)
        var lines = StandardInput.lines(descriptor: descriptor, limit: messages.limitBytes)
        while true {
            let item: LineReader.Item
            do { item = try lines.next(mayWait: batch.isEmpty) } catch let error as DiskError {
                try flush()
                throw stopped(by: CommandFailure(unreadable: error))
            }
            switch item {
            case .line(let line):
                do throws(LineMessages.Problem) {
                    guard var request = try messages.message(line, number: lines.number) else { continue }
                    request.conversationID = groups.id(named: request.conversation)
                    batch.append(request, number: lines.number)
                } catch {
                    try stop(at: lines.number, error)
                }
                if batch.isFull { try flush() }
            case .tooLong: try stop(at: lines.number, messages.tooLong)
            // A slow writer such as 'tail -f' wants each line sent when it arrives.
            case .pause: try flush()
            case .end:
                try flush()
                meter.clear()
                tellTotals()
                return .success
            }
        }
    }

    // MARK: - Sending

    /// Sends or queues the batch.
    private func flush() throws {
        guard !batch.isEmpty else { return }
        prepareForInterrupt()
        let isQueued: Bool
        do { isQueued = try queue?.takesOver() ?? false } catch let error as RequestError {
            throw interrupted(error)
        }
        if isQueued, let queue {
            try put(into: queue)
        } else {
            try send()
        }
        prepareForInterrupt()
        // Flush in a pipe, too, because its reader may wait for exactly this line.
        try context.console.output.flush()
        // A line that is being typed would be cleared.
        guard !isTyped else { return }
        let done = sentCount + queuedCount
        meter.show(.plural(done, "\(done) message", "\(done) messages"))
    }

    /// Tells SIGINT and SIGTERM what to say: how far the lines were sent, and how to continue.
    private func prepareForInterrupt() {
        guard sentCount + queuedCount > 0 || !batch.isEmpty else { return }
        context.sayOnEnd(
            code: "interrupted", "interrupted; \(outcome). To continue, \(continuation): nothing is sent twice")
    }

    private func send() throws {
        guard let sender else { return }
        let before = batch.count
        let first = batch
        let output = context.wantsJSON ? context.console.output : nil
        let groups = groups
        var answered = 0
        let refusal: RequestError.Refusal?
        do {
            defer { count(before - batch.count, of: first) }
            refusal = try sender.send(&batch) { answer in
                if let request = first.request(at: answered) { groups.learn(request.conversation, from: answer.object) }
                answered += 1
                try output?.writeJSON(Array(answer.object))
            }
        } catch let error as RequestError {
            if error.allowsQueueing || sender.mayHaveArrived, let queue {
                queue.begin(because: error.reason)
                return try put(into: queue, mayHaveArrived: sender.mayHaveArrived)
            }
            throw interrupted(error)
        }
        guard let refusal, let line = batch.number(at: 0) else { return }
        if sender.mayHaveArrived { throw interrupted(.refused(refusal)) }
        let failure = CommandFailure(RequestError.refused(refusal))
        throw self.failure(at: line, code: failure.code, failure.message)
    }

    /// Puts the batch into the outbox; if that refuses a line, those before it.
    private func put(into queue: LineQueue, mayHaveArrived: Bool = false) throws {
        func add(_ count: Int) throws(OutboxError) -> [OutboxEntry] {
            try queue.add(first: count, of: &batch, at: context.now, mayHaveArrived: mayHaveArrived)
        }
        let last = batch.number(at: batch.count - 1)
        do {
            try write(try add(batch.count))
            sentLine = last ?? sentLine
        } catch OutboxError.idReused(let id) {
            guard let index = batch.requests.firstIndex(where: { $0.id == id }), let line = batch.number(at: index)
            else { throw OutboxError.idReused(id) }
            try write(try add(index))
            throw failure(at: line, code: "id_reused", OutboxError.idReused(id).phrase)
        }
    }

    private func count(_ taken: Int, of batch: MessageBatch) {
        sentCount += taken
        if taken > 0 { sentLine = batch.number(at: taken - 1) ?? sentLine }
    }

    private func write(_ entries: [OutboxEntry]) throws {
        guard context.wantsJSON else { return }
        for entry in entries { try context.console.output.writeJSON(WireJSON.encode(OutboxObject(entry))) }
    }

    // MARK: - Totals and errors

    private func tellTotals() {
        if let queue, queue.count > 0 {
            let total = sentCount + queue.count
            context.note(
                .plural(
                    total, "\(queue.count) of \(total) message queued: \(queue.reason)",
                    "\(queue.count) of \(total) messages queued: \(queue.reason)"))
        } else {
            context.confirm(.plural(sentCount, "\(sentCount) message sent", "\(sentCount) messages sent"))
        }
    }

    /// Sends the lines before a bad line. The line itself and the following ones are not sent.
    private func stop(at line: Int64, _ problem: LineMessages.Problem) throws -> Never {
        try flush()
        throw failure(at: line, code: problem.code, problem.reason)
    }

    private func failure(at line: Int64, code: String, _ reason: Phrase) -> CommandFailure {
        let before: Phrase =
            switch (sentCount, queuedCount) {
            case (0, 0): "nothing was sent"
            case (_, 0):
                "the lines before it were sent. Correct it, then \(continuation): nothing is sent twice"
            default:
                "the lines before it were sent or queued. Correct it, then \(continuation): nothing is sent twice"
            }
        return CommandFailure(.invalidData, code: code, "line \(line): \(reason); \(before)")
    }

    /// The error if the server can no longer be reached. It says how many lines were sent, and how to continue.
    private func interrupted(_ error: RequestError) -> any Error {
        let failure = CommandFailure(error)
        let mayHaveArrived = sender?.mayHaveArrived == true
        let isUnknown = mayHaveArrived || failure.exitCode == .unavailable && sentCount > 0
        guard sentCount + queuedCount > 0 || isUnknown, let line = batch.number(at: 0) else { return error }
        let isRefused = if case .refused = error { true } else { false }
        let exit = mayHaveArrived && isRefused ? .unavailable : failure.exitCode
        return CommandFailure(
            exit, code: isUnknown && exit == .unavailable ? "outcome_unknown" : failure.code,
            "stopped at line \(line): \(failure.message); \(outcome). To continue, \(continuation): nothing is sent twice"
        )
    }

    /// The error of a disk or a pipe of this machine, with how far the lines were sent, and how to continue.
    private func stopped(by error: any Error) -> CommandFailure {
        let failure = CommandFailure(error)
        let isUnknown = sender?.mayHaveArrived == true || error is OutputError
        guard sentCount + queuedCount > 0 || isUnknown else { return failure }
        return failure.saying(
            "\(failure.message); \(outcome). To continue, \(continuation): nothing is sent twice")
    }

    private var queuedCount: Int { queue?.count ?? 0 }

    /// How far the lines were sent, after an interruption.
    private var outcome: Phrase {
        if queuedCount > 0 { return "all lines up to \(sentLine) were sent or queued" }
        return sentCount > 0 ? "all lines up to \(sentLine) were sent" : "it is unknown whether anything was sent"
    }

    private var continuation: Phrase {
        hasOwnKey ? "repeat the same command" : "repeat the command with --id \(messages.key)"
    }
}
