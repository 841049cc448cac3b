internal import NatterLanguage
internal import NatterModel

/// What the readers of text logs share.
class ChatLog {
    /// A longer line is no line of a log.
    private static let lineLimit = 1 << 20

    let file: ForeignFile
    /// The number of the line that is read.
    private(set) var lineNumber = 0

    init(_ file: ForeignFile) { self.file = file }

    /// Calls `body` with each line. Bytes that are not UTF-8 are read as Latin-1, which old logs are in.
    func eachLine(of bytes: ByteStream, _ body: (String) throws -> Void) throws {
        lineNumber = 0
        while let (line, isWhole) = try bytes.line(limit: ChatLog.lineLimit) {
            lineNumber += 1
            guard isWhole else {
                throw file.malformed("line \(lineNumber) has more than \(ChatLog.lineLimit) bytes")
            }
            // A line in Latin-1 has no combining marks.
            try body(
                String(validating: line, as: UTF8.self).map(CombiningRun.split)
                    ?? String(String.UnicodeScalarView(line.map { Unicode.Scalar($0) })))
        }
    }

    func take(
        _ civil: CivilTime, _ sender: String, _ text: String, in channel: String,
        _ sink: any HistorySink
    ) throws {
        guard let time = ClockReading(civil)?.moment else { return sink.skip("without_time") }
        guard !text.isEmpty else { return sink.skip("without_text") }
        try sink.take(ForeignMessage(time: time, sender: sender, text: text), channel: channel, part: "")
    }

    /// The nick without the sign of its rank in the channel.
    static func nick(_ text: some StringProtocol) -> String {
        let bare = text.drop { " @+%~&!".contains($0) }
        return String(bare).isEmpty ? String(text) : String(bare)
    }
}
