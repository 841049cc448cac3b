internal import NatterCLI
internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterWire

extension CommandSpec {
    static let reindex = CommandSpec(
        "reindex", "make the index again from the logs", group: "Maintenance",
        options: [.flag("json", "print what was done as one JSON object")],
        description: [
            "Reads all log files and writes anew what the database knows of them. Accounts, memberships, read marks and "
                + "messages that are in no log yet stay as they are where the database can be read. What of it can't be, "
                + "and a database that is gone, is made from the logs: conversations, and the accounts of those who "
                + "wrote, without passwords ('natterd user passwd NAME' sets one) and without members of groups.",
            "No log file is changed. The status is 1 if messages are missing, whose ranges are named.",
        ],
        run: ReindexCommand.run)
}

enum ReindexCommand {
    private struct Report: Encodable {
        let conversations: Int
        let messages: UInt64
        let files: Int
        let lost: UInt64
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let directory = try DataDirectory.path(arguments, console)
        let summary = try StoreRebuild.run(directory, .reindex, clock: console.clock, report: { console.note($0) })
        if arguments.flag("json") {
            let report = Report(
                conversations: summary.conversations, messages: summary.messages, files: summary.files,
                lost: summary.lostMessages)
            try console.output.write(WireJSON.encode(report) + [0x0A])
            try console.output.flush()
        } else {
            let lost: Phrase = summary.lostMessages == 0 ? "none is missing" : "\(summary.lostMessages) are missing"
            console.note(
                "indexed \(summary.messages) messages of \(summary.conversations) conversations in \(summary.files) files; \(lost)"
            )
        }
        return summary.lostMessages == 0 ? .success : .nothingFound
    }
}
