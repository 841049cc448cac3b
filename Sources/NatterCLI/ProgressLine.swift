public import NatterLanguage
internal import NatterSystem

/// How far something long is, on a line of the terminal that is written over; nothing where it takes less than half a second.
public final class ProgressLine {
    private static let patienceMilliseconds: Int64 = 500
    public static let stepMilliseconds: Int64 = 100

    private let errors: Output
    private let isShown: Bool
    private var next = MonotonicClock.now() + patienceMilliseconds
    private var isOnScreen = false

    /// - Parameter isWanted: false for nothing at all, as where there is no terminal.
    public init(_ console: Console, isWanted: Bool = true) {
        errors = console.errors
        isShown = isWanted && console.errors.isTerminal
    }

    /// - Parameter text: put together only where it is shown.
    public func show(_ text: @autoclosure () -> Phrase) {
        let now = MonotonicClock.now()
        guard isShown, now >= next else { return }
        next = now + ProgressLine.stepMilliseconds
        isOnScreen = true
        // To the line's beginning, and clear it.
        write("\r\u{1B}[K\(TerminalText.escaped(text().text, .name))")
    }

    /// The same in every language.
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
