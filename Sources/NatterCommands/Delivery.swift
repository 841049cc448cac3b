internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterSystem
internal import NatterProtocol

/// The words of a command about a message that it sends.
enum Delivery {
    /// - Throws: 69 if the outcome is still unknown after the timeout, 76 if an answer can't be read. The message names the id for
    ///   a retry.
    static func send(
        _ request: SendRequest, files: [OutgoingFile] = [], _ api: ServerAPI, _ context: Context
    ) throws -> SentMessage {
        let sender = MessageSender(
            api: api, timeoutMilliseconds: try context.timeoutMilliseconds(), onTrying: context.tellTrying,
            onUpload: context.showUploads())
        return try context.namingOnEnd(request) {
            do throws(MessageSender.Unsent) { return try sender.send(request, files: files) } catch {
                throw error.isOutcomeUnknown
                    ? unknown(error.cause, isUnread: error.isUnread, request) : error.cause
            }
        }
    }

    /// The error that names the id for a retry.
    static func unknown(
        _ error: RequestError, isUnread: Bool = false, _ request: SendRequest, because reason: Phrase? = nil
    ) -> CommandFailure {
        let cause = CommandFailure(error)
        let (why, id) = (reason ?? error.reason, quoted(request.id ?? ""))
        return CommandFailure(
            isUnread ? cause.exitCode : .unavailable,
            code: isUnread ? cause.code : ErrorCode.outcomeUnknown.rawValue,
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
