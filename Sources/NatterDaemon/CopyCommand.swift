internal import NatterCommandLine
internal import NatterStore
internal import NatterSystem

extension CommandSpec {
    static let copy = CommandSpec(
        "copy", "copy a store between a directory and PostgreSQL", group: "Maintenance",
        options: [
            .option("from", value: "STORE", "the store to copy: a directory, or the URI of a database"),
            .option("to", value: "STORE", "where to: a database or a directory, and empty"),
        ],
        description: [
            "Ids, numbers, hashes and the bytes of the log files stay as they are, so sessions, cursors and replicas of "
                + "clients stay good. No server may use either store meanwhile."
        ],
        examples: [
            Example("natterd copy --from /srv/chat --to postgresql:///natter", "move a store into a database")
        ],
        run: CopyCommand.run)
}

enum CopyCommand {
    private struct Report: Encodable {
        let from: String
        let to: String
        let conversations: Int
        let files: Int
        let bytes: UInt64
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        guard let from = arguments.value("from"), let to = arguments.value("to"), isDatabase(from) != isDatabase(to)
        else {
            throw arguments.error("copy needs --from and --to: one a directory, the other the URI of a database")
        }
        let summary: StoreCopy.Summary
        if isDatabase(to) {
            let (directory, shared) = (DataDirectory.absolute(from), try SharedStore(to))
            try DataDirectory.becomeOwner(of: directory)
            try DataDirectory.requireStore(in: directory, by: "--from")
            let notes = Monitor(console)
            summary = try StoreCopy.run(from: directory, to: shared) { line in notes.withLock { $0.note(line) } }
            let disk = PosixDisk()
            let settings = try? disk.information(directory + "/natterd.conf")
            let hooks = try? disk.list(directory + "/hooks")
            if settings != nil || hooks?.isEmpty == false {
                console.note(
                    "natterd.conf and hooks are not copied; give each server its own, with settings such as 'registration', before its first start"
                )
            }
        } else {
            let directory = DataDirectory.absolute(to)
            try DataDirectory.becomeOwner(of: directory)
            summary = try StoreCopy.run(from: SharedStore(from), to: directory)
        }
        let report = Report(
            from: from, to: to, conversations: summary.conversations, files: summary.files, bytes: summary.bytes)
        try console.report(
            report, arguments,
            "copied \(FsckCommand.conversations(summary.conversations)), \(FsckCommand.files(summary.files)) with \(summary.bytes >> 10) KiB"
        )
        return .success
    }

    private static func isDatabase(_ store: String) -> Bool { store.contains("://") }
}
