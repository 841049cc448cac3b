internal import Glibc
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterSystem
internal import NatterProtocol

/// `wrap -c CONV -- CMD…`: runs a command and sends its outcome.
enum WrapCommand {
    static let spec = CommandSpec(
        "wrap", "run a command and send its outcome", group: NatterProgram.Group.writing, dashWords: .optionsFirst,
        options: [
            .option("conversation", short: "c", value: "CONV", "send to CONV instead of your notes, '@me'"),
            .flag("on-failure", "send nothing if the command succeeds"),
        ],
        operands: [.required("CMD", isRepeating: true, "the command and its arguments")],
        description: [
            "Run the command, then send a message with the command, the host, its exit status, how long it took and "
                + "the end of its output; if that has more than 4 KiB, all of it comes as a file. The output also goes where it always goes, and wrap exits with the "
                + "command's status. The words from CMD on belong to the command, also if they begin with '-'. Without -c "
                + "the message is a note to yourself.",
            "natter checks first that there is such a conversation and that you may write to it; if not, the command is "
                + "not run. If the server cannot be reached, the message waits in the outbox, as with 'send --queue'. "
                + "If the server refuses the message, it is parked in the outbox, and the exit status is 75 if the "
                + "command succeeded.",
        ],
        examples: [
            Example("natter wrap make test", "tell yourself how the tests went"),
            Example("natter wrap -c ops --on-failure -- /usr/local/bin/backup -v", "report a backup that failed"),
        ], run: run)

    /// The maximum number of output bytes in the message.
    private static let excerptBytes = 4 << 10

    private static let run: CommandBody = inContext { context in
        let words = context.arguments.operands("CMD")
        // Report a missing login or a wrong conversation now, not after a command that may run for an hour.
        var report = try Report(context)
        try report.check()
        Signals.leaveInterruptToChild()
        let start = MonotonicClock.now()
        let output = OutputFile(beyond: excerptBytes, in: context.temporaryDirectory)
        let outcome: ChildProcess.Outcome
        do throws(DiskError) {
            outcome = try ChildProcess(
                words: words, bytes: context.arguments.bytes, keptBytes: excerptBytes, onOutput: output.take,
                forwarded: .endings
            ).run()
        } catch {
            // Often nobody reads the standard error of a cron job, so this is sent like any other failure.
            let reason = error.code.phrase
            if let refusal = report.send({ _ in "\(name(words)): cannot be run: \(reason)" }) {
                context.console.note(refusal.message)
            }
            throw CommandFailure(
                ExitCode(rawValue: error.code == .noSuchFileOrDirectory ? 127 : 126), code: "cannot_run",
                "cannot run '\(words[0])': \(reason)")
        }
        let isGood = outcome.status == 0
        var failures: [CommandFailure] = []
        if !isGood || !context.arguments.flag("on-failure"),
            let refusal = report.send(
                { summary(words, outcome, milliseconds: outcome.end - start, file: $0) }, output.file(of: words))
        {
            failures.append(refusal)
        }
        // Its output is lost for good, but the message is parked.
        if let error = outcome.outputError { failures.append(CommandFailure(error)) }
        // Scripts use the command's status, so these are only notes if it has failed.
        let thrown = isGood ? failures.popLast() : nil
        for failure in failures { context.console.note(failure.message) }
        if let thrown { throw thrown }
        return ExitCode(rawValue: outcome.status)
    }

    /// The message about the command, and the conversation that it goes to.
    private struct Report {
        private let context: Context
        private let conversation: String
        /// The group that had this name when the command began.
        private var conversationID: ConversationID?
        private let api: ServerAPI?
        private let outbox: Outbox

        init(_ context: Context) throws {
            self.context = context
            conversation = context.arguments.value("conversation") ?? "@me"
            let login = try context.login()
            api = context.isOffline ? nil : try context.api(of: login)
            outbox = try context.outbox(of: login)
        }

