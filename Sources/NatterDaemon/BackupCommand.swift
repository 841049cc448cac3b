internal import NatterCommandLine
internal import NatterModel
internal import NatterStore
internal import NatterSystem

extension CommandSpec {
    static let backup = CommandSpec(
        "backup", "copy everything as it is at one moment", group: "Maintenance",
        operands: [.required("DEST", "a directory that is empty, does not exist, or holds an earlier backup")],
        description: [
            "The backup has every message that was acknowledged before it began. The copy is synced and then checked like "
                + "fsck does. Until that is done, 'natterd restore' refuses it.",
            "An earlier backup of the same store is brought up to date: only what is new is copied.",
            "The status is 1 if something in the store is damaged. The damage is named, and everything else is in the "
                + "backup.",
        ],
        examples: [
            Example("natterd backup /srv/backup/natter", "make a backup, or bring it up to date"),
            Example("natterd --data /tmp/trial restore /srv/backup/natter", "test whether it can be restored"),
        ],
        run: BackupCommand.run)

    static let restore = CommandSpec(
        "restore", "restore a backup into an empty data directory", group: "Maintenance",
        options: [.flag("end-sessions", "end all sessions and revoke all tokens of the backup")],
        operands: [.required("SRC", "a directory that 'natterd backup' has made")],
        description: [
            "The data directory must be empty or not exist: nothing is ever overwritten. Everything is checked like fsck "
                + "does. The status is 1 if something is damaged, and the damage is named.",
            "A new epoch begins. Clients that have seen more than the backup has notice it, set that aside, and offer "
                + "their own messages for sending again.",
            "Accounts, passwords, members of groups and tokens are those of the backup, too. A token that was revoked "
                + "since works again, unless --end-sessions is given: then everybody logs in anew.",
        ],
        examples: [
            Example("natterd --data /srv/chat restore /srv/backup/natter", "restore a backup into a new directory")
        ],
        run: RestoreCommand.run)
}

enum BackupCommand {
    /// The report that `--json` prints.
    struct Report: Codable, Sendable {
        let dest: String
        let conversations: Int
        let messages: UInt64
        let files: Int
        let bytes: UInt64
        let copied: UInt64
        let damages: Int

        init(_ summary: StoreBackup.Summary, dest: String) {
            self.dest = dest
            (conversations, messages, files) = (summary.conversations, summary.messages, summary.files)
            (bytes, copied, damages) = (summary.bytes, summary.copiedBytes, summary.damages)
        }
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        try DataDirectory.requireFiles(arguments, console)
        guard let word = arguments.operand("DEST"), !word.isEmpty else {
            throw arguments.error("'DEST' is a directory, not an empty word")
        }
        let dest = DataDirectory.absolute(word)
        let display = CopyDisplay(console)
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            switch reply {
            case .progress(let bytes, let total): display.line.show(bytes, of: total)
            case .damage(let damage): display.note(damage)
            case .backedUp(let report):
                display.line.clear()
                // A server that systemd has given a /tmp of its own writes there, and the backup would end with it.
                if !StoreBackup.isThere(in: dest) {
                    throw CommandFailure(
                        .cannotCreate, code: "not_seen",
                        "the server has written '\(dest)' where this command can't see it; "
                            + "name a directory that both see")
                }
                try console.report(
                    report, arguments, isNeeded: report.damages > 0,
                    "backed up \(FsckCommand.messages(report.messages)) of "
                        + "\(FsckCommand.conversations(report.conversations)) to '\(report.dest)', "
                        + "\(report.copied >> 10) KiB of \(report.bytes >> 10) copied; "
                        + "\(FsckCommand.damages(report.damages))")
            default: break
            }
        }
        // Without a server the store is not even opened, because a store that can't be opened needs a copy most.
        return try client.perform(.backup(dest: dest)) { channel in
            let directory = try DataDirectory.path(arguments, console)
            return try run(to: dest, channel) { progress, damage in
                try StoreBackup.run(directory, to: dest, clock: console.clock, progress: progress, damage)
            }
        }
    }

    /// Makes a backup and replies with its progress, each damage, and the report.
    static func run(
        to dest: String, _ channel: any OperationChannel,
        _ backup: (@escaping (StoreProgress) throws -> Void, @escaping (StoreDamage) -> Void) throws
            -> StoreBackup.Summary
    ) throws -> ExitCode {
        let summary = try backup(channel.progress(), { try? channel.reply(.damage(DamageReport($0))) })
        try channel.reply(.backedUp(Report(summary, dest: dest)))
        return summary.damages == 0 ? .success : .nothingFound
    }
}

enum RestoreCommand {
    private struct Report: Encodable {
        let data: String
        let taken: String
        let conversations: Int
        let messages: UInt64
        let files: Int
        let bytes: UInt64
        let damages: Int
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        try DataDirectory.requireFiles(arguments, console)
        let source = DataDirectory.trimmed(arguments.required("SRC"))
        guard try PosixDisk().information(source) != nil else {
            throw CommandFailure(
                unreadable: DiskError(code: .noSuchFileOrDirectory, operation: "open", path: source))
        }
        let directory = try DataDirectory.path(arguments, console)
        try Question.confirm("restore '\(source)' to '\(directory)'?", arguments, console)
        let display = CopyDisplay(console)
        let notes = Monitor(console)
        let summary = try StoreRestore.run(
            source, into: directory, clock: console.clock, endsSessions: arguments.flag("end-sessions"),
            progress: { display.line.show($0.bytes, of: $0.totalBytes) },
            report: { line in notes.withLock { $0.note(line) } }
        ) { display.note(DamageReport($0)) }
        display.line.clear()
        let report = Report(
            data: directory, taken: summary.taken.rfc3339, conversations: summary.conversations,
            messages: summary.messages, files: summary.files, bytes: summary.bytes, damages: summary.damages)
        try console.report(
            report, arguments, isNeeded: report.damages > 0,
            "restored \(FsckCommand.messages(report.messages)) of \(FsckCommand.conversations(report.conversations)) to "
                + "'\(directory)', as of \(report.taken); \(FsckCommand.damages(report.damages))")
        console.confirm(
            arguments, isNeeded: !arguments.flag("quiet"),
            arguments.flag("end-sessions")
                ? "accounts, passwords and members of groups are those of \(report.taken), too; all sessions and tokens have ended"
                : "accounts, passwords, members of groups and tokens are those of \(report.taken), too: later changes "
                    + "and revocations are undone; 'restore --end-sessions' ends all sessions and tokens")
        return summary.damages == 0 ? .success : .nothingFound
    }
}

/// The display of a command that copies files: a line of progress, and each damage.
private struct CopyDisplay {
    let line: ProgressLine
    private let console: Console

    init(_ console: Console) { (self.console, line) = (console, ProgressLine(console)) }

    func note(_ damage: DamageReport) {
        line.clear()
        console.note(damage)
    }
}
