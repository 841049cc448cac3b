internal import NatterCommandLine
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

extension CommandSpec {
    static let importing = CommandSpec(
        "import", "append messages from elsewhere to a conversation", group: "Conversations",
        options: [
            .option(
                "from", value: "FORMAT",
                "read what another program has exported, into conversations named after its channels"),
            .option(
                "map", value: "CHANNEL=CONV", isRepeatable: true, "with --from: import a channel into this conversation"
            ),
            .option(
                "map-user", value: "NAME=USER", isRepeatable: true, "with --from: give a sender the name of a user here"
            ),
            .option(
                "dates", oneOf: ["dmy", "mdy", "ymd"],
                "with --from whatsapp: the order of day, month and year, if the file does not tell"),
            .flag("dry-run", "read and check everything, say what would be done, and do nothing"),
            .flag("old", "take times before 1990, which may be seconds by mistake"),
            .flag("again", "take a file that was imported into CONV before"),
            .option(
                "files", value: "DIR",
                "take the files of the messages from DIR, where 'export --files' has copied them",
                long:
                    "Without it, and where DIR lacks one, the texts come without their files, which are counted. A server that "
                    + "runs reads DIR itself. A file that is not the exported one is not taken, and no link is followed."
            ),
        ],
        operands: [
            .required("CONV", "'general', a group, or the name of a new private group; not needed with --from"),
            .optional("FILE", "JSON objects, one a line, or what --from says; '-' is standard input"),
        ],
        description: [
            "Each line has a 'ts' (Unix time in milliseconds), a 'sender' (a label of 1 to 64 bytes) and a 'text' (at "
                + "most 65536 bytes, it may be empty). 'kind', 'about' (the 'seq' of an "
                + "earlier line), 'via', 'written' and 'erased' are taken from a natter export. A message that says 'deleted' is "
                + "left out and counted, unless a later line is its deletion. Other fields are ignored, and blank lines are skipped.",
            "An 'id' (1 to 64 printable ASCII characters) is the key of its message for as long as CONV lives: a line "
                + "whose id was imported before is left out, and with other content it is a bad line. A file that was "
                + "imported into CONV before is refused without --again.",
            "All of FILE is read and checked before the first number is given. At a bad line, which is named by its "
                + "number, the status is 65 and nothing is kept. When the command ends, everything is sealed.",
            "With --from, the converter natter-import-FORMAT reads FILE, and natterd imports the messages that it "
                + "prints. natter comes with converters for slack, telegram, mbox, irssi, weechat and whatsapp, and "
                + "natter-formats(5) says how to write another. Parts that can't be imported are counted by kind. Messages that an earlier "
                + "import brought are left out, so you can import a later export into the same conversations.",
        ],
        examples: [
            Example("natterd import general old.ndjson", "bring a history along"),
            Example("natterd import --from slack --map random=general export.zip", "bring a Slack workspace along"),
            Example("natterd export general | natterd --data /srv/copy import general -", "copy a conversation"),
        ],
        run: ImportCommand.run)
}

enum ImportCommand {
    /// The result of an import, as `--json` prints it.
    struct Report: Codable, Sendable {
        let conversation: String
        let count: UInt64
        /// Messages that were left out, because their ids are there already; nil if there were none.
        let known: UInt64?
        /// Messages that were not taken, by kind; nil if there were none.
        let skipped: [String: UInt64]?
        /// The first and the last number that the messages got, or 0 if there were none.
        let first: UInt64
        let last: UInt64
    }

