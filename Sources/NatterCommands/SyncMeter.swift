internal import NatterCLI
internal import NatterClient

/// How far a sync is, or something like it, on a line of the terminal.
struct SyncMeter {
    private let line: ProgressLine

    init(_ context: Context) {
        line = ProgressLine(context.console, isWanted: !context.arguments.flag("quiet") && !context.wantsJSON)
    }

    func show(_ progress: SyncProgress) {
        show(
            .plural(
                progress.messages,
                "\(progress.messages) message, \(progress.receivedBytes >> 10) KiB: \(progress.conversation)",
                "\(progress.messages) messages, \(progress.receivedBytes >> 10) KiB: \(progress.conversation)"))
    }

    /// - Parameter text: put together only where it is shown.
    func show(_ text: @autoclosure () -> Phrase) { line.show(text()) }

    func clear() { line.clear() }
}
