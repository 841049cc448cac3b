internal import NatterCommandLine
internal import NatterModel

extension CommandSpec {
    static let erase = CommandSpec(
        "erase", "remove the texts and senders of messages for good", group: "Conversations",
        operands: [
            .conversation,
            .required("SEQ", isRepeating: true, "the number of a message, or a range of numbers, as in '17-20'"),
        ],
        description: [
            "Remove text and sender of each message, and of its edits, from the log files, the database and the search "
                + "index. With its next sync, each replica removes them too. The numbers, times and hashes of all messages stay, "
                + "so cursors and 'verify' stay right.",
            "It works with and without a running server. Messages that are already erased stay as they are. Copies that "
                + "others made, backups, and blocks that a drive keeps for itself can't be reached: take a new backup into the same directory, "
                + "which erases there, too.",
        ],
        examples: [
            Example("natterd erase general 17", "erase a message"),
            Example("natterd erase '@alice,@bob' 3-9 12", "erase some messages of two users"),
        ],
        run: EraseCommand.run)
}

enum EraseCommand {
    struct Report: Codable, Sendable {
        var conversation: String
        /// How many messages were erased that were not before.
        var erased: Int
        /// Where a text may still be, and for how long.
        var remains: String?
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let name = arguments.conversation
        let ranges = try arguments.operands("SEQ").map { try arguments.seqs($0) }
        try Question.confirmErasing(of: name, arguments, console)
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            guard case .erased(let report) = reply else { return }
            try console.report(report, arguments, Question.erased(report.erased, of: report.conversation))
            console.noteRemains(report.remains, arguments)
        }
        return try client.perform(.erase(conversation: name, ranges: ranges))
    }
}

extension Console {
    /// Says that an erased text may still be in a file.
    func noteRemains(_ remains: String?, _ arguments: Arguments) {
        if let remains, !arguments.flag("json"), !arguments.flag("quiet") { note(Phrase(key: remains)) }
    }
}
