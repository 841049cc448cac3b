internal import NatterCLI
internal import NatterClient
internal import NatterSystem

/// How far a sync is, on a line of the terminal that is written over; only if it takes longer than half a second.
final class SyncMeter {
    private static let patienceMilliseconds: Int64 = 500
    private static let stepMilliseconds: Int64 = 100

    private let errors: Output
    private let isShown: Bool
    private var next = MonotonicClock.now() + patienceMilliseconds
    private var isOnScreen = false

    init(_ context: Context) {
        errors = context.console.errors
        isShown = errors.isTerminal && !context.arguments.flag("quiet") && !context.wantsJSON
    }

    func show(_ progress: SyncProgress) {
        show(
            .plural(
                progress.messages,
                "\(progress.messages) message, \(progress.receivedBytes >> 10) KiB: \(progress.conversation)",
                "\(progress.messages) messages, \(progress.receivedBytes >> 10) KiB: \(progress.conversation)"))
    }

    /// - Parameter text: put together only where it is shown.
    func show(_ text: @autoclosure () -> Phrase) {
        let now = MonotonicClock.now()
        guard isShown, now >= next else { return }
        next = now + SyncMeter.stepMilliseconds
        isOnScreen = true
        // To the line's beginning, and clear it.
        write("\r\u{1B}[K\(TerminalText.escaped(text().text, .name))")
    }

    func clear() {
        if isOnScreen { write("\r\u{1B}[K") }
        isOnScreen = false
    }

    private func write(_ text: String) {
        try? errors.write(text)
        try? errors.flush()
    }
}
