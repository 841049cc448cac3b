internal import Glibc
internal import NatterCLI
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem
internal import NatterWire

extension CommandSpec {
    static let importing = CommandSpec(
        "import", "append messages from elsewhere to a conversation", group: "Conversations",
        options: [.flag("json", "print what was done as one JSON object")],
        operands: [
            .required("CONV", "'general', a group, or the name of a new private group"),
            .required("FILE", "JSON objects, one a line; '-' is standard input"),
        ],
        description: [
            "Each line has a 'ts' (Unix time in milliseconds), a 'sender' (a label of 1 to 64 bytes) and a 'text' (at "
                + "most 65536 bytes, it may be empty). Other fields are ignored, and blank lines are skipped.",
            "All of FILE is read and checked before the first number is given. At a bad line, which is named by its "
                + "number, the status is 65 and nothing is kept. When the command ends, everything is sealed.",
        ],
        examples: [
            Example("natterd import general old.ndjson", "bring a history along"),
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

    /// The fields of a line that are imported.
    private struct Line: Decodable {
        let ts: Int64
        let sender: String
        let text: String
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let name = Normalization.formC(arguments.operand("CONV") ?? "")
        let file = try InputFile(arguments.operand("FILE") ?? "-")
        let client = OperatorClient(arguments: arguments, console: console, input: file) { reply in
            guard case .imported(let report) = reply else { return }
            try console.report(
                report, arguments,
                report.count == 0
                    ? "nothing to import into '\(report.conversation)'"
                    : .plural(
                        report.count,
                        "imported \(report.count) message into '\(report.conversation)', \(report.first) to "
                            + "\(report.last)",
                        "imported \(report.count) messages into '\(report.conversation)', \(report.first) to "
                            + "\(report.last)"))
        }
        return try client.perform(.importing(conversation: name, file: file.label))
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
            while try lines.next({ try take($0, importer) }) != nil {}
        } catch {
            throw failure(error, "\(file), line \(lines.number)")
        }
        let summary = try importer.finish()
        return Report(
            conversation: summary.conversation, count: summary.count, first: summary.first.rawValue,
            last: summary.last.rawValue)
    }

    private static func take(_ line: UnsafeRawBufferPointer, _ importer: StoreImporter) throws {
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { return }
        let parsed = try WireJSON.decode(Line.self, from: line)
        try importer.append(
            time: Timestamp(milliseconds: parsed.ts), sender: Array(parsed.sender.utf8), text: Array(parsed.text.utf8))
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

/// A file or standard input, read once from beginning to end. Not thread-safe.
final class InputFile {
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
