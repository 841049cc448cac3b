public import NatterModel
internal import Glibc
internal import NatterSystem

/// The progress of a long operation, on one line of the terminal. It shows nothing if the operation takes less than 0.5
/// s.
public final class ProgressLine {
    private static let patienceMilliseconds: Int64 = 500
    public static let stepMilliseconds: Int64 = 100

    private let errors: Output
    private let environment: Environment
    private let isShown: Bool
    private var next = MonotonicClock.now() + patienceMilliseconds
    private var isOnScreen = false

    /// - Parameter isWanted: false to print nothing.
    public init(_ console: Console, isWanted: Bool = true) {
        (errors, environment) = (console.errors, console.environment)
        isShown = isWanted && console.errors.isTerminal
    }

    /// - Parameter text: computed only if it is shown.
    public func show(_ text: @autoclosure () -> Phrase) {
        let now = MonotonicClock.now()
        guard isShown, now >= next else { return }
        next = now + ProgressLine.stepMilliseconds
        isOnScreen = true
        // In the last column, some terminals wrap. A wrapped line could not be cleared.
        let width = max(1, Terminal.columns(STDERR_FILENO, environment: environment) - 1)
        // Return to the start of the line and clear it.
        write("\r\u{1B}[K\(DisplayWidth.cut(TerminalText.escaped(text().text, .name), to: width))")
    }

    /// Shows the number of bytes, which is the same text in every language.
    public func show(_ bytes: UInt64, of total: UInt64) {
        show(Phrase(verbatim: "\(bytes >> 20) of \(total >> 20) MiB"))
    }

    public func clear() {
        if isOnScreen { write("\r\u{1B}[K") }
        isOnScreen = false
    }

    private func write(_ text: String) {
        try? errors.write(text)
        try? errors.flush()
    }
}
