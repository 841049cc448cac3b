internal import Glibc
internal import NatterCommandLine
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

/// `import --from`: brings the history of another program.
///
/// A converter reads the file, so that neither this process nor a server has to do with zip files and mail of strangers. Only when
/// all of it was read and found good, each conversation is imported, as a whole. If that is interrupted, the same command does
/// the rest.
enum ForeignImport {
    /// The result for one conversation, as `--json` prints it.
    struct Report: Codable, Sendable {
        /// The channels of the file that went there.
        var channels: [String] = []
        var conversation: String
        /// The messages that are new.
        var count: UInt64
        /// The messages that an earlier import had brought.
        var known: UInt64
        /// Answers to messages of an earlier import of which nobody knows which they are. They became plain messages.
        var lostAnswers: UInt64 = 0
        /// Members of the group that it got, and those without an account.
        var members = 0
        var strangers = 0
        var first: UInt64
        var last: UInt64

        enum CodingKeys: String, CodingKey {
            case channels, conversation, count, known, members, strangers, first, last
            case lostAnswers = "lost_answers"
        }
    }

    /// How many things were not taken, by kind.
    private struct Skipped: Encodable {
        let skipped: [String: Int]
    }

    static func run(_ format: String, _ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let words = arguments.operands("CONV")
        guard let path = words.last, words.count <= 2 else { throw arguments.error("missing operand 'FILE'") }
        let destination = words.count == 2 ? Normalization.formC(words[0]) : nil
        let map = try pairs("map", "CHANNEL=CONV", arguments).mapValues(Normalization.formC)
        let users = try pairs("map-user", "NAME=USER", arguments)
        if destination != nil, !map.isEmpty {
            throw arguments.error("everything goes into CONV, so --map has nothing to say")
        }
        let converter = try Converter(format, arguments, console.environment)
        // Root opens what the owner of the data may not be able to read.
        let input = try ConverterInput(path)
        let line = ProgressLine(console)
        let directory = try spoolDirectory(arguments, console)
        let spool = try ImportSpool(
            directory: directory, users: users, now: console.clock.now(), takesOld: arguments.flag("old")
        ) { count in line.show(.plural(count, "\(count) message read", "\(count) messages read")) }
        var skipped: [String: Int]
        do {
            defer { line.clear() }
            let options = arguments.value("dates").map { ["--dates", $0] } ?? []
            skipped = try converter.run(input, options: options, directory: directory, console) { lines in
                try spool.appendLines(&lines, of: "'\(converter.name)'")
            }
        }
        for name in map.keys.sorted()
        where !spool.channels.contains(where: { name == $0.name || name == "#" + $0.name }) {
            throw CommandFailure(
                .invalidData, code: "no_such_channel",
                "no '\(name)' with messages in '\(path)'; it has \(names(spool.channels)); nothing was imported")
        }
        for name in spool.unseenUsers.sorted() { console.note("nobody is named '\(name)' in '\(path)'") }
        let plan = try ImportPlan(spool.channels, into: destination, map: map, accounts: accounts(arguments, console))
        if arguments.flag("dry-run") {
            try tell(plan, arguments, console)
        } else {
            let (orphans, strangers) = try carryOut(plan, spool, arguments, console)
            if orphans > 0 { skipped["answers_to_missing", default: 0] += orphans }
            if strangers > 0, !arguments.flag("quiet") {
                console.note(
                    .plural(
                        strangers, "\(strangers) member of groups has no account here",
                        "\(strangers) members of groups have no account here"))
            }
        }
        try tellSkipped(plan, skipped, arguments, console)
        return .success
    }

    // MARK: Input

    /// `--map A=B`. The last `=` counts, because the names of channels are not ours.
    private static func pairs(_ option: String, _ form: Phrase, _ arguments: Arguments) throws -> [String: String] {
        var pairs: [String: String] = [:]
        for text in arguments.values(option) {
            guard let sign = text.lastIndex(of: "="), sign != text.startIndex, text.index(after: sign) != text.endIndex
            else { throw arguments.error("--\(option) takes \(form), not '\(text)'") }
            pairs[String(text[..<sign])] = String(text[text.index(after: sign)...])
        }
        return pairs
    }

    /// Where what is read waits until all of it is good: in the data directory, because texts do not leave it. Before the first
    /// import there may be none.
    private static func spoolDirectory(_ arguments: Arguments, _ console: Console) throws -> String {
        let directory = try DataDirectory.path(arguments, console)
        if access(directory, W_OK) == 0 { return directory }
        return console.environment["TMPDIR"] ?? "/var/tmp"
    }

    private static func names(_ channels: [ImportSpool.Channel]) -> Phrase {
        if channels.isEmpty { return "none" }
        let some = channels.prefix(5).map { "'\($0.name)'" }.joined(separator: ", ")
        return Phrase(verbatim: channels.count > 5 ? some + ", …" : some)
    }

