import Glibc
import NatterCommandLine
import NatterModel
import SystemSupport
import TestSupport

/// A program with a bit of everything that the real ones have.
enum Fixture {
    static let program = ProgramSpec(
        name: "natter", tagline: "chat", version: "1.2.3",
        options: [
            .option("home", value: "DIR", "where the replica lies"),
            .option("color", oneOf: ["auto", "always", "never"], "when to write colours"),
            .option("timeout", value: "S", "seconds to wait for the server"),
            .flag("json", "one JSON object a line"),
            .flag("offline", "don't ask the server"),
        ],
        commands: [
            CommandSpec(
                "log", "print messages, oldest first", group: "Reading",
                options: [
                    .option("limit", short: "n", value: "N", "no more than N messages"),
                    .flag("follow", short: "f", "go on with new ones as they come"),
                    .option("after", value: "SEQ", "only messages after SEQ"),
                    .option("since", value: "TIME", "only messages from TIME on"),
                    .option("from", value: "USER", isRepeatable: true, "only messages of USER"),
                ],
                operands: [.optional("CONV", "the conversation; 'general' unless named")],
                description: [
                    "Prints the messages of a conversation from the replica, after a quick sync with the server. "
                        + "What the replica lacks is fetched."
                ],
                examples: [Example("natter log -n 5", "the five newest messages of 'general'")],
                run: succeed),
            CommandSpec("ls", "list the conversations", group: "Reading", run: succeed),
            CommandSpec(
                "search", "search the replica", group: "Reading", dashWords: .optionsIfKnown,
                options: [
                    .option("limit", short: "n", value: "N", "no more than N messages"), .flag("regex", "a regex"),
                ],
                operands: [.required("QUERY", isRepeating: true, "what to look for")], run: succeed),
            CommandSpec(
                "mark", "mark as read", group: "Reading",
                operands: [.optional("CONV", "the conversation"), .optional("SEQ", "up to here")], run: succeed),
            CommandSpec(
                "send", "send a message", group: "Writing",
                options: [.option("conversation", short: "c", value: "CONV", "where to")],
                operands: [.optional("TEXT", isRepeating: true, "the text")], run: succeed),
            CommandSpec(
                "watch", "run a command for each message", group: "Writing",
                options: [.option("exec", value: "CMD", "what to run")],
                operands: [.optional("CONV", isRepeating: true, "the conversations")], run: succeed),
            CommandSpec("serve", "run natterd", group: "Server", dashWords: .operands, run: succeed),
            CommandSpec(
                "completion", "print a completion script", group: "Server",
                operands: [.required("SHELL", oneOf: ["bash", "zsh", "fish"], "the shell")], run: succeed),
            CommandSpec(
                "outbox", "look after what waits", group: "Writing",
                subcommands: [
                    CommandSpec("ls", "list what waits", run: succeed),
                    CommandSpec(
                        "drop", "give up a message", options: [.flag("all", "every one")],
                        operands: [.required("ID", "the message")], run: succeed),
                ]),
            CommandSpec(
                "admin", "administer the server", group: "Server",
                subcommands: [
                    CommandSpec(
                        "user", "accounts",
                        subcommands: [
                            CommandSpec(
                                "add", "create an account", operands: [.required("NAME", "of the account")],
                                run: succeed)
                        ]),
                    CommandSpec(
                        "log", "print the server's log", options: [.flag("follow", short: "f", "go on")], run: succeed),
                ]),
        ])

    static let succeed: CommandBody = { _, _ in .success }

    static func console(environment: [String: String] = [:], now: Timestamp = .zero) -> Console {
        Console(
            output: .memory(), errors: .memory(), environment: Environment(environment), clock: TestClock(now),
            program: "natter")
    }

    /// The arguments of a line that runs something.
    static func arguments(_ words: [String], program: ProgramSpec = program) throws -> Arguments {
        guard case .run(_, let arguments) = try ArgumentParser.parse(words, for: program) else {
            throw NothingToRun(words: words)
        }
        return arguments
    }

    /// The error of a line; nil if nothing is wrong.
    static func error(_ words: [String], program: ProgramSpec = program) -> UsageError? {
        failure { () throws(UsageError) in _ = try ArgumentParser.parse(words, for: program) }
    }

    struct NothingToRun: Error { let words: [String] }
}

extension Output {
    var text: String { String(decoding: collected, as: UTF8.self) }
}

/// Resets SIGINT, whose disposition a child inherits from the test runner.
func receiveInterrupts() {
    _ = signal(SIGINT, SIG_DFL)
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_UNBLOCK, &all, nil)
}
