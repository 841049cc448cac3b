internal import NatterCLI
internal import NatterSystem

/// How far a long command is, on a line of the terminal that is written over; nothing where there is no terminal, or where it
/// takes less than half a second.
final class ProgressLine {
    private static let patienceMilliseconds: Int64 = 500
    static let stepMilliseconds: Int64 = 100

    private let errors: Output
    private let isShown: Bool
    private var next = MonotonicClock.now() + patienceMilliseconds
    private var isOnScreen = false

    init(_ console: Console) {
        errors = console.errors
        isShown = console.errors.isTerminal
    }

    func show(_ bytes: UInt64, of total: UInt64) {
        let now = MonotonicClock.now()
        guard isShown, now >= next else { return }
        next = now + ProgressLine.stepMilliseconds
        isOnScreen = true
        write("\r\u{1B}[K\(bytes >> 20) of \(total >> 20) MiB")
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