    /// The names of all users. Before the first import there may be no store.
    private static func accounts(_ arguments: Arguments, _ console: Console) throws -> [String] {
        guard try DataDirectory.hasStore(arguments, console) else { return [] }
        var names: [String] = []
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            if case .user(let user) = reply { names.append(user.name) }
        }
        _ = try client.perform(.listUsers)
        return names
    }

    // MARK: The work

    /// How often an import of a conversation begins before it is given up.
    private static let tries = 5

    /// - Returns: how many answers became plain messages, because nobody knows to which earlier ones they belong, and how many
    ///   members have no account.
    private static func carryOut(
        _ plan: ImportPlan, _ spool: ImportSpool, _ arguments: Arguments, _ console: Console
    ) throws -> (orphans: Int, strangers: Int) {
        let line = ProgressLine(console)
        var (orphans, strangers) = (0, 0)
        for (index, target) in plan.targets.enumerated() {
            line.show("conversation \(index + 1) of \(plan.targets.count)")
            for attempt in 1... {
                let lines = spool.lines(of: target.channels)
                var lost = 0
                let client = OperatorClient(arguments: arguments, console: console, input: lines) { reply in
                    guard case .merged(var report) = reply else { return }
                    report.channels = target.channels.map(\.name)
                    lost = Int(clamping: report.lostAnswers)
                    strangers += report.strangers
                    line.clear()
                    try console.report(report, arguments, sentence(report))
                }
                do {
                    _ = try client.perform(.merging(conversation: target.conversation, people: target.people))
                    orphans += lost
                    break
                } catch let error as CommandFailure where error.code == ErrorCode.busy.rawValue && attempt < tries {
                    // Somebody has written there meanwhile, and an answer or an edit has the distance to its message.
                }
            }
        }
        line.clear()
        return (orphans, strangers)
    }

    private static func sentence(_ report: Report) -> Phrase {
        let (name, known) = (report.conversation, report.known)
        guard report.count > 0 else {
            return known > 0 ? nothingNew(in: name, known: known) : "no messages for '\(name)'"
        }
        return ImportCommand.sentence(report.count, name, report.first, report.last)
    }

    static func nothingNew(in name: String, known: UInt64) -> Phrase {
        .plural(
            known, "'\(name)': nothing new; its \(known) message is there already",
            "'\(name)': nothing new; its \(known) messages are there already")
    }

    private static func tell(_ plan: ImportPlan, _ arguments: Arguments, _ console: Console) throws {
        for target in plan.targets {
            let count = target.channels.reduce(0) { $0 + $1.count }
            let report = Report(
                channels: target.channels.map(\.name), conversation: target.conversation, count: count, known: 0,
                first: 0, last: 0)
            let source = target.channels.map(\.name).joined(separator: ", ")
            try console.report(
                report, arguments, isNeeded: true,
                target.channels.isEmpty
                    ? "no messages for '\(target.conversation)'"
                    : .plural(
                        count, "'\(source)' has \(count) message for '\(target.conversation)'",
                        "'\(source)' has \(count) messages for '\(target.conversation)'"))
        }
    }

    private static func tellSkipped(
        _ plan: ImportPlan, _ skipped: [String: Int], _ arguments: Arguments, _ console: Console
    ) throws {
        var skipped = skipped
        for (channel, user) in plan.refused {
            skipped["without_account", default: 0] += Int(clamping: channel.count)
            if arguments.flag("json") { continue }
            console.note(
                .plural(
                    channel.count,
                    "'\(channel.name)' was left out, \(channel.count) message: no user is named '\(user)'; say who it is "
                        + "with --map-user '\(user)=USER'",
                    "'\(channel.name)' was left out, \(channel.count) messages: no user is named '\(user)'; say who it is "
                        + "with --map-user '\(user)=USER'"))
        }
        guard !skipped.isEmpty else { return }
        let list = skipped.sorted { ($0.value, $1.key) > ($1.value, $0.key) }
            .map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        try console.report(Skipped(skipped: skipped), arguments, isNeeded: true, "not taken: \(list)")
    }

    /// Imports the messages of the operation's data.
    static func merge(_ conversation: String, _ store: Store, _ channel: some OperationChannel) throws -> Report {
        let importer = try StoreImporter(merging: conversation, of: store)
        defer { importer.abandon() }
        var lines = LineReader(limit: Limits.bodyBytes) { buffer, _ in try channel.read(into: buffer) }
        var known: UInt64 = 0
        // For each line where its message is; nil if an earlier import has brought it and that may be one of several.
        var places: [ImportedPlace?] = []
        var lostAnswers: UInt64 = 0
        func merge(_ bytes: [UInt8]) throws {
            let line = try WireJSON.decode(ForeignLine.self, from: bytes)
            let (sender, text) = (Array(line.sender.utf8), Array(line.text.utf8))
            let about = line.about.flatMap { $0 > 0 && $0 <= places.count ? places[Int($0) - 1] : nil }
            let time = Timestamp(milliseconds: line.ts)
            let edited = line.edited.map { Timestamp(milliseconds: max($0, line.ts)) }
            let place: ImportedPlace
            switch importer.standing(time: time, sender: sender, text: text, edited: edited) {
            case .known(let seq):
                known += 1
                return places.append(seq.map { .earlier($0) })
            case .edited(let seq): place = .earlier(seq)
            case .new:
                if line.about != nil, about == nil { lostAnswers += 1 }
                place = try importer.append(time: time, sender: sender, text: text, about: about)
            }
            places.append(place)
            // Only the newest text is known, and when it was written.
            if let edited {
                let edit = try importer.append(time: edited, sender: sender, text: text, kind: .edit, about: place)
                // It was deleted here.
                if case .earlier = edit { known += 1 }
            }
        }
        while let line = try lines.next() { try merge(line) }
        let summary = try importer.finish()
        let name = conversation.hasPrefix("@") ? conversation : summary.conversation
        return Report(
            conversation: name, count: summary.count, known: known, lostAnswers: lostAnswers,
            first: summary.first.rawValue, last: summary.last.rawValue)
    }
}
