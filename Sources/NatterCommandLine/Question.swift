internal import Glibc
public import NatterModel

/// A question before something that cannot be undone. It is asked on a terminal only, and not with `--yes`: a script means
/// what it says.
public enum Question {
    /// Both programs have it.
    public static let option = OptionSpec.flag(
        "yes", "ask no questions before what cannot be undone",
        long: "On a terminal, a command asks first, and anything but 'yes' or 'y' ends it with status 1: nothing is "
            + "done. Without a terminal it asks nothing.")

    private static let longestAnswer = 100

    /// - Parameter question: ends with a question mark.
    /// - Throws: if the answer is not yes. Nothing was done then.
    public static func confirm(
        _ question: @autoclosure () -> Phrase, _ arguments: Arguments, _ console: Console
    ) throws(CommandFailure) {
        guard !arguments.flag(option.name), Terminal.isTerminal(STDIN_FILENO), console.errors.isTerminal else { return }
        let choices: Phrase = "[y/N]"
        try? console.errors.write(TerminalText.escaped("\(question().text) \(choices.text) "))
        try? console.errors.flush()
        let answer = (readLine() ?? "").prefix(longestAnswer).lowercased().filter { !$0.isWhitespace }
        guard ["y", "yes", "д", "да"].contains(answer) else {
            throw CommandFailure(.nothingFound, code: "not_confirmed", "nothing was done")
        }
    }

    /// Has a name typed again before everything of it goes.
    ///
    /// - Throws: 64 without `--yes` and without a terminal, so that no script does it by mistake.
    public static func confirm(
        typing name: String, _ warning: Phrase, _ arguments: Arguments, _ console: Console
    ) throws {
        if arguments.flag(option.name) { return }
        guard Terminal.isTerminal(STDIN_FILENO), console.errors.isTerminal else {
            throw arguments.error("no terminal to type the name '\(name)' again; give --yes")
        }
        let prompt: Phrase = "type '\(name)' to go on:"
        try? console.errors.write(TerminalText.escaped("\(warning.text)\n\(prompt.text) "))
        try? console.errors.flush()
        guard (readLine() ?? "")[...].withoutBlanks == name[...] else {
            throw CommandFailure(.nothingFound, code: "not_confirmed", "nothing was done")
        }
    }

    /// The question before messages are erased.
    public static func confirmErasing(
        of conversation: String, _ arguments: Arguments, _ console: Console
    ) throws(CommandFailure) {
        try confirm("erase these messages of '\(conversation)' for good?", arguments, console)
    }

    /// The operand TIME of a command that sets how long messages are kept, after the question before older ones go.
    public static func retention(
        of conversation: String, _ arguments: Arguments, _ console: Console
    ) throws -> Retention {
        let text = arguments.required("TIME")
        guard let retention = Retention(text) else {
            throw arguments.error("give days from '1d' to '36500d', or 'forever', not '\(text)'")
        }
        if retention != .forever {
            try confirm(
                "drop messages of '\(conversation)' that are older than \(retention.description) for good?", arguments,
                console)
        }
        return retention
    }

    /// The report that messages were erased.
    public static func erased(_ count: Int, of conversation: String) -> Phrase {
        .plural(
            UInt64(max(0, count)), "erased \(count) message of '\(conversation)'",
            "erased \(count) messages of '\(conversation)'")
    }
}
