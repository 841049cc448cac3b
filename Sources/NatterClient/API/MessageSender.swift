internal import NatterHTTP
internal import NatterModel
internal import NatterSystem
public import NatterProtocol

/// Sends messages so that each arrives once. While the outcome is unknown, unanswered messages are sent again with the same ids
/// until the timeout. The timeout counts from the last accepted message.
public final class MessageSender {
    /// Why a message was not sent, or may not have been sent.
    public struct Unsent: Error {
        public let cause: RequestError
        /// True if the server may have the message anyway.
        public let isOutcomeUnknown: Bool
        /// Whether there was an answer to each attempt, which can't be read.
        public let isUnread: Bool
    }

    /// How long retries fail before `onTrying` is called.
    private static let noticedMilliseconds: Int64 = 1_500

    private let api: ServerAPI
    private let timeoutMilliseconds: Int64
    private let retryMilliseconds: Int64
    private let deadline: Int64
    /// Whether the server was ever reached. If it was not, the sender does not retry.
    private var wasReached = false
    /// Whether the server may have taken messages of the last batch without an answer.
    public private(set) var mayHaveArrived = false
    /// Whether there was no answer at all to an attempt.
    private var hasLostAnswer = false
    private let usesKeptRoom: Bool
    /// Whether each message has a request of its own from now on.
    private var sendsSingly = false
    /// Whether a busy server is asked again.
    private var waitsForServer = true
    /// How many messages a request may have. A server stores none of a body that breaks off early, so each cut halves it: what a
    /// bad line lets through gets through.
    private var mostMessages = MessageBatch.fullCount
    /// The uploads for the message that is being sent, which has files.
    private var uploads: [String] = []
    /// Whether a file is being uploaded, so that the server can't have the message.
    private var isUploading = false
    /// When bytes of a file were last sent.
    private var lastUpload = Int64.min
    private let onUpload: ((OutgoingFile, UInt64) -> Void)?
    /// Called once, when retries have failed for a while.
    private var onTrying: ((RequestError) -> Void)?

    /// - Parameters:
    ///   - timeoutMilliseconds: the longest time without progress.
    ///   - retryMilliseconds: for how long after the last progress a request is repeated.
    ///   - deadlineMilliseconds: the time for all batches together; nil for no limit.
    ///   - usesKeptRoom: whether the messages are ones that people wrote. If the server refuses batches, because it keeps what room
    ///     its disk has for single messages, they are sent one by one.
    ///   - onTrying: is called once, when retries have failed for a while.
    ///   - onUpload: gets each file and how far it was sent.
    public init(
        api: ServerAPI, timeoutMilliseconds: Int, retryMilliseconds: Int = .max, deadlineMilliseconds: Int? = nil,
        usesKeptRoom: Bool = false, onTrying: ((RequestError) -> Void)? = nil,
        onUpload: ((OutgoingFile, UInt64) -> Void)? = nil
    ) {
        (self.api, self.usesKeptRoom, self.onTrying, self.onUpload) = (api, usesKeptRoom, onTrying, onUpload)
        self.timeoutMilliseconds = Int64(timeoutMilliseconds)
        self.retryMilliseconds = Int64(min(timeoutMilliseconds, retryMilliseconds))
        deadline = deadlineMilliseconds.map { MonotonicClock.now() + Int64($0) } ?? .max
    }

    /// Sends one message. A busy server is not asked again.
    ///
    /// - Parameter request: must have an id.
    public func send(_ request: SendRequest, files: [OutgoingFile] = []) throws(Unsent) -> SentMessage {
        (sendsSingly, waitsForServer, hasLostAnswer) = (true, false, false)
        var batch = MessageBatch()
        batch.append(request, files: files, number: 0)
        var answer: SentMessage?
        let cause: RequestError
        do {
            let refusal = try send(&batch) { answer = $0 }
            if let answer { return answer }
            cause = refusal.map { .refused($0) } ?? api.foreign("it left a message without an answer")
        } catch {
            cause = RequestError(in: error) ?? .transport(.aborted(error), server: api.address)
        }
        throw Unsent(cause: cause, isOutcomeUnknown: mayHaveArrived, isUnread: !hasLostAnswer)
    }

