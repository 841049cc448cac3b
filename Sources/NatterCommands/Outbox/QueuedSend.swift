internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterWire

/// `send --queue` of one message: sent if it can be, behind what waits already; else kept.
struct QueuedSend {
    enum Outcome {
        case sent(SentMessage)
        case queued(OutboxEntry, reason: Phrase)
    }

    let outbox: Outbox
    /// nil with `--offline`.
    let api: ServerAPI?
    let context: Context

    func send(_ request: SendRequest) throws -> Outcome {
        guard let api else { return try queue(request, reason: "--offline was given") }
        if try outbox.hasWaiting() { return try sendBehindOthers(request, api) }
        let timeout = try context.timeoutMilliseconds()
        do throws(Delivery.Failure) {
            let delivery = Delivery(api: api, timeoutMilliseconds: timeout, isTrying: context.tellTrying)
            return .sent(try delivery.attempt(request))
        } catch {
            guard QueueRule.allows(error.cause) else { throw error.cause }
            // With the id that it was tried with, so that it is there once if that did succeed.
            return try queue(request, reason: error.cause.reason)
        }
    }

    private func queue(_ request: SendRequest, reason: Phrase) throws -> Outcome {
        guard let (entry, _) = try outbox.add([request], at: context.now).first else {
            throw OutboxError.storage("the outbox did not take the message")
        }
        return .queued(entry, reason: reason)
    }

    /// Puts it behind the others first, so that the order stays whoever delivers.
    private func sendBehindOthers(_ request: SendRequest, _ api: ServerAPI) throws -> Outcome {
        guard let (own, isNew) = try outbox.add([request], at: context.now).first else {
            throw OutboxError.storage("the outbox did not take the message")
        }
        let timeout = try context.timeoutMilliseconds()
        let answer = Answer()
        var report = try OutboxDelivery(outbox, api: api).run(
            timeoutMilliseconds: timeout, lockMilliseconds: timeout
        ) { entry, message in
            if entry.number == own.number { answer.message = Array(message) }
        }
        let refusal = report.refused.first { $0.entry.number == own.number }?.refusal
        report.refused.removeAll { $0.entry.number == own.number }
        context.tell(report)
        if let message = answer.message { return .sent(SentMessage(object: message)) }
        if let refusal {
            // Told here and now, so it need not be kept to be told later.
            if isNew { try outbox.withdraw(own) }
            throw APIError.refused(refusal)
        }
        if let error = report.interruption {
            guard QueueRule.allows(error) else {
                // One that waited before was reported as queued by another command, and stays.
                if isNew { try outbox.withdraw(own) }
                throw error
            }
            return .queued(own, reason: error.reason)
        }
        return .queued(own, reason: "another command is delivering what waits before it")
    }

    private final class Answer {
        var message: [UInt8]?
    }
}
