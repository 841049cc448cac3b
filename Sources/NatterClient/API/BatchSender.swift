internal import Glibc
internal import NatterHTTP
internal import NatterLanguage
internal import NatterSystem
internal import NatterWire

/// Sends batches so that each message arrives once. After an interruption, unanswered messages are sent again with
/// the same ids until the timeout. The timeout counts from the last accepted message.
public final class BatchSender {
    private static let firstPauseMilliseconds: Int64 = 50
    private static let maximumPauseMilliseconds: Int64 = 2_000

    private let api: ServerAPI
    private let timeoutMilliseconds: Int64
    private let retryMilliseconds: Int64
    private let deadline: Int64
    /// Whether the server was ever reached. If it was not, the sender does not retry.
    private var wasReached = false
    /// Whether the server may have taken messages of the last batch without an answer.
    public private(set) var mayHaveArrived = false
    private let usesKeptRoom: Bool
    /// Whether each message has a request of its own from now on.
    private var sendsSingly = false
    /// How many messages a request may have. A server stores none of a body that breaks off early, so each cut halves it: what a
    /// bad line lets through gets through.
    private var mostMessages = MessageBatch.fullCount

    /// - Parameters:
    ///   - timeoutMilliseconds: the longest time without progress.
    ///   - retryMilliseconds: for how long after the last progress a request is repeated.
    ///   - deadlineMilliseconds: the time for all batches together; nil for no limit.
    ///   - usesKeptRoom: whether the messages are ones that people wrote. If the server refuses batches, because it keeps what room
    ///     its disk has for single messages, they are sent one by one.
    public init(
        api: ServerAPI, timeoutMilliseconds: Int, retryMilliseconds: Int = .max, deadlineMilliseconds: Int? = nil,
        usesKeptRoom: Bool = false
    ) {
        (self.api, self.usesKeptRoom) = (api, usesKeptRoom)
        self.timeoutMilliseconds = Int64(timeoutMilliseconds)
        self.retryMilliseconds = Int64(min(timeoutMilliseconds, retryMilliseconds))
        deadline = deadlineMilliseconds.map { MonotonicClock.now() + Int64($0) } ?? .max
    }

    /// Sends a batch in order, each message only if all messages before it were accepted. Accepted messages are
    /// removed from the batch, even if this throws.
    ///
    /// - Parameter onMessage: gets the object of each accepted message, as the server wrote it.
    /// - Returns: why the server refused the first remaining message; nil if none remains.
    /// - Throws: `RequestError` if the server can't accept any message at present or from this user; errors of
    ///   `onMessage`.
    public func send(
        _ batch: inout MessageBatch, onMessage: @escaping (ArraySlice<UInt8>) throws -> Void = { _ in }
    ) throws -> RequestError.Refusal? {
        var progress = MonotonicClock.now()
        var pause = BatchSender.firstPauseMilliseconds
        mayHaveArrived = false
        while !batch.isEmpty {
            let before = batch.count
            let limit = min(progress + timeoutMilliseconds, deadline)
            let obstacle: RequestError
            func noteProgress() {
                if batch.count == before { return }
                progress = MonotonicClock.now()
                pause = BatchSender.firstPauseMilliseconds
            }
            do throws(RequestError) {
                let refusal = try attempt(&batch, until: limit, onMessage)
                noteProgress()
                guard let refusal else { continue }
                guard BatchSender.isAboutServer(refusal) else { return refusal }
                obstacle = .refused(refusal)
            } catch .transport(.aborted(let cause), _) {
                mayHaveArrived = true
                throw cause
            } catch {
                mayHaveArrived = mayHaveArrived || error.mayHaveArrived && !api.mustProve
                guard wasReached || error.isOutcomeUnknown else { throw error }
                obstacle = error
            }
            noteProgress()
            if usesKeptRoom, !sendsSingly, case .refused(let refusal) = obstacle, refusal.has(.diskFull) {
                sendsSingly = true
                continue
            }
            if batch.count == before, obstacle.isOutcomeUnknown {
                mostMessages = max(1, min(mostMessages, batch.count) / 2)
            }
            guard let asked = BatchSender.pauseAsked(by: obstacle) else { throw obstacle }
            let wait = max(pause, asked)
            guard MonotonicClock.now() + wait < min(progress + retryMilliseconds, deadline) else { throw obstacle }
            usleep(UInt32(clamping: wait * 1_000))
            pause = min(pause * 2, BatchSender.maximumPauseMilliseconds)
        }
        mayHaveArrived = false
        return nil
    }

    /// Sends one request.
    private func attempt(
        _ batch: inout MessageBatch, until limit: Int64, _ onMessage: @escaping (ArraySlice<UInt8>) throws -> Void
    ) throws(RequestError) -> RequestError.Refusal? {
        let count = sendsSingly ? 1 : min(batch.count, mostMessages)
        let answers = BatchAnswers(expected: count, onMessage: onMessage)
        // Accepted messages are removed even if the answer was cut short.
        defer { batch.removeFirst(answers.takenCount) }
        let request =
            sendsSingly
            ? try HTTPRequest(API.send, body: batch.firstLine)
            : try HTTPRequest(API.send, query: [("stop", "1")], type: "application/x-ndjson", body: batch.lines(count))
        do throws(RequestError) {
            _ = try api.perform(
                request, deadlineMilliseconds: Int(clamping: max(1, limit - MonotonicClock.now()))
            ) { try answers.feed($0) }
            if sendsSingly { try end(answers) }
        } catch {
            switch error {
            case .refused(let refusal):
                wasReached = true
                // This is the refusal of the only line. A request without a good token is refused as a whole.
                if sendsSingly, refusal.status != 401, !BatchSender.isAboutServer(refusal) { return refusal }
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

    /// Ends the only line of an answer that is one object.
    private func end(_ answers: BatchAnswers) throws(RequestError) {
        do { try [UInt8(ascii: "\n")].withUnsafeBytes { try answers.feed($0) } } catch {
            throw .transport(.aborted(error), server: api.address)
        }
    }

    /// Whether a line was refused because of the server's state, not because of the line. The first refused line is `not_tried`
    /// only if the server has no room for answers.
    private static func isAboutServer(_ refusal: RequestError.Refusal) -> Bool {
        refusal.status == 429 || refusal.status >= 500 || refusal.has(.notTried)
    }

    /// The least time to wait before a retry; nil if a retry makes no sense.
    private static func pauseAsked(by error: RequestError) -> Int64? {
        switch error {
        // Only its message tells how long a line has to wait.
        case .refused(let refusal) where refusal.status == 429:
            refusal.retryAfterSeconds.map { Int64(clamping: $0) * 1_000 }
        case .refused(let refusal) where refusal.status == 503:
            Int64(clamping: refusal.retryAfterSeconds ?? 0) * 1_000
        case _ where error.isNotReached || error.isOutcomeUnknown: 0
        default: nil
        }
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
            try take(pending[start..<end])
            start = end + 1
        }
        pending.removeFirst(start)
        if pending.count > BatchAnswers.lineBytes { throw Malformed(reason: "a line of its answer has no end") }
    }

    private func take(_ line: ArraySlice<UInt8>) throws {
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