    /// Sends a batch in order, each message only if all messages before it were accepted. Accepted messages are
    /// removed from the batch, even if this throws.
    ///
    /// - Parameter onMessage: gets the answer to each accepted message.
    /// - Returns: why the server refused the first remaining message; nil if none remains.
    /// - Throws: `RequestError` if the server can't accept any message at present or from this user; errors of
    ///   `onMessage`.
    public func send(
        _ batch: inout MessageBatch, onMessage: @escaping (SentMessage) throws -> Void
    ) throws -> RequestError.Refusal? {
        var progress = MonotonicClock.now()
        var backoff = Backoff.sending
        (mayHaveArrived, uploads) = (false, [])
        while !batch.isEmpty {
            let before = batch.count
            let limit = min(progress + timeoutMilliseconds, deadline)
            let obstacle: RequestError
            func noteProgress() {
                progress = max(progress, lastUpload)
                if batch.count == before { return }
                progress = MonotonicClock.now()
                (backoff, uploads) = (.sending, [])
            }
            do throws(RequestError) {
                let refusal = try attempt(&batch, until: limit, onMessage)
                noteProgress()
                guard let refusal else { continue }
                guard MessageSender.isAboutServer(refusal) else {
                    if refusal.isAboutMessage { mayHaveArrived = false }
                    return refusal
                }
                obstacle = .refused(refusal)
            } catch .transport(.aborted(let cause), _) {
                mayHaveArrived = !isUploading
                throw cause
            } catch {
                obstacle = error
            }
            hasLostAnswer = hasLostAnswer || obstacle.isOutcomeUnknown
            mayHaveArrived = mayHaveArrived || obstacle.mayHaveArrived && !api.mustProve && !isUploading
            // A failure to connect does not show whether an earlier attempt succeeded.
            wasReached = wasReached || obstacle.isOutcomeUnknown
            noteProgress()
            if usesKeptRoom, !sendsSingly, case .refused(let refusal) = obstacle, refusal.has(.diskFull) {
                sendsSingly = true
                continue
            }
            if batch.count == before, obstacle.isOutcomeUnknown {
                mostMessages = max(1, min(mostMessages, batch.count) / 2)
            }
            let wait = backoff.next(after: obstacle)
            let now = MonotonicClock.now()
            guard wasReached, isRetried(obstacle), now + wait < min(progress + retryMilliseconds, deadline) else {
                throw obstacle
            }
            if now - progress >= MessageSender.noticedMilliseconds {
                onTrying?(obstacle)
                onTrying = nil
            }
            Backoff.sleep(milliseconds: wait)
        }
        mayHaveArrived = false
        return nil
    }

    /// Whether to send again what met this obstacle.
    private func isRetried(_ obstacle: RequestError) -> Bool {
        guard case .refused(let refusal) = obstacle, !obstacle.isOutcomeUnknown else { return obstacle.isTemporary }
        // Only its message tells how long a line has to wait.
        return waitsForServer && obstacle.isTemporary && (refusal.status != 429 || refusal.retryAfterSeconds != nil)
    }

    /// Sends one request.
    private func attempt(
        _ batch: inout MessageBatch, until limit: Int64, _ onMessage: @escaping (SentMessage) throws -> Void
    ) throws(RequestError) -> RequestError.Refusal? {
        let left = Int(clamping: max(1, limit - MonotonicClock.now()))
        isUploading = false
        if sendsSingly || !batch.firstFiles.isEmpty, let request = batch.request(at: 0) {
            return try attempt(request, of: &batch, timeoutMilliseconds: left, onMessage)
        }
        let count = min(batch.count, mostMessages)
        let answers = BatchAnswers(expected: count) { try onMessage(SentMessage(object: $0)) }
        // Accepted messages are removed even if the answer was cut short.
        defer { batch.removeFirst(answers.takenCount) }
        let request = try HTTPRequest(
            API.send, query: [("stop", "1")], type: "application/x-ndjson", body: batch.lines(count))
        do throws(RequestError) {
            _ = try api.perform(request, deadlineMilliseconds: left) { try answers.feed($0) }
        } catch {
            switch error {
            case .refused: wasReached = true
            case .transport(.aborted(let malformed as BatchAnswers.Malformed), _): throw api.foreign(malformed.reason)
            default: wasReached = wasReached || answers.takenCount > 0
            }
            throw error
        }
        wasReached = true
        // Slowly, because each request that is too long is sent for nothing.
        mostMessages = min(MessageBatch.fullCount, mostMessages + max(1, mostMessages / 8))
        guard answers.isComplete else { throw api.foreign("it left lines without an answer") }
        return answers.refusal
    }

