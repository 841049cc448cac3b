internal import NatterCommandLine
internal import NatterClient

/// The notes about the syncs of one command. None is repeated, although each sync finds the same damage.
final class SyncNotes {
    private let context: Context
    private var told: Set<String> = []

    init(_ context: Context) { self.context = context }

    /// Prints the problems that a sync has found.
    func tell(_ report: SyncReport) {
        for gone in report.gone { tell(gone: gone.name, reason: gone.reason) }
        for damage in report.damaged {
            let range = damage.range
            tell(
                "the server cannot read messages \(range.lowerBound) to \(range.upperBound) of '\(damage.name)'; each "
                    + "sync asks for them again")
        }
        if let directory = report.quarantined {
            tell("the replica's database was damaged and has been made anew; the damaged one is in '\(directory)'")
        }
        for diverged in report.diverged {
            context.console.note(
                "the server was restored from a backup, and '\(diverged.name)' continues differently; the former "
                    + "messages are in '\(diverged.directory)'")
        }
    }

    /// Prints a note once.
    func tell(_ note: Phrase) {
        if told.insert(note.text).inserted { context.console.note(note) }
    }

    /// Prints once why a conversation receives no new messages.
    func tell(gone name: String, reason: String) {
        let note = SyncNotes.note(ofGone: name, reason: reason)
        if told.insert(note.text).inserted { context.note(note) }
    }

    private static func note(ofGone name: String, reason: String) -> Phrase {
        switch reason {
        case "removed": "you were removed from '\(name)'; the messages that you have synced stay"
        case "left": "you have left '\(name)'; the messages that you have synced stay"
        case "deleted": "'\(name)' was deleted; the messages that you have synced stay"
        case "missing":
            "the server was restored from a backup and does not have '\(name)'; the messages that you have synced stay"
        default: "'\(name)' gets no new messages (\(reason)); the messages that you have synced stay"
        }
    }
}
