internal import Glibc
internal import NatterCommandLine
internal import NatterSystem

/// A text that the user writes in an editor: `VISUAL`, `EDITOR`, else vi. The file stays until the text is sent.
struct Draft {
    private let path: String
    let text: String

    /// Opens the editor and returns when the user leaves it.
    ///
    /// - Parameter beginning: what the file contains at first.
    init(beginning: String, _ context: Context) throws {
        let environment = context.console.environment
        guard Terminal.isTerminal(STDIN_FILENO), context.console.output.isTerminal else {
            throw context.arguments.error("-e opens an editor, which needs a terminal")
        }
        let directory = environment["TMPDIR"] ?? "/tmp"
        var descriptor: Int32 = -1
        path = try Path.temporary("natter", in: directory) {
            descriptor = mkstemp($0)
            return descriptor >= 0
        }
        let output = Output(descriptor: descriptor, name: "'\(path)'")
        do {
            try output.write(beginning)
            try output.flush()
        } catch {
            close(descriptor)
            unlink(path)
            throw error
        }
        close(descriptor)
        let before = Draft.version(of: path)
        let editor = environment["VISUAL"] ?? environment["EDITOR"] ?? "vi"
        // As git does, so that the variable may contain options.
        let outcome: ChildProcess.Outcome
        do throws(DiskError) {
            Signals.leaveInterruptToChild()
            defer { Signals.exitOnInterrupt() }
            outcome = try ChildProcess(words: ["/bin/sh", "-c", "\(editor) \"$@\"", editor, path]).run()
        } catch {
            unlink(path)
            throw CommandFailure(error)
        }
        guard outcome.status == 0 else {
            throw CommandFailure(
                .inputOutput, code: "editor_failed",
                "the editor '\(editor)' ended with status \(outcome.status); nothing was sent, and the text is in '\(path)'"
            )
        }
        do {
            let file = open(path, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { throw CommandFailure(unreadable: DiskError(operation: "open", path: path)) }
            defer { close(file) }
            text = try StandardInput.message(descriptor: file, name: "'\(path)'")
        }
        // A file system may give two changes one time, so the text decides, too.
        if text == beginning, Draft.version(of: path) == before {
            unlink(path)
            throw CommandFailure(.invalidData, code: "bad_text", "you left the editor without saving; nothing was sent")
        }
        if text.allSatisfy(\.isWhitespace) {
            unlink(path)
            throw CommandFailure(.invalidData, code: "bad_text", "the text is empty; nothing was sent")
        }
    }

    /// Numbers of the file that change when an editor saves it, even with the same text.
    private static func version(of path: String) -> [Int] {
        var information = stat()
        guard stat(path, &information) == 0 else { return [] }
        return [Int(truncatingIfNeeded: information.st_ino), information.st_mtim.tv_sec, information.st_mtim.tv_nsec]
    }

    /// Call when the text is safe elsewhere.
    func remove() { unlink(path) }

    /// Tells where the text is that could not be sent.
    func keep(_ context: Context) { context.console.note("the text is kept in '\(path)'") }
}
