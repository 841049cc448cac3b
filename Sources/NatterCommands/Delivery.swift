internal import Glibc
internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// Sends one message so that it arrives once: if the outcome is unknown, it is sent again with the same id.
struct Delivery {
    /// Why a message was not sent, or may not have been sent.
    struct Failure: Error {
        let cause: APIError
        /// Whether the server may have the message anyway.
        let isOutcomeUnknown: Bool
    }

    let api: ServerAPI
    /// For all attempts together.
    let timeoutMilliseconds: Int
    /// Called once, when retries have failed for a while.
    var isTrying: (APIError) -> Void = { _ in }

    /// The pause between attempts at which `isTrying` is called, about 1.5 s after the first attempt.
    private static let noticedMilliseconds: Int64 = 1_600

    /// - Throws: 69 with the id to repeat with, if the outcome is still unknown after the timeout.
    func send(_ request: SendRequest) throws -> SentMessage {
        do throws(Failure) {
            return try attempt(request)
        } catch {
            throw error.isOutcomeUnknown ? unknown(error.cause, request) : error.cause
        }
    }

    func attempt(_ request: SendRequest) throws(Failure) -> SentMessage {
        let deadline = MonotonicClock.now() + Int64(timeoutMilliseconds)
        var pauseMilliseconds: Int64 = 50
        var hasGoneOut = false
        while true {
            do throws(APIError) {
                let left = max(1, deadline - MonotonicClock.now())
                return try api.send(request, timeoutMilliseconds: Int(clamping: left))
            } catch {
                hasGoneOut = hasGoneOut || error.isOutcomeUnknown
                // Failing to connect says nothing about an earlier attempt that may have succeeded.
                guard hasGoneOut, error.isOutcomeUnknown || error.isNotReached else {
                    // A server that is too busy now says nothing about the first attempt, either.
                    throw Failure(cause: error, isOutcomeUnknown: hasGoneOut && QueueRule.allows(error))
                }
                if MonotonicClock.now() + pauseMilliseconds >= deadline {
                    throw Failure(cause: error, isOutcomeUnknown: true)
                }
                if pauseMilliseconds == Delivery.noticedMilliseconds { isTrying(error) }
                usleep(UInt32(pauseMilliseconds * 1_000))
                pauseMilliseconds = min(pauseMilliseconds * 2, 2_000)
            }
        }
    }

    private func unknown(_ error: APIError, _ request: SendRequest) -> CommandFailure {
        let id = request.id ?? ""
        return CommandFailure(
            .unavailable, code: "outcome_unknown",
            "the message may have been sent or not: \(error.reason); repeat it with --id \(Delivery.quoted(id))")
    }

    /// Quoted for a shell if it needs quotes.
    static func quoted(_ id: String) -> String {
        let isPlain = id.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."): true
            default: byte.isASCIILetter || byte.isASCIIDigit
            }
        }
        if isPlain { return id }
        return "'" + id.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
    }
}
