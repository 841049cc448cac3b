internal import Foundation
internal import NatterCLI
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

extension CommandSpec {
    static let importing = CommandSpec(
        "import", "append messages of elsewhere to a conversation", group: "Conversations",
        options: [.flag("json", "print what was done as one JSON object")],
        operands: [
            .required("CONV", "'general', a group, or the name of a new private group"),
            .required("FILE", "JSON objects, one a line; '-' is standard input"),
        ],
        description: [
            "Each line has a 'ts' (Unix time in milliseconds), a 'sender' (a label of 1 to 64 bytes) and a 'text' (at "
                + "most 65536 bytes, it may be empty). Other fields are ignored, blank lines are skipped.",
            "All of FILE is read and checked before the first number is given: at a bad line, which is named by its "
                + "number, the status is 65 and nothing is kept. When the command ends, all is sealed.",
        ],
        examples: [
            Example("natterd import general old.ndjson", "bring a history along"),
            Example("natterd export general | natterd --data /srv/copy import general -", "copy a conversation"),
        ],
        run: ImportCommand.run)
}

enum ImportCommand {
    /// A line, as far as it is of interest.
    private struct Line: Decodable {
        let ts: Int64
        let sender: String
        let text: String
    }

    private struct Report: Encodable {
        let conversation: String
        let count: UInt64
        let first: UInt64
        let last: UInt64
    }

    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let name = (arguments.operand("CONV") ?? "").precomposedStringWithCanonicalMapping
        let path = arguments.operand("FILE") ?? "-"
        var lines = try LineReader(path, limit: Limits.bodyBytes)
        let store = try DataDirectory.openStore(arguments, console)
        defer { store.close() }
        let importer = try StoreImporter(into: name, of: store)
        defer { importer.abandon() }
        do {
            while try lines.next({ try take($0, importer) }) != nil {}
        } catch {
            throw failure(error, path: path, line: lines.number)
        }
        let summary = try importer.finish()
        try tell(summary, arguments, console)
        return .success
    }

    private static func take(_ line: UnsafeRawBufferPointer, _ importer: StoreImporter) throws {
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { return }
        let parsed = try WireJSON.decode(Line.self, from: line)
        try importer.append(
            time: Timestamp(milliseconds: parsed.ts), sender: Array(parsed.sender.utf8), text: Array(parsed.text.utf8))
    }

    /// Names the line in what is wrong with it.
    private static func failure(_ error: any Error, path: String, line: Int) -> any Error {
        let problem: String
        switch error {
        case LineReader.Failure.disk(let error): return error
        case LineReader.Failure.tooLong: problem = "longer than \(Limits.bodyBytes) bytes"
        case WireJSON.Failure.malformed: problem = "not a JSON object in UTF-8"
        case WireJSON.Failure.field(let field): problem = "the field '\(field)' is missing or of the wrong type"
        case ImportError.badMessage(let error): problem = error.description
        default: return error
        }
        let file = path == "-" ? "standard input" : "'\(path)'"
        return CommandFailure(
            .invalidData, code: "bad_line", "\(file), line \(line): \(problem); nothing was imported")
    }

    private static func tell(_ summary: StoreImporter.Summary, _ arguments: Arguments, _ console: Console) throws {
        if arguments.flag("json") {
            let report = Report(
                conversation: summary.conversation, count: summary.count, first: summary.first.rawValue,
                last: summary.last.rawValue)
            try console.output.write(WireJSON.encode(report) + [0x0A])
        } else if summary.count == 0 {
            console.note("nothing to import into '\(summary.conversation)'")
        } else {
            console.note(
                "imported \(summary.count) messages into '\(summary.conversation)', numbers \(summary.first) to \(summary.last)"
            )
        }
    }
}
