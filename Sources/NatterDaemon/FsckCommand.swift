internal import NatterCLI
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

extension CommandSpec {
    static let fsck = CommandSpec(
        "fsck", "check all data, down to each byte", group: "Maintenance",
        options: [.flag("json", "print each damage as a JSON object")],
        description: [
            "Reads everything: the database, the headers, checksums and messages of all log files, the chain of hashes, "
                + "and whether logs and database agree. Nothing is changed.",
            "Prints a line for each damage, with file, offset and the range of messages that are lost by it. The status "
                + "is 1 if there is any, else 0.",
        ],
        run: FsckCommand.run)
}

enum FsckCommand {
    private struct Report: Encodable {
        let file: String
        let offset: UInt64?
        let conversation: String?
        let from: UInt64?
        let to: UInt64?
        let problem: Phrase
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let asJSON = arguments.flag("json")
        let directory = try DataDirectory.path(arguments, console)
        var failure: OutputError?
        let summary = try StoreCheck.run(directory) { damage in
            do throws(OutputError) {
                try console.output.write(asJSON ? json(damage) : text(damage))
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        try console.output.flush()
        if !asJSON {
            console.note(
                "checked \(summary.messages) messages of \(summary.conversations) conversations in \(summary.files) files; "
                    + "\(damages(summary.damages))")
        }
        return summary.damages == 0 ? .success : .nothingFound
    }

    private static func damages(_ count: Int) -> Phrase {
        count == 0 ? "no damage" : .plural(count, "\(count) damaged place", "\(count) damaged places")
    }

    /// `'logs/…' at byte 4096: messages 17 to 32 of 'general': the checksum of a block differs`.
    private static func text(_ damage: StoreDamage) -> [UInt8] {
        let place: Phrase =
            damage.offset.map { "'\(damage.file)' at byte \($0)" } ?? "'\(damage.file)'"
        let line: Phrase =
            switch (damage.range, damage.conversation) {
            case (let range?, let conversation?):
                "\(place): messages \(range.lowerBound) to \(range.upperBound) of '\(conversation)': \(damage.problem)"
            case (let range?, nil):
                "\(place): messages \(range.lowerBound) to \(range.upperBound): \(damage.problem)"
            case (nil, let conversation?): "\(place): '\(conversation)': \(damage.problem)"
            case (nil, nil): "\(place): \(damage.problem)"
            }
        var bytes: [UInt8] = []
        TerminalText.append(escaping: line.text, .line, to: &bytes)
        return bytes + [0x0A]
    }

    private static func json(_ damage: StoreDamage) -> [UInt8] {
        let report = Report(
            file: damage.file, offset: damage.offset, conversation: damage.conversation,
            from: damage.range?.lowerBound.rawValue, to: damage.range?.upperBound.rawValue, problem: damage.problem)
        return WireJSON.encode(report) + [0x0A]
    }
}
