internal import NatterCommandLine
internal import NatterModel
internal import NatterStore
internal import NatterSystem

extension CommandSpec {
    static let fsck = CommandSpec(
        "fsck", "check all data, down to each byte", group: "Maintenance",
        options: [.flag("repair", "repair what can be repaired, and record what is lost")],
        description: [
            "Read everything: the database; headers, checksums and messages of all log files; the hash chain; the files "
                + "of messages. Check also that logs and database agree. Without --repair it changes nothing.",
            "Print a line for each damage, with file, offset and the range of messages lost. The status is 1 if there is "
                + "any, otherwise 0.",
            "--repair needs the server stopped. It copies whole blocks out of damaged files and rebuilds the index from "
                + "them. Bytes that might be a message but have no place are moved to 'quarantine/', never deleted. "
                + "Standard error says what was done. The status is 1 if messages are lost, whose ranges are named, if a part "
                + "of the database is lost that no log has, such as accounts or sessions, or if something could not be "
                + "repaired; otherwise 0. A loss that was recorded before is no longer damage: it "
                + "is named, and the status is 0.",
        ],
        run: FsckCommand.run)

    static let reindex = CommandSpec(
        "reindex", "rebuild the index from the logs", group: "Maintenance",
        description: [
            "Read all log files and rebuild what the database knows of them. As far as the database can be read, "
                + "accounts, memberships, read marks and messages that are in no log yet stay as they are. The rest, or "
                + "all of it if the database is gone, is rebuilt from the logs: conversations, members of groups, and "
                + "accounts of those who wrote. Such accounts have no passwords ('natterd user passwd NAME' sets one).",
            "The server must be stopped. No log file is changed. The status is 1 if messages are missing, whose ranges are "
                + "named, or if a part of the database can't be read that holds messages of no log file.",
        ],
        run: ReindexCommand.run)
}

enum FsckCommand {
    /// The result of a check.
    struct Report: Codable, Sendable {
        let conversations: Int
        let messages: UInt64
        let files: Int
        let damages: Int
        let hasUncheckedLogs: Bool?

        init(_ summary: StoreCheck.Summary) {
            (conversations, messages) = (summary.conversations, summary.messages)
            (files, damages) = (summary.files, summary.damages)
            hasUncheckedLogs = summary.hasUncheckedLogs
        }
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let asJSON = arguments.flag("json")
        let directory = try DataDirectory.path(arguments, console)
        let line = ProgressLine(console)
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            if case .progress(let bytes, let total) = reply { return line.show(bytes, of: total) }
            line.clear()
            switch reply {
            case .damage(let damage):
                try damage.write(to: console.output, asJSON: asJSON)
                try console.output.flush()
            case .stated(let loss): console.note(loss)
            case .checked(let report): tell(report, arguments, console)
            default: break
            }
        }
        if arguments.flag("repair") { try DataDirectory.requireFiles(arguments, console) }
        if let shared = try DataDirectory.sharedStore(arguments, console) {
            // It takes part as a server of its own, so it needs nothing of one that runs here.
            return try client.performHere { channel in
                try run(channel, in: SharedStore.cache(in: directory)) {
                    try shared.check(in: directory, progress: channel.progress(), $0)
                }
            }
        }
        if arguments.flag("repair") { return try repair(directory, client, line) }
        // Without a server the store is not opened, because a check must not change anything.
        return try client.perform(.check) { channel in
            try run(channel, in: directory) { try StoreCheck.run(directory, progress: channel.progress(), $0) }
        }
    }

    /// Checks the store and the files of its hooks, and replies with each damage and the report.
    static func run(
        _ channel: any OperationChannel, in directory: String,
        _ check: (@escaping (StoreDamage) -> Void) throws -> StoreCheck.Summary
    ) throws -> ExitCode {
        let summary = try withDamages(channel.reply) { visit in
            var summary = try check(visit)
            summary.damages += try visitHooks(in: directory, visit)
            return summary
        }
        try reply(summary, channel.reply)
        return summary.damages == 0 ? .success : .nothingFound
    }

    /// - Returns: how many files of hooks are damaged.
    private static func visitHooks(in directory: String, _ visit: (StoreDamage) -> Void) throws -> Int {
        let damages = try HookRegistry(of: directory, disk: PosixDisk()).damages
        damages.forEach(visit)
        return damages.count
    }

    /// Repairs the store. No other process may use the directory meanwhile.
    private static func repair(_ directory: String, _ client: OperatorClient, _ line: ProgressLine) throws -> ExitCode {
        let console = client.console
        try DataDirectory.requireStore(in: directory)
        let repair = try withDamages(client.present) { visit in
            var summary = try StoreRepair.run(
                directory, clock: console.clock, progress: { line.show($0.bytes, of: $0.totalBytes) },
                report: {
                    line.clear()
                    console.note($0)
                }, visit)
            summary.left.damages += try visitHooks(in: directory, visit)
            return summary
        }
        if repair.hasLostAccounts { try ServeSettings.closeRegistration(in: directory, console) }
        try console.output.flush()
        try reply(repair.left, client.present)
        let isLossless = repair.newlyLostMessages == 0 && !repair.hasUnknownLoss && !repair.hasLostRows
        return repair.left.damages == 0 && isLossless ? .success : .nothingFound
    }

    /// Replies with the losses that an earlier repair recorded, one by one because they may be thousands, and with the report.
    private static func reply(
        _ summary: StoreCheck.Summary, _ reply: (OperationReply) throws -> Void
    ) throws {
        for loss in summary.stated { try reply(.stated(DamageReport(loss))) }
        try reply(.checked(Report(summary)))
    }

    /// Replies with each damage that `body` visits. If a reply fails, the work continues and the error is thrown at the
    /// end.
    private static func withDamages<Result>(
        _ reply: @escaping (OperationReply) throws -> Void, _ body: (@escaping (StoreDamage) -> Void) throws -> Result
    ) throws -> Result {
        var failure: (any Error)?
        let result = try body { damage in
            do { try reply(.damage(DamageReport(damage))) } catch { failure = error }
        }
        if let failure { throw failure }
        return result
    }

    private static func tell(_ report: Report, _ arguments: Arguments, _ console: Console) {
        if report.hasUncheckedLogs == true {
            console.note(
                "the log files were not all checked, because the database can't be read; copy the directory before 'natterd fsck --repair', which reads them"
            )
        }
        if arguments.flag("json") { return }
        console.confirm(
            arguments, isNeeded: report.damages > 0,
            "checked \(messages(report.messages)) of \(conversations(report.conversations)) in \(files(report.files)); "
                + "\(damages(report.damages))")
    }

    // Counts as parts of a sentence.

    static func messages(_ count: UInt64) -> Phrase { .plural(count, "\(count) message", "\(count) messages") }

    static func conversations(_ count: Int) -> Phrase {
        .plural(count, "\(count) conversation", "\(count) conversations")
    }

    static func files(_ count: Int) -> Phrase { .plural(count, "\(count) file", "\(count) files") }

    /// The number of damaged places, for the end of a sentence.
    static func damages(_ count: Int) -> Phrase {
        count == 0 ? "no damage" : .plural(count, "\(count) damaged place", "\(count) damaged places")
    }
}

