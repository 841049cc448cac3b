internal import Glibc
internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// Sends one message so that it arrives exactly once. If the outcome is unknown, it is sent again with the same id.
struct Delivery {
    /// Why a message was not sent, or may not have been sent.
    struct Failure: Error {
        let cause: RequestError
        /// True if the server may have the message anyway.
        let isOutcomeUnknown: Bool
        /// Whether there was an answer to each attempt, which can't be read.
        var isUnread = false
    }

    let api: ServerAPI
    /// The timeout for all attempts together.
    let timeoutMilliseconds: Int
    /// For how long another attempt may begin.
    var retryMilliseconds = Int.max
    /// Called once, when retries have failed for a while.
    var isTrying: (RequestError) -> Void = { _ in }

    /// The pause between attempts at which `isTrying` is called, about 1.5 s after the first attempt.
    private static let noticedMilliseconds: Int64 = 1_600

    /// - Throws: 69 if the outcome is still unknown after the timeout, 76 if an answer can't be read. The message names the id for
    ///   a retry.
    func send(_ request: SendRequest) throws -> SentMessage {
        do throws(Failure) {
            return try attempt(request)
        } catch {
            throw error.isOutcomeUnknown ? Delivery.unknown(error, request) : error.cause
        }
    }

    func attempt(_ request: SendRequest) throws(Failure) -> SentMessage {
        let start = MonotonicClock.now()
        let deadline = start + Int64(timeoutMilliseconds)
        let lastStart = start + Int64(min(timeoutMilliseconds, retryMilliseconds))
        var pauseMilliseconds: Int64 = 50
        var hasGoneOut = false
        while true {
            do throws(RequestError) {
                let left = max(1, deadline - MonotonicClock.now())
                return try api.send(request, timeoutMilliseconds: Int(clamping: left))
            } catch {
                hasGoneOut = hasGoneOut || error.isOutcomeUnknown
                let mayBeThere = (hasGoneOut || error.mayHaveArrived) && !api.mustProve
                // A failure to connect does not show whether an earlier attempt succeeded.
                guard hasGoneOut, error.isOutcomeUnknown || error.isNotReached else {
                    // Nor does a server that is too busy now, or where the sender has lost a right meanwhile.
                    let isDecided = if case .refused(let refusal) = error { refusal.isAboutMessage } else { false }
                    throw Failure(
                        cause: error, isOutcomeUnknown: mayBeThere && !isDecided, isUnread: !hasGoneOut)
                }
                if MonotonicClock.now() + pauseMilliseconds >= lastStart {
                    throw Failure(cause: error, isOutcomeUnknown: mayBeThere)
                }
                if pauseMilliseconds == Delivery.noticedMilliseconds { isTrying(error) }
                usleep(UInt32(pauseMilliseconds * 1_000))
                pauseMilliseconds = min(pauseMilliseconds * 2, 2_000)
            }
        }
    }

    /// The error that names the id for a retry.
    static func unknown(
        _ failure: Failure, _ request: SendRequest, because reason: Phrase? = nil
    ) -> CommandFailure {
        let cause = ExitCodes.translate(failure.cause)
        let (why, id) = (reason ?? failure.cause.reason, quoted(request.id ?? ""))
        return CommandFailure(
            failure.isUnread ? cause.exitCode : .unavailable,
            code: failure.isUnread ? cause.code : ErrorCode.outcomeUnknown.rawValue,
            isChange(request)
                ? "the change may have been made or not: \(why); repeat it with --id \(id)"
                : "the message may have been sent or not: \(why); repeat it with --id \(id)")
    }

    /// Whether it edits or deletes a message.
    static func isChange(_ request: SendRequest) -> Bool {
        request.kind.flatMap { MessageKind(name: $0) }?.isChange == true
    }

    /// Checks an id that the user has chosen.
    static func check(id: String) throws(CommandFailure) {
        guard IdempotencyKey(id) == nil else { return }
        throw CommandFailure(
            .invalidData, code: "bad_id", "the id '\(id)' is not valid; use 1 to 64 printable ASCII characters")
    }

    /// A word, quoted for a shell if necessary.
    static func quoted(_ word: String) -> String {
        let isPlain = word.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: ":"),
                UInt8(ascii: "="), UInt8(ascii: ","), UInt8(ascii: "+"), UInt8(ascii: "@"), UInt8(ascii: "%"):
                true
            default: byte.isASCIILetter || byte.isASCIIDigit
            }
        }
        if isPlain, !word.isEmpty { return word }
        return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
    }
}

extension Context {
    /// Lets a signal that ends this process say something first.
    func sayOnEnd(code: String, _ message: Phrase) {
        func report(_ exit: ExitCode) -> [UInt8] {
            let text = Output.memory()
            FailureReport.write(
                CommandFailure(exit, code: code, message), json: wantsJSON, program: console.program, to: text)
            return text.collected
        }
        // Only the object has the status. The text is made for each message that is sent, so it is made once.
        let interrupted = report(.interrupted)
        Signals.sayOnEnd(interrupted: interrupted, terminated: wantsJSON ? report(.terminated) : interrupted)
    }

    /// Runs `send`, which sends a message. A signal that ends this process meanwhile names the id for a retry.
    func namingOnEnd<Result>(_ request: SendRequest, _ send: () throws -> Result) throws -> Result {
        let id = Delivery.quoted(request.id ?? "")
        sayOnEnd(
            code: "outcome_unknown",
            Delivery.isChange(request)
                ? "interrupted; the change may have been made or not; repeat it with --id \(id)"
                : "interrupted; the message may have been sent or not; repeat it with --id \(id)")
        defer { Signals.sayNothingOnEnd() }
        return try send()
    }
}

extension SentMessage {
    /// The object that the server has answered.
    func message() throws(RequestError) -> MessageObject {
        guard let message: MessageObject = try? WireJSON.decode(answer: object) else {
            throw .foreign("the server does not answer like a natter server: its answer is not a message")
        }
        return message
    }
}