    /// Which input an import accepts, and whether it imports anything.
    struct Options: Codable, Sendable, Equatable {
        /// Takes times before 1990.
        var takesOld = false
        /// Takes a file that was imported before.
        var again = false
        /// Only reads and checks.
        var isTrial = false
        /// The directory with the files of the messages, as an absolute path.
        var files: String?
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        if arguments.has("from"), arguments.has("files") { throw arguments.error("--files goes without --from") }
        if let format = arguments.value("from") { return try ForeignImport.run(format, arguments, console) }
        if !(arguments.values("map") + arguments.values("map-user") + arguments.values("dates")).isEmpty {
            throw arguments.error("--map, --map-user and --dates go with --from")
        }
        guard let path = arguments.operand("FILE") else { throw arguments.error("missing operand 'FILE'") }
        let name = arguments.conversation
        let file = try InputFile(path)
        let options = Options(
            takesOld: arguments.flag("old"), again: arguments.flag("again"), isTrial: arguments.flag("dry-run"),
            files: arguments.value("files").map { Path.absolute($0) })
        let client = OperatorClient(arguments: arguments, console: console, input: file) { reply in
            guard case .imported(let report) = reply else { return }
            let isNeeded = options.isTrial || report.count == 0 && report.known == nil
            try console.report(report, arguments, isNeeded: isNeeded, sentence(report, file.label, options))
            if arguments.flag("json") { return }
            if report.first > 1, !options.isTrial {
                console.confirm(
                    arguments,
                    "'\(report.conversation)' has earlier messages: 'ls' and 'log -n' show the newest by time, not by number"
                )
            }
            guard let skipped = report.skipped else { return }
            console.note("not taken: \(skipped.map { "\($0.value) \($0.key)" }.sorted().joined(separator: ", "))")
        }
        let operation = Operation.importing(conversation: name, file: file.label, options)
        // A trial makes no store, so one without a store has its own for a moment.
        guard options.isTrial, try !DataDirectory.hasStore(arguments, console) else {
            return try client.perform(operation)
        }
        return try client.perform(operation) { channel in
            try TemporaryStore.with(console) { store in
                try channel.reply(.imported(try run(name, file: file.label, options, store, channel)))
                return .success
            }
        }
    }

    private static func sentence(_ report: Report, _ file: String, _ options: Options) -> Phrase {
        let name = report.conversation
        guard report.count > 0 else {
            guard let known = report.known else { return "nothing to import into '\(name)'" }
            return ForeignImport.nothingNew(in: name, known: known)
        }
        if options.isTrial {
            return .plural(
                report.count, "\(file) has \(report.count) message for '\(name)'; nothing was imported",
                "\(file) has \(report.count) messages for '\(name)'; nothing was imported")
        }
        return sentence(report.count, name, report.first, report.last)
    }

    static func sentence(_ count: UInt64, _ name: String, _ first: UInt64, _ last: UInt64) -> Phrase {
        .plural(
            count, "imported \(count) message into '\(name)', \(first) to \(last)",
            "imported \(count) messages into '\(name)', \(first) to \(last)")
    }

    /// Imports the lines of the operation's data.
    ///
    /// - Parameter file: the name of the file in messages.
    static func run(
        _ conversation: String, file: String, _ options: Options, _ store: Store, _ channel: some OperationChannel
    ) throws -> Report {
        var files = try ImportFiles(options.files)
        let importer = try StoreImporter(into: conversation, of: store, takesOld: options.takesOld)
        defer { importer.abandon() }
        var digest = InputDigest()
        var lines = LineReader(limit: Limits.bodyBytes) { buffer, _ in
            let count = try channel.read(into: buffer)
            digest.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            return count
        }
        var (places, count, known, deleted) = (ImportPlaces(), UInt64(0), UInt64(0), UInt64(0))
        func note(_ taken: TakenLine) {
            switch taken {
            // Its files are messages, too.
            case .taken(.new(let place)) where place >= count: count = place + 1
            case .taken: known += 1
            case .deleted: deleted += 1
            case .blank, .undecided: break
            }
        }
        var (held, before) = (HeldLines?.none, Int64(0))
        do {
            while let line = try lines.next() {
                if held == nil {
                    // No line can delete a message without a number.
                    let taken = try importLine(line, importer, &places, &files) { $0.seq?.value == nil ? true : nil }
                    guard case .undecided = taken else {
                        before += 1
                        note(taken)
                        continue
                    }
                    held = try HeldLines(in: store.directory)
                }
                try held?.hold(line)
            }
        } catch {
            throw failure(error, "\(file), line \(lines.number)")
        }
        if let held {
            var again = try held.lines(limit: Limits.bodyBytes)
            var position = HeldLines.Position()
            do {
                while let line = try again.next() {
                    let taken = try importLine(line, importer, &places, &files) { parsed in
                        let (seq, export) = (parsed.seq?.value, position.pass(parsed.seq?.value))
                        return seq.map { !held.isDeleted($0, in: export) } ?? true
                    }
                    note(taken)
                }
            } catch {
                throw failure(error, "\(file), line \(before + again.number)")
            }
        }
        if count + known > 0, let time = try importer.noteInput(digest.finish()), !options.again {
            throw CommandFailure(
                .invalidData, code: "imported_before",
                "\(file) was imported into '\(conversation)' on \(time.rfc3339); --again imports it once more")
        }
        let marked = known > 0 ? known : nil
        let left = ["deleted": deleted, "file": files.left].filter { $0.value > 0 }
        let skipped = left.isEmpty ? nil : left
        // Nothing makes no group.
        if options.isTrial || count + known == 0 {
            return Report(
                conversation: conversation, count: count, known: marked, skipped: skipped, first: 0, last: 0)
        }
        let summary = try importer.finish()
        return Report(
            conversation: summary.conversation, count: summary.count, known: marked, skipped: skipped,
            first: summary.first.rawValue, last: summary.last.rawValue)
    }

