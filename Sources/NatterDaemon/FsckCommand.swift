internal import NatterCLI
internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterSystem

extension CommandSpec {
    static let fsck = CommandSpec(
        "fsck", "check all data, down to each byte", group: "Maintenance",
        options: [
            .flag("repair", "put right what can be put right, and state what is lost"),
            .flag("json", "print each damage as a JSON object"),
        ],
        description: [
            "Reads everything: the database, the headers, checksums and messages of all log files, the chain of hashes, "
                + "and whether logs and database agree. Without --repair nothing is changed.",
            "Prints a line for each damage, with file, offset and the range of messages that are lost by it. The status "
                + "is 1 if there is any, else 0.",
            "With --repair, blocks that are whole are taken out of files that are not, the index is made again from them, "
                + "and what might be a message and can't be placed is moved to 'quarantine/', never deleted. What was done "
                + "stands on standard error. The status is 1 if messages turned out to be lost, whose ranges are named, "
                + "or something could not be put right; else 0. A loss that was stated once is damage no more: it is "
                + "named, and the status is 0.",
        ],
        run: FsckCommand.run)
}

enum FsckCommand {
    /// How a check ended.
    struct Report: Codable, Sendable {
        let conversations: Int
        let messages: UInt64
        let files: Int
        let damages: Int
        /// Losses that a repair has stated before.
        let stated: [DamageReport]

        init(_ summary: StoreCheck.Summary) {
            (conversations, messages, files) = (summary.conversations, summary.messages, summary.files)
            (damages, stated) = (summary.damages, summary.stated.map(DamageReport.init))
        }
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let asJSON = arguments.flag("json")
        let directory = try DataDirectory.path(arguments, console)
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            switch reply {
            case .damage(let damage): try console.output.write(damage.line(asJSON: asJSON))
            case .checked(let report): tell(report, arguments, console)
            default: break
            }
        }
        if arguments.flag("repair") { return try repair(directory, client) }
        return try client.perform(.check) { channel in
            var failure: (any Error)?
            let summary = try StoreCheck.run(directory) { damage in
                do { try channel.reply(.damage(DamageReport(damage))) } catch { failure = error }
            }
            if let failure { throw failure }
            try channel.reply(.checked(Report(summary)))
            return summary.damages == 0 ? .success : .nothingFound
        }
    }

    /// For a store that is open.
    static func run(_ store: Store, _ channel: some OperationChannel) throws -> ExitCode {
        var failure: (any Error)?
        let summary = try store.check { damage in
            do { try channel.reply(.damage(DamageReport(damage))) } catch { failure = error }
        }
        if let failure { throw failure }
        try channel.reply(.checked(Report(summary)))
        return summary.damages == 0 ? .success : .nothingFound
    }

    /// Never while somebody else has the directory.
    private static func repair(_ directory: String, _ client: OperatorClient) throws -> ExitCode {
        var failure: (any Error)?
        let repair = try StoreRepair.run(
            directory, clock: client.console.clock, report: { client.console.note($0) }
        ) { damage in
            do { try client.present(.damage(DamageReport(damage))) } catch { failure = error }
        }
        if let failure { throw failure }
        try client.console.output.flush()
        try client.present(.checked(Report(repair.left)))
        let isLossless = repair.newlyLostMessages == 0 && !repair.hasUnknownLoss
        return repair.left.damages == 0 && isLossless ? .success : .nothingFound
    }

    private static func tell(_ report: Report, _ arguments: Arguments, _ console: Console) {
        for loss in report.stated { console.note(loss) }
        if arguments.flag("json") { return }
        console.note(
            "checked \(report.messages) messages of \(report.conversations) conversations in \(report.files) files; \(damages(report.damages))"
        )
    }

    /// How much damage there is, to end a sentence.
    static func damages(_ count: Int) -> Phrase {
        count == 0 ? "no damage" : .plural(count, "\(count) damaged place", "\(count) damaged places")
    }
}