extension ServeSettings {
    /// Sets `registration = closed` in `natterd.conf`: anybody could take the name of an account whose row is lost.
    fileprivate static func closeRegistration(in directory: String, _ console: Console) throws {
        let (disk, path) = (PosixDisk(), directory + "/" + configurationName)
        let isThere = try disk.information(path) != nil
        let text = isThere ? String(decoding: try disk.contents(of: path, limit: 1 << 20), as: UTF8.self) : ""
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).filter { line in
            !line.drop { $0 == " " || $0 == "\t" }.hasPrefix("registration")
        }
        let kept = lines.joined(separator: "\n")
        let start = kept.isEmpty || kept.hasSuffix("\n") ? kept : kept + "\n"
        try disk.replaceContents(of: path, with: Array((start + "registration = closed\n").utf8))
        console.note(
            "accounts are lost, so '\(path)' says 'registration = closed' now; change it when everybody has their account again"
        )
    }
}

enum ReindexCommand {
    private struct Report: Encodable {
        let conversations: Int
        let messages: UInt64
        let files: Int
        let lost: UInt64
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        try DataDirectory.requireFiles(arguments, console)
        let directory = try DataDirectory.path(arguments, console)
        try DataDirectory.requireStore(in: directory)
        let summary = try StoreRebuild.run(directory, .reindex, clock: console.clock, report: { console.note($0) })
        if summary.hasLostAccounts { try ServeSettings.closeRegistration(in: directory, console) }
        let lost: Phrase =
            if summary.lostMessages > 0 {
                .plural(
                    summary.lostMessages, "\(summary.lostMessages) is missing", "\(summary.lostMessages) are missing")
            } else {
                summary.hasUnknownLoss ? "some may be missing" : "none is missing"
            }
        try console.report(
            Report(
                conversations: summary.conversations, messages: summary.messages, files: summary.files,
                lost: summary.lostMessages), arguments, isNeeded: summary.lostMessages > 0 || summary.hasUnknownLoss,
            "indexed \(FsckCommand.messages(summary.messages)) of "
                + "\(FsckCommand.conversations(summary.conversations)) in \(FsckCommand.files(summary.files)); \(lost)")
        let mayLack = summary.hadDatabase && (summary.hasUnknownLoss || summary.hasLostRows)
        return summary.lostMessages == 0 && !mayLack ? .success : .nothingFound
    }
}
