internal import NatterCLI
internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

extension CommandSpec {
    static let backup = CommandSpec(
        "backup", "copy everything as it is at one moment", group: "Maintenance",
        options: [.flag("json", "print what was done as one JSON object")],
        operands: [.required("DEST", "a directory that is empty, does not exist, or holds a former backup")],
        description: [
            "Every message that was acknowledged before it began is in it. The copy is synced and then checked as fsck "
                + "does it; only then it is a backup, and before that 'natterd restore' refuses it.",
            "Into a former backup of the same store, only what has come since is copied.",
            "The status is 1 if something of the store is damaged, which is named; all else is in the backup.",
        ],
        examples: [
            Example("natterd backup /srv/backup/natter", "make a backup, or bring it up to date"),
            Example("natterd --data /tmp/trial restore /srv/backup/natter", "try whether it can be put back"),
        ],
        run: BackupCommand.run)
}

enum BackupCommand {
    /// What `--json` prints.
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
        let dest = DataDirectory.absolute(arguments.operand("DEST") ?? "")
        let line = ProgressLine(console)
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            switch reply {
            case .progress(let bytes, let total): line.show(bytes, of: total)
            case .damage(let damage):
                line.clear()
                console.note(damage)
            case .backedUp(let report):
                line.clear()
                try tell(report, arguments, console)
            default: break
            }
        }
        // Without a server the store is not even opened: one that can't be is what most needs a copy.
        return try client.perform(.backup(dest: dest)) { channel in
            let summary = try StoreBackup.run(
                try DataDirectory.path(arguments, console), to: dest, clock: console.clock,
                progress: { (try? channel.reply(.progress(bytes: $0.bytes, total: $0.totalBytes))) != nil },
                { try? channel.reply(.damage(DamageReport($0))) })
            return try end(summary, dest, channel)
        }
    }

    /// For a store that is open.
    static func run(_ store: Store, to dest: String, _ channel: some OperationChannel) throws -> ExitCode {
        var next = MonotonicClock.now()
        let summary = try store.backup(
            to: dest,
            progress: { progress in
                let now = MonotonicClock.now()
                guard now >= next else { return true }
                next = now + ProgressLine.stepMilliseconds
                // Where nobody listens any more, nobody wants the rest.
                return (try? channel.reply(.progress(bytes: progress.bytes, total: progress.totalBytes))) != nil
            }, { try? channel.reply(.damage(DamageReport($0))) })
        return try end(summary, dest, channel)
    }

    private static func end(
        _ summary: StoreBackup.Summary, _ dest: String, _ channel: some OperationChannel
    ) throws -> ExitCode {
        try channel.reply(.backedUp(Report(summary, dest: dest)))
        return summary.damages == 0 ? .success : .nothingFound
    }

    /// Says what was done.
    private static func tell(_ report: Report, _ arguments: Arguments, _ console: Console) throws {
        guard !arguments.flag("json") else {
            return try console.output.write(WireJSON.encode(report) + [0x0A])
        }
        console.note(
            "backed up \(report.messages) messages of \(report.conversations) conversations to '\(report.dest)', "
                + "\(report.copied >> 10) KiB of \(report.bytes >> 10) copied; \(FsckCommand.damages(report.damages))")
    }
}
