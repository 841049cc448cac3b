internal import NatterCLI
internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

extension CommandSpec {
    static let restore = CommandSpec(
        "restore", "put a backup into an empty data directory", group: "Maintenance",
        options: [.flag("json", "print what was done as one JSON object")],
        operands: [.required("SRC", "a directory that 'natterd backup' has made")],
        description: [
            "The data directory must be empty or not exist: nothing is ever overwritten. Everything is checked as fsck "
                + "does it; the status is 1 if something is damaged, which is named.",
            "A new epoch begins: clients that have seen more than the backup has find out, keep that aside, and offer "
                + "their own messages of it for sending again.",
        ],
        examples: [
            Example("natterd --data /srv/chat restore /srv/backup/natter", "put a backup into a new directory")
        ],
        run: RestoreCommand.run)
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
        let source = DataDirectory.trimmed(arguments.operand("SRC") ?? "")
        let directory = try DataDirectory.path(arguments, console)
        let line = ProgressLine(console)
        let notes = Monitor(console)
        let summary = try StoreRestore.run(
            source, into: directory, clock: console.clock,
            progress: {
                line.show($0.bytes, of: $0.totalBytes); return true
            },
            report: { line in notes.withLock { $0.note(line) } }
        ) { damage in
            line.clear()
            console.note(DamageReport(damage))
        }
        line.clear()
        if arguments.flag("json") {
            let report = Report(
                data: directory, taken: summary.taken.rfc3339, conversations: summary.conversations,
                messages: summary.messages, files: summary.files, bytes: summary.bytes, damages: summary.damages)
            try console.output.write(WireJSON.encode(report) + [0x0A])
            try console.output.flush()
        } else {
            console.note(
                "restored \(summary.messages) messages of \(summary.conversations) conversations to '\(directory)', as "
                    + "they were at \(summary.taken.rfc3339); \(FsckCommand.damages(summary.damages))")
        }
        return summary.damages == 0 ? .success : .nothingFound
    }
}