    private enum TakenLine {
        case blank
        case taken(ImportedPlace)
        /// A deleted message, left out: without its deletion it would be a new, empty one.
        case deleted
        /// A deleted message of which a later line decides.
        case undecided
    }

    /// - Parameter isLeftOut: of each line whether it is left out if it says `deleted`; nil if only later lines tell.
    private static func importLine(
        _ line: [UInt8], _ importer: StoreImporter, _ places: inout ImportPlaces, _ files: inout ImportFiles,
        isLeftOut: (ImportLine) -> Bool?
    ) throws -> TakenLine {
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { return .blank }
        let parsed = try WireJSON.decode(ImportLine.self, from: line)
        let isLeftOut = isLeftOut(parsed)
        guard let time = parsed.ts.milliseconds else { throw ImportError.badMessage(.timeWithFraction) }
        let name = parsed.kind ?? MessageKind.text.name
        guard let kind = MessageKind(name: name), !kind.isChange || parsed.about != nil else {
            throw ImportError.badMessage(.badKind(name))
        }
        if kind == .file {
            places.leaveOut(parsed.seq?.value)
            let text = try (parsed.about?.value).flatMap { try places.target($0, of: kind) }
            return try files.take(parsed.file?.objects ?? [], of: parsed, to: text, importer).map { .taken($0) }
                ?? .blank
        }
        if parsed.deleted?.isSet == true, !kind.isChange, parsed.text?.isEmpty == true {
            guard let isLeftOut else { return .undecided }
            if isLeftOut {
                places.leaveOut(parsed.seq?.value)
                return .deleted
            }
        }
        let about = try (parsed.about?.value).flatMap { try places.target($0, of: kind) }
        let id = try parsed.id.map { text in
            guard let id = IdempotencyKey(text) else { throw ImportError.badMessage(.badID(text)) }
            return id
        }
        guard let text = parsed.text ?? (kind == .delete ? "" : nil) else { throw WireJSON.Failure.field("text") }
        let place = try importer.append(
            time: Timestamp(milliseconds: time), sender: Array(parsed.sender.utf8), text: Array(text.utf8),
            kind: kind, about: about, via: parsed.via.flatMap { $0.isEmpty ? nil : Array($0.utf8) },
            written: parsed.written.map { Timestamp(milliseconds: $0.value) }, isErased: parsed.erased ?? false, id: id)
        places.add(parsed.seq?.value, kind, about: parsed.about?.value, at: place)
        return .taken(try files.take(parsed.files?.objects ?? [], of: parsed, to: place, importer) ?? place)
    }

    /// The error of a bad line, with its place.
    static func failure(_ error: any Error, _ place: Phrase) -> any Error {
        let problem: Phrase
        switch error {
        case is LineReader.TooLong: problem = "longer than \(Limits.bodyBytes) bytes"
        case WireJSON.Failure.malformed, WireJSON.Failure.field(""):
            problem = "not a JSON object in UTF-8; the file of another program needs --from"
        case WireJSON.Failure.field(let field): problem = "the field '\(field)' is missing or of the wrong type"
        case ImportError.badMessage(let error): problem = error.phrase
        default: return error
        }
        return CommandFailure(.invalidData, code: "bad_line", "\(place): \(problem); nothing was imported")
    }
}
