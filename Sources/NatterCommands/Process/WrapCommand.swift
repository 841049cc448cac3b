internal import Glibc
internal import NatterCLI
internal import NatterClient
internal import NatterHTTP
internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// `wrap -c CONV -- CMD…`: runs a command and sends its outcome.
enum WrapCommand {
    static let spec = CommandSpec(
        "wrap", "run a command and send its outcome", group: NatterProgram.Group.writing,
        options: [.option("c", value: "CONV", "the conversation (default 'general')")],
        operands: [.required("CMD", isRepeating: true, "the command and its arguments, after '--'")],
        description: [
            "Run the command, then send a message with its exit status, how long it took and the end of its output. "
                + "The output also goes where it always goes, and wrap exits with the command's status.",
            "If the server cannot be reached, the message waits in the outbox, as with 'send --queue'.",
        ],
        examples: [Example("natter wrap -c general -- make test", "report the result of the tests")], run: run)

    /// The maximum number of output bytes in the message.
    private static let excerptBytes = 4 << 10

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let words = arguments.operands("CMD")
        // Report a missing login now, not after a command that may run for an hour.
        let login = try context.login()
        Signals.leaveInterruptToChild()
        let start = MonotonicClock.now()
        func inform(_ text: String) {
            do {
                try send(text, login, context)
            } catch {
                // Scripts use the command's status, so a failure to send only prints a note.
                console.note("could not send the outcome of '\(words[0])': \(ExitCodes.translate(error).message)")
            }
        }
        do throws(DiskError) {
            let outcome = try ChildProcess(words: words, keptBytes: excerptBytes, getsSignals: true).run()
            inform(summary(words, outcome, milliseconds: MonotonicClock.now() - start))
            return ExitCode(rawValue: outcome.status)
        } catch {
            // Often nobody reads the standard error of a cron job, so this is sent like any other failure.
            let reason = error.code.phrase
            inform("\(name(words)): cannot be run: \(reason)")
            throw CommandFailure(
                ExitCode(rawValue: error.code == .noSuchFileOrDirectory ? 127 : 126), code: "cannot_run",
                "cannot run '\(words[0])': \(reason)")
        }
    }

    private static func send(_ text: String, _ login: Context.Login, _ context: Context) throws {
        let api =
            context.isOffline
            ? nil : try context.api(at: try context.address(remembered: login.account.server), token: login.token)
        let request = SendRequest(
            conversation: context.arguments.value("c") ?? "general", text: text, id: MessageID.make(at: context.now))
        let sending = QueuedSend(outbox: try context.outbox(of: login), api: api, context: context)
        if case .queued(_, let reason) = try sending.send(request) { context.note("queued: \(reason)") }
    }

    /// The message: one line, then the end of the output.
    static func summary(_ words: [String], _ outcome: ChildProcess.Outcome, milliseconds: Int64) -> String {
        let how =
            if let signal = outcome.signal {
                "ended by signal \(signal)"
            } else {
                outcome.status == 0 ? "done" : "failed with status \(outcome.status)"
            }
        let head = "\(name(words)): \(how) after \(milliseconds / 1_000).\(milliseconds % 1_000 / 100) s"
        // Cut at a character boundary, and remove characters that a message may not contain.
        let output = String(decoding: outcome.lastOutput.drop { $0 & 0xC0 == 0x80 }.filter { $0 != 0 }, as: UTF8.self)
        let excerpt = output.drop { $0.isNewline }
        guard !excerpt.isEmpty else { return head }
        return head + "\n" + (excerpt.last?.isNewline == true ? excerpt.dropLast() : excerpt)
    }

    /// The words of the command, truncated because there may be thousands.
    private static func name(_ words: [String]) -> String {
        let whole = words.joined(separator: " ")
        return whole.utf8.count > 1_000 ? String(whole.prefix(250)) + "…" : whole
    }
}
