internal import Glibc
internal import NatterCLI
internal import NatterImport
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem
internal import NatterWire

extension CommandSpec {
    static let importing = CommandSpec(
        "import", "append messages from elsewhere to a conversation", group: "Conversations",
        options: [
            .option(
                "from", oneOf: ForeignFormat.allCases.map(\.rawValue),
                "read what this program has exported, into conversations named after its channels"),
            .option(
                "map", value: "CHANNEL=CONV", isRepeatable: true, "with --from: import a channel into this conversation"
            ),
            .option(
                "map-user", value: "NAME=USER", isRepeatable: true, "with --from: give a sender the name of a user here"
            ),
            .flag("dry-run", "with --from: read and check everything, say what would be done, and do nothing"),
            .flag("json", "print what was done as one JSON object"),
        ],
        operands: [
            .required("CONV", "'general', a group, or the name of a new private group; not needed with --from"),
            .optional("FILE", "JSON objects, one a line, or what --from says; '-' is standard input"),
        ],
        description: [
            "Each line has a 'ts' (Unix time in milliseconds), a 'sender' (a label of 1 to 64 bytes) and a 'text' (at "
                + "most 65536 bytes, it may be empty). 'kind', 'about' (the 'seq' of an "
                + "earlier line), 'via', 'written' and 'erased' are taken from a natter export. Other fields are ignored, and blank "
                + "lines are skipped.",
            "All of FILE is read and checked before the first number is given. At a bad line, which is named by its "
                + "number, the status is 65 and nothing is kept. When the command ends, everything is sealed.",
            "With --from, FILE is what another program has exported: Slack's zip file, Telegram's 'result.json', a folder of "
                + "mail, a log of irssi, WeeChat or WhatsApp. What can't be taken is counted by kind. What was imported "
                + "before is left out, so you can import a later export into the same conversations.",
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
        /// The first and the last number that the messages got, or 0 if there were none.
        let first: UInt64
        let last: UInt64
    }

    /// The seq of a line. What other programs write there says nothing, so it is no error.
    private struct LineSeq: Decodable {
        let value: UInt64?

        init(from decoder: any Decoder) throws {
            value = try? decoder.singleValueContainer().decode(UInt64.self)
        }
    }

    /// The fields of a line that are imported.
    private struct Line: Decodable {
        let ts: Int64
        let sender: String
        let text: String
        let seq: LineSeq?
        let kind: String?
        let about: UInt64?
        let via: String?
        let written: Int64?
        let erased: Bool?
    }

    /// The places of the lines that name a seq, for those that are about others. Seqs that rise one by one take one entry.
    private struct Places {
        private var runs: [(seq: UInt64, place: UInt64, count: UInt64)] = []
        private(set) var next: UInt64 = 0

        mutating func add(_ seq: UInt64?) {
            defer { next += 1 }
            guard let seq else { return }
            if let last = runs.last {
                if seq == last.seq &+ last.count, next == last.place + last.count {
                    runs[runs.count - 1].count += 1
                    return
                }
                // Another export begins behind the first.
                if seq < last.seq &+ last.count { runs = [] }
            }
            runs.append((seq, next, 1))
        }

        func place(of seq: UInt64) -> UInt64? {
            var (low, high) = (0, runs.count)
            while low < high {
                let middle = (low + high) / 2
                if runs[middle].seq <= seq { low = middle + 1 } else { high = middle }
            }
            guard low > 0 else { return nil }
            let run = runs[low - 1]
            return seq - run.seq < run.count ? run.place + (seq - run.seq) : nil
        }
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        if let format = arguments.value("from").flatMap(ForeignFormat.init) {
            return try ForeignImport.run(format, arguments, console)
        }
        if arguments.flag("dry-run") || !(arguments.values("map") + arguments.values("map-user")).isEmpty {
            throw arguments.error("--map, --map-user and --dry-run go with --from")
        }
        guard let path = arguments.operand("FILE") else { throw arguments.error("missing operand 'FILE'") }
        let name = Normalization.formC(arguments.operand("CONV") ?? "")
        let file = try InputFile(path)
        let client = OperatorClient(arguments: arguments, console: console, input: file) { reply in
            guard case .imported(let report) = reply else { return }
            try console.report(
                report, arguments,
                report.count == 0
                    ? "nothing to import into '\(report.conversation)'"
                    : sentence(report.count, report.conversation, report.first, report.last))
        }
        return try client.perform(.importing(conversation: name, file: file.label))
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
        _ conversation: String, file: String, _ store: Store, _ channel: some OperationChannel
    ) throws -> Report {
        let importer = try StoreImporter(into: conversation, of: store)
        defer { importer.abandon() }
        var lines = LineReader(limit: Limits.bodyBytes) { try channel.read(into: $0) }
        do {
            var places = Places()
            while try lines.next({ try take($0, importer, &places) }) != nil {}
        } catch {
            throw failure(error, "\(file), line \(lines.number)")
        }
        let summary = try importer.finish()
        return Report(
            conversation: summary.conversation, count: summary.count, first: summary.first.rawValue,
            last: summary.last.rawValue)
    }

    private static func take(
        _ line: UnsafeRawBufferPointer, _ importer: StoreImporter, _ places: inout Places
    ) throws {
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { return }
        let parsed = try WireJSON.decode(Line.self, from: line)
        let name = parsed.kind ?? MessageKind.text.name
        guard let kind = MessageKind(name: name), !kind.isChange || parsed.about != nil else {
            throw ImportError.badMessage(.badKind(name))
        }
        let about = try parsed.about.map { seq in
            guard let place = places.place(of: seq) else { throw ImportError.badMessage(.badAbout(seq)) }
            return place
        }
        try importer.append(
            time: Timestamp(milliseconds: parsed.ts), sender: Array(parsed.sender.utf8), text: Array(parsed.text.utf8),
            kind: kind, about: about, via: parsed.via.flatMap { $0.isEmpty ? nil : Array($0.utf8) },
            written: parsed.written.map { Timestamp(milliseconds: $0) }, isErased: parsed.erased ?? false)
        places.add(parsed.seq?.value)
    }

    /// The error of a bad line, with its place.
    private static func failure(_ error: any Error, _ place: Phrase) -> any Error {
        let problem: Phrase
        switch error {
        case LineReader.Failure.tooLong: problem = "longer than \(Limits.bodyBytes) bytes"
        case WireJSON.Failure.malformed: problem = "not a JSON object in UTF-8"
        case WireJSON.Failure.field(let field): problem = "the field '\(field)' is missing or of the wrong type"
        case ImportError.badMessage(let error): problem = error.phrase
        default: return error
        }
        return CommandFailure(.invalidData, code: "bad_line", "\(place): \(problem); nothing was imported")
    }
}

/// The data of an operation.
protocol InputSource: AnyObject {
    /// - Returns: the number of bytes read; 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Int
}

/// A file or standard input, read once from beginning to end. Not thread-safe.
final class InputFile: InputSource {
    /// Its name in messages: `standard input`, or the path in quotes.
    let label: String
    private let descriptor: Int32
    private let path: String

    /// - Parameter path: `-` is standard input.
    /// - Throws: 66 if it can't be opened.
    init(_ path: String) throws(CommandFailure) {
        if path == "-" {
            (descriptor, self.path, label) = (STDIN_FILENO, "standard input", "standard input")
        } else {
            descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw CommandFailure(unreadable: DiskError(operation: "open", path: path)) }
            (self.path, label) = (path, "'\(path)'")
        }
    }

    deinit { if descriptor != STDIN_FILENO { close(descriptor) } }

    /// - Returns: the number of bytes read; 0 at the end.
    /// - Throws: 66 if it can't be read.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Int {
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if errno != EINTR { throw CommandFailure(unreadable: DiskError(operation: "read", path: path)) }
        }
    }
}
