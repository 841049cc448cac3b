internal import NatterCommandLine
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

extension CommandSpec {
    static let export = CommandSpec(
        "export", "print a conversation for other programs: JSON, mail, or one page", group: "Conversations",
        options: [
            HistoryFormat.option,
            .flag("raw", "print every record as it was sent, edits and deletions too, for 'import'"),
            .flag("json", "print a JSON object for each message, which is the default"),
            .flag("all", "export all conversations"),
            .option("user", value: "NAME", "export all conversations that NAME may read, for that user"),
            .option(
                "to", value: "DIR", "with --all or --user, write a file for each conversation into DIR",
                long:
                    "The command makes DIR if it is not there, and overwrites no file: the exit status is then 73. Without it, "
                    + "the conversations follow one another, and each JSON object has its 'conversation'."),
            .option(
                "files", value: "DIR", "also copy the files of the messages into DIR",
                long:
                    "The name of each there is its 'id' in the JSON object. A file that DIR has already is not copied again."
            ),
        ],
        operands: [.optional("CONV", OperandSpec.conversation.help)],
        description: [
            "Print 'seq', 'sender', 'text' and 'ts' (Unix time in milliseconds) of each message, in order; also 'kind' "
                + "if it is not plain text, 'about', 'via' and 'written' where a message has them. An edited message has its newest "
                + "text, a deleted one none and 'deleted'; with --raw, edits and deletions have lines of their own. With --format mbox it prints mail, with --format html one page to read in a "
                + "browser.",
            "If something is damaged, the whole messages are printed, the missing ranges are named on standard error, and "
                + "the status is 74.",
        ],
        examples: [
            Example("natterd export general > general.ndjson", "save a conversation to a file"),
            Example("natterd export --user alice --to alice", "give alice all that she may read"),
        ],
        run: ExportCommand.run)
}

enum ExportCommand {
    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let format = HistoryFormat(arguments)
        if arguments.flag("raw"), format != .ndjson { throw arguments.error("--raw goes with --format ndjson") }
        if arguments.flag("json"), format != .ndjson { throw arguments.error("--json goes with --format ndjson") }
        if arguments.has("files"), format != .ndjson { throw arguments.error("--files goes with --format ndjson") }
        let isAll = arguments.flag("all") || arguments.has("user")
        guard (arguments.operand("CONV") == nil) == isAll else {
            throw arguments.error("'export' takes either a conversation, or --all or --user")
        }
        guard isAll || !arguments.has("to") else { throw arguments.error("--to goes with --all or --user") }
        let directory = try arguments.value("to").map { try ExportDirectory($0) }
        guard !isAll || directory != nil || format != .html else {
            throw arguments.error("--format html gives a page for each conversation; give --to DIR")
        }
        let files = arguments.value("files")
        if let files { try PosixDisk().makeDirectories(files) }
        let data = try DataDirectory.path(arguments, console)
        var isWhole = true
        var file: ExportFile?
        var client = OperatorClient(
            arguments: arguments, console: console, printsJSON: format == .ndjson
        ) { reply in
            switch reply {
            case .conversation(let next):
                try file?.finish()
                file = try directory?.file(next.name, next.id, format.rawValue)
            case .damagedRange(let name, let from, let to, let detail):
                console.note("messages \(from) to \(to) of '\(name)' can't be read: \(detail)")
            case .file(let object):
                guard let files, let record = object.record else { return }
                if try Blob.export(record, of: data, into: files) { return }
                isWhole = false
                console.note("the file '\(record.name)' is missing or damaged; its id is \(record.id)")
            default: break
            }
        }
        client.destination = { file?.output }
        let isRaw = arguments.flag("raw")
        let code = try client.perform(
            isAll
                ? .exportAll(
                    user: arguments.value("user").map(Normalization.formC), format: format, isRaw: isRaw,
                    isNamed: directory == nil, hasFiles: files != nil)
                : .export(
                    conversation: arguments.conversation, format: format, isRaw: isRaw, hasFiles: files != nil))
        try file?.finish()
        return code == .success && !isWhole ? .inputOutput : code
    }

    /// Sends the conversation as data, and replies with each range that can't be read.
    ///
    /// - Parameters:
    ///   - isNamed: whether each line of JSON has the conversation.
    ///   - hasFiles: whether to reply with each file.
    static func run(
        _ exporter: StoreExporter, as format: HistoryFormat, isNamed: Bool, hasFiles: Bool,
        _ channel: some OperationChannel
    ) throws -> ExitCode {
        let name = isNamed ? exporter.name : nil
        var isWhole = true
        var bytes: [UInt8] = []
        var gaps = ExportGaps(before: exporter.first)
        var writer = format.writer(for: exporter.name, exporter.id)
        writer?.begin(&bytes)
        func flush() throws {
            try channel.data(bytes)
            bytes.removeAll(keepingCapacity: true)
        }
        while let piece = try exporter.next() {
            switch piece {
            case .messages(let messages):
                append(messages, gaps, name, to: &bytes)
                if bytes.count >= OperatorFrame.chunkBytes { try flush() }
            case .folded(let messages):
                for message in messages {
                    if hasFiles {
                        for file in message.files { try channel.reply(.file(FileObject(file, withKey: true))) }
                    }
                    guard writer == nil else {
                        writer?.write(HistoryMessage(message), to: &bytes)
                        continue
                    }
                    guard var line = gaps.line(ExportLine(message)) else { continue }
                    line.conversation = name
                    line.write(to: &bytes)
                    bytes.append(UInt8(ascii: "\n"))
                }
                if bytes.count >= OperatorFrame.chunkBytes { try flush() }
            case .damaged(let from, let to, let detail):
                isWhole = false
                gaps.add(from...to)
                writer?.missing(from: from, to: to, &bytes)
                try flush()
                try channel.reply(
                    .damagedRange(
                        conversation: exporter.name, from: from.rawValue, to: to.rawValue, detail: PhraseParts(detail)))
            }
        }
        writer?.end(&bytes)
        try flush()
        return isWhole ? .success : .inputOutput
    }

    /// Writes messages as lines of JSON directly from a block's bytes. An object and an encoder for each message would
    /// take several times as long.
    private static func append(
        _ messages: ExportedMessages, _ gaps: ExportGaps, _ conversation: String?, to output: inout [UInt8]
    ) {
        let isPlain = messages.isPlain && conversation == nil
        var place = 0
        messages.forEach { seq, time, sender, kind, text in
            defer { place += 1 }
            if !isPlain, let fields = messages.fields(at: place) {
                let line = ExportLine(
                    seq: seq, time: time, sender: sender, text: text, kind: kind, about: fields.about, via: fields.via,
                    written: fields.written, isErased: fields.isErased)
                guard var line = gaps.line(line) else { return }
                line.conversation = conversation
                line.write(to: &output)
                return output.append(UInt8(ascii: "\n"))
            }
            sender.withUnsafeBytes {
                ExportLine.write(
                    seq: seq.rawValue, ts: time.milliseconds, sender: $0, text: text,
                    kind: kind == .text ? nil : kind.name, to: &output)
            }
            output.append(UInt8(ascii: "\n"))
        }
    }
}
