internal import NatterCLI
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

/// Brings the lines of an operation's data into a conversation.
struct ImportOperation {
    /// How messages name the file.
    let file: String

    /// A line, as far as it is of interest.
    private struct Line: Decodable {
        let ts: Int64
        let sender: String
        let text: String
    }

    func run(_ conversation: String, _ store: Store, _ channel: some OperationChannel) throws -> ImportReport {
        let importer = try StoreImporter(into: conversation, of: store)
        defer { importer.abandon() }
        var lines = LineReader(limit: Limits.bodyBytes) { try channel.read(into: $0) }
        do {
            while try lines.next({ try ImportOperation.take($0, importer) }) != nil {}
        } catch {
            throw failure(error, line: lines.number)
        }
        let summary = try importer.finish()
        return ImportReport(
            conversation: summary.conversation, count: summary.count, first: summary.first.rawValue,
            last: summary.last.rawValue)
    }

    private static func take(_ line: UnsafeRawBufferPointer, _ importer: StoreImporter) throws {
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { return }
        let parsed = try WireJSON.decode(Line.self, from: line)
        try importer.append(
            time: Timestamp(milliseconds: parsed.ts), sender: Array(parsed.sender.utf8), text: Array(parsed.text.utf8))
    }

    /// Names the line in what is wrong with it.
    private func failure(_ error: any Error, line: Int) -> any Error {
        let problem: Phrase
        switch error {
        case LineReader.Failure.tooLong: problem = "longer than \(Limits.bodyBytes) bytes"
        case WireJSON.Failure.malformed: problem = "not a JSON object in UTF-8"
        case WireJSON.Failure.field(let field): problem = "the field '\(field)' is missing or of the wrong type"
        case ImportError.badMessage(let error): problem = error.phrase
        default: return error
        }
        return CommandFailure(
            .invalidData, code: "bad_line", "\(file), line \(line): \(problem); nothing was imported")
    }
}