        /// Asks the server whether the message can be sent. Without an answer, the command runs.
        ///
        /// - Throws: 67 if there is no such conversation, 77 if the user may not write there.
        mutating func check() throws { conversationID = try context.checkWritable(conversation, api) }

        /// Sends the message, or keeps it in the outbox. It goes without a file that the server does not take.
        ///
        /// - Parameter text: gets the name of the file.
        /// - Returns: why not, if neither was possible, so that somebody must look.
        func send(_ text: (String?) -> String, _ file: OutgoingFile? = nil) -> CommandFailure? {
            let request = SendRequest(
                conversation: conversation, conversationID: conversationID, text: text(file?.name),
                id: MessageID.make(at: context.now))
            do {
                return try deliver(request, file)
            } catch let refusal as FileRefusal {
                context.note("the output was not sent as a file: \(refusal.reason)")
                return send(text)
            } catch {
                let failure = CommandFailure(error)
                if failure.code == ErrorCode.outcomeUnknown.rawValue { return failure }
                return CommandFailure(
                    .temporary, code: failure.code, "could not send the outcome: \(failure.message)")
            }
        }

        private struct FileRefusal: Error { let reason: Phrase }

        private func deliver(_ request: SendRequest, _ file: OutgoingFile?) throws -> CommandFailure? {
            // Once the outbox has the message, Ctrl-C can't lose it. On a full disk it can only be sent, and Ctrl-C waits.
            let request = NamedGroups(context).identified(request)
            let files = file.map { [$0] } ?? []
            let kept = try? outbox.add([request], files: files, at: context.now).first?.entry
            if kept != nil { Signals.exitOnInterrupt() }
            do {
                let sending = QueuedSend(outbox: outbox, api: api, context: context)
                switch try sending.send(request, files: files) {
                case .sent(let answer): if let message = try? answer.message() { context.confirm(sent: message) }
                case .queued(_, let reason): context.note("queued: \(reason)")
                }
                return nil
            } catch let error as RequestError {
                let failure = CommandFailure(error)
                // Only a server's refusal is final. A file of certificates that can't be read, or a server of another version, may
                // be mended.
                let isRefused = if case .refused = error { failure.exitCode != .badProtocol } else { false }
                if !isRefused, kept != nil {
                    context.note("queued: \(error.reason)")
                    return nil
                }
                Signals.leaveInterruptToChild()
                if let kept { try outbox.withdraw(kept) }
                if file != nil { throw FileRefusal(reason: error.reason) }
                try outbox.park(
                    [request], code: failure.code, reason: error.reason.english, at: context.now)
                return CommandFailure(
                    .temporary, code: failure.code,
                    "the outcome was not accepted: \(failure.message); it is parked, see 'natter outbox ls'")
            }
        }
    }

    /// The message: one line, then the end of the output.
    static func summary(
        _ words: [String], _ outcome: ChildProcess.Outcome, milliseconds: Int64, file: String? = nil
    ) -> String {
        let how =
            if let signal = outcome.signal {
                "ended by signal \(signal)"
            } else {
                outcome.status == 0 ? "done" : "failed with status \(outcome.status)"
            }
        let head = "\(name(words)): \(how) after \(milliseconds / 1_000).\(milliseconds % 1_000 / 100) s"
        let (excerpt, leftOut) = CommandOutput.excerpt(outcome.lastOutput, of: outcome.outputBytes)
        let place = file.map { "in \($0)" } ?? "left out"
        let note = leftOut > 0 ? "\n[\(leftOut) bytes of output before this are \(place)]" : ""
        return head + note + (excerpt.isEmpty ? "" : "\n" + excerpt)
    }

    /// The command as a shell would take it, truncated because it may have thousands of words, and the host.
    private static func name(_ words: [String]) -> String {
        let whole = words.map { Delivery.quoted($0) }.joined(separator: " ")
        // Not 250 characters: one of them may have any number of marks.
        let beginning = whole.utf8.count > 1_000 ? String(whole.unicodeScalars.prefix(250)) + "…" : whole
        return "\(beginning) on \(Host.name ?? "unknown")"
    }
}
