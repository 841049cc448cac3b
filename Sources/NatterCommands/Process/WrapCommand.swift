internal import Glibc
internal import NatterCLI
internal import NatterClient
internal import NatterHTTP
internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// `wrap -c CONV -- CMD…`: runs a command and tells how it went.
enum WrapCommand {
    static let spec = CommandSpec(
        "wrap", "run a command and send how it went", group: NatterProgram.Group.writing,
        options: [.option("c", value: "CONV", "the conversation, 'general' unless named")],
        operands: [.required("CMD", isRepeating: true, "the command and its words, behind '--'")],
        description: [
            "Runs the command, and then sends a message with its status, how long it took and the end of its output. Its "
                + "output goes where it always goes, and its status is the status of wrap.",
            "Where the server cannot be reached the message waits in the outbox, as with 'send --queue'.",
        ],
        examples: [Example("natter wrap -c general -- make test", "tell all how the tests went")], run: run)

    /// Bytes of output that go into the message.
    private static let excerptBytes = 4 << 10

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let words = arguments.operands("CMD")
        // Who is not logged in learns it before the command has run for an hour.
        let login = try context.login()
        Signals.leaveInterruptToChild()
        let start = MonotonicClock.now()
        func inform(_ text: String) {
            do {
                try send(text, login, context)
            } catch {
                // The command's status is what scripts go by; that nobody was told is told here.
                console.note("how '\(words[0])' went could not be sent: \(Explanation.failure(error).message)")
            }
        }
        do throws(DiskError) {
            let outcome = try ChildProcess(words: words, keptBytes: excerptBytes, getsSignals: true).run()
            inform(summary(words, outcome, milliseconds: MonotonicClock.now() - start))
            return ExitCode(rawValue: outcome.status)
        } catch {
            // Nobody may see the standard error of what cron starts, so it is told like any other failure.
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

    /// What is sent: one line, then the end of the output.
    static func summary(_ words: [String], _ outcome: ChildProcess.Outcome, milliseconds: Int64) -> String {
        let how =
            if let signal = outcome.signal {
                "ended by signal \(signal)"
            } else {
                outcome.status == 0 ? "done" : "failed with status \(outcome.status)"
            }
        let head = "\(name(words)): \(how) after \(milliseconds / 1_000).\(milliseconds % 1_000 / 100) s"
        // Cut at a character's border, and without what no message may hold.
        let output = String(decoding: outcome.lastOutput.drop { $0 & 0xC0 == 0x80 }.filter { $0 != 0 }, as: UTF8.self)
        let excerpt = output.drop { $0.isNewline }
        guard !excerpt.isEmpty else { return head }
        return head + "\n" + (excerpt.last?.isNewline == true ? excerpt.dropLast() : excerpt)
    }

    /// The words of the command, of which there may be thousands, as a message calls it.
    private static func name(_ words: [String]) -> String {
        let whole = words.joined(separator: " ")
        return whole.utf8.count > 1_000 ? String(whole.prefix(250)) + "…" : whole
    }
}
