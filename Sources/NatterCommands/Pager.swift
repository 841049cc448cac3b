internal import Glibc
internal import NatterCommandLine

/// The program that shows long output on a terminal, as in git: `NATTER_PAGER`, `PAGER`, else `less` if it is
/// installed. `cat` means no pager.
final class Pager {
    /// The output to the pager. If `less` is the pager by default, what fits the terminal goes there without it.
    private(set) lazy var output = Output(name: "the pager") { [unowned self] in open(showing: $0) }
    private let console: Console
    private let command: String
    private let showsEnd: Bool
    private var process: pid_t?
    private var descriptor: Int32 = -1
    private var status: Int32 = 0

    private init(_ console: Console, command: String, showsEnd: Bool) {
        (self.console, self.command, self.showsEnd) = (console, command, showsEnd)
    }

    /// A pager, which starts with the first output.
    ///
    /// - Parameter showsEnd: begins with the end, if the pager is less and the user has not set where it begins.
    /// - Returns: nil if the output does not go to a terminal, or there is no pager, or it cannot be started.
    static func start(_ console: Console, showsEnd: Bool = false) -> Pager? {
        guard console.output.isTerminal, let command = command(console.environment) else { return nil }
        guard canRun(command, console.environment) else {
            console.note("cannot run the pager '\(command)'; set NATTER_PAGER or PAGER to another one")
            return nil
        }
        return Pager(console, command: command, showsEnd: showsEnd)
    }

    /// - Returns: where the output goes.
    private func open(showing bytes: [UInt8]) -> Int32 {
        let (isLess, fits) = (Pager.isPlainLess(command, console.environment), Pager.fits(bytes, console))
        if isLess, fits, console.environment["LESS"] == nil { return STDOUT_FILENO }
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return STDOUT_FILENO }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        // less would fill the rows above a short text.
        let words = command + (isLess && showsEnd && !fits ? " +G" : "")
        guard let process = Pager.spawn(words, input: ends[0], console.environment) else {
            close(ends[1])
            return STDOUT_FILENO
        }
        // The pager handles Ctrl-C. less stops reading and continues.
        Signals.leaveInterruptToChild()
        Signals.waitOnEnd(for: (process, ends[1]))
        (self.process, descriptor) = (process, ends[1])
        return descriptor
    }

    /// Whether a terminal shows some lines at once, above the prompt that comes next.
    private static func fits(_ bytes: [UInt8], _ console: Console) -> Bool {
        let columns = Terminal.columns(STDOUT_FILENO, environment: console.environment)
        let lines = CommandOutput.shown(bytes[...]).split(
            separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let rows = lines.dropLast().reduce(0) { rows, line in
            rows + max(1, (DisplayWidth.columns(String(decoding: line, as: UTF8.self)) + columns - 1) / columns)
        }
        return rows < Terminal.rows(STDOUT_FILENO)
    }

    /// Closes the pager's input and waits until the user quits it.
    func finish() {
        guard let process else { return }
        close(descriptor)
        self.process = nil
        status = Spawn.wait(for: process)
        Signals.waitOnEnd(for: nil)
        Signals.exitOnInterrupt()
    }

    /// Finishes before the shown messages count as seen.
    ///
    /// - Throws: 74 if the pager has failed.
    func finishShowing() throws(CommandFailure) {
        finish()
        guard status != 0 else { return }
        throw CommandFailure(
            .inputOutput, code: "pager_failed",
            "the pager '\(command)' has failed, so nothing counts as seen; set NATTER_PAGER or PAGER to another one, or "
                + "to 'cat'")
    }

    private static func command(_ environment: Environment) -> String? {
        // less would complain that the terminal is not fully functional, and wait for a key.
        if environment["TERM"] == nil || environment["TERM"] == "dumb" { return nil }
        for name in ["NATTER_PAGER", "PAGER"] {
            guard let chosen = environment.exact(name) else { continue }
            return chosen.isEmpty || chosen == "cat" ? nil : chosen
        }
        return isProgram("less", environment) ? "less" : nil
    }

    private static func isPlainLess(_ command: String, _ environment: Environment) -> Bool {
        let isLess = command == "less" || command.hasPrefix("less ") || command.hasSuffix("/less")
        return isLess && environment.exact("NATTER_PAGER") == nil
            && ![command, environment["LESS"] ?? ""].contains { $0.contains("+") }
    }

    /// Whether the shell finds the command. Otherwise it would end at once, and the output would be lost.
    private static func canRun(_ command: String, _ environment: Environment) -> Bool {
        // Like git: what has these characters needs a shell to be understood.
        guard !command.utf8.contains(where: { "|&;<>()$`\\\"'\t\n*?[#~=%".utf8.contains($0) }),
            let word = command.split(separator: " ").first.map(String.init)
        else { return true }
        if isProgram(word, environment) { return true }
        // It may be a word of the shell's own, such as 'exec'.
        let words = ["/bin/sh", "-c", "command -v \(word)"]
        guard let process = try? Spawn.start(words, [(STDOUT_FILENO, nil)]) else { return false }
        return Spawn.wait(for: process) == 0
    }

    private static func isProgram(_ word: String, _ environment: Environment) -> Bool {
        if word.contains("/") { return access(word, X_OK) == 0 }
        let directories = (environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":")
        return directories.contains { access("\($0)/\(word)", X_OK) == 0 }
    }

    private static func spawn(_ command: String, input: Int32, _ environment: Environment) -> pid_t? {
        // Like git: quit if one page is enough, pass colours, and keep the screen.
        if environment["LESS"] == nil { setenv("LESS", "FRX", 1) }
        // In the C locale, less shows Cyrillic as bytes in angle brackets. Our output is always UTF-8.
        if environment["LESSCHARSET"] == nil { setenv("LESSCHARSET", "utf-8", 1) }
        return try? Spawn.start(["/bin/sh", "-c", command], [(STDIN_FILENO, input)])
    }
}