    /// Sends the first message of a batch in a request of its own.
    private func attempt(
        _ request: SendRequest, of batch: inout MessageBatch, timeoutMilliseconds: Int,
        _ onMessage: (SentMessage) throws -> Void
    ) throws(RequestError) -> RequestError.Refusal? {
        let answer: SentMessage
        do throws(RequestError) {
            var request = request
            if !batch.firstFiles.isEmpty { request.files = try upload(batch.firstFiles, for: request) }
            answer = try api.send(request, timeoutMilliseconds: timeoutMilliseconds)
        } catch .refused(let refusal) where refusal.status != 401 {
            // A refused token would say nothing about the message.
            wasReached = true
            return refusal
        }
        wasReached = true
        batch.removeFirst(1)
        do { try onMessage(answer) } catch { throw .transport(.aborted(error), server: api.address) }
        return nil
    }

    /// Uploads those of a message's files that were not uploaded by an earlier attempt.
    private func upload(_ files: [OutgoingFile], for request: SendRequest) throws(RequestError) -> [String] {
        isUploading = true
        for file in files.dropFirst(uploads.count) {
            let left = deadline == .max ? nil : Int(clamping: max(1, deadline - MonotonicClock.now()))
            uploads.append(
                try api.upload(
                    file, for: request, timeoutMilliseconds: Int(clamping: timeoutMilliseconds),
                    deadlineMilliseconds: left
                ) { [self] sent in
                    lastUpload = MonotonicClock.now()
                    onUpload?(file, sent)
                }.upload)
            onUpload?(file, file.count)
        }
        isUploading = false
        return uploads
    }

    /// Whether a line was refused because of the server's state, not because of the line. The first refused line is `not_tried`
    /// only if the server has no room for answers.
    private static func isAboutServer(_ refusal: RequestError.Refusal) -> Bool {
        refusal.status == 429 || refusal.status >= 500 && !refusal.has(.notSupported) || refusal.has(.notTried)
    }
}

/// The lines of the answer to a batch: an object for each accepted message, then an error if one was refused.
final class BatchAnswers {
    /// The longest line: a message object, whose text may grow sixfold by escapes.
    private static let lineBytes = 1 << 20

    /// The answer does not fit the batch.
    struct Malformed: Error {
        let reason: Phrase
    }

    private let expected: Int
    private let onMessage: (ArraySlice<UInt8>) throws -> Void
    private var pending: [UInt8] = []
    /// How many messages the server has accepted, from the first on.
    private(set) var takenCount = 0
    /// Why the next message was refused. The messages after it were not tried.
    private(set) var refusal: RequestError.Refusal?

    init(expected: Int, onMessage: @escaping (ArraySlice<UInt8>) throws -> Void) {
        (self.expected, self.onMessage) = (expected, onMessage)
    }

    /// Whether every message has an answer, or one was refused.
    var isComplete: Bool { refusal != nil || takenCount == expected }

    func feed(_ bytes: UnsafeRawBufferPointer) throws {
        pending.append(contentsOf: bytes)
        var start = 0
        while let end = pending[start...].firstIndex(of: UInt8(ascii: "\n")) {
            try readAnswer(pending[start..<end])
            start = end + 1
        }
        pending.removeFirst(start)
        if pending.count > BatchAnswers.lineBytes { throw Malformed(reason: "a line of its answer has no end") }
    }

    private func readAnswer(_ line: ArraySlice<UInt8>) throws {
        // Lines after a refusal are about messages that were not tried.
        guard refusal == nil else { return }
        guard takenCount < expected else { throw Malformed(reason: "it answers more lines than it was sent") }
        if BatchAnswers.isMessage(line) {
            takenCount += 1
            try onMessage(line)
            return
        }
        guard let body: ErrorBody = try? WireJSON.decode(answer: line) else {
            throw Malformed(reason: "a line of its answer is neither a message nor an error")
        }
        refusal = RequestError.Refusal(
            body, status: ErrorCode(rawValue: body.error.code)?.status ?? ErrorCode.badRequest.status)
    }

    /// Servers write keys in alphabetical order, so the first key identifies a message. Any other line is decoded.
    private static func isMessage(_ line: ArraySlice<UInt8>) -> Bool {
        if line.starts(with: #"{"conversation":"#.utf8), line.last == UInt8(ascii: "}") { return true }
        guard let message: MessageObject = try? WireJSON.decode(answer: line) else { return false }
        return message.seq > 0
    }
}
