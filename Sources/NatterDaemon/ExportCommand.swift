internal import NatterCLI
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterWire

extension CommandSpec {
    static let export = CommandSpec(
        "export", "print a conversation as JSON objects, one a line", group: "Conversations",
        operands: [.required("CONV", "'general', a group, or '@alice,@bob' for what two users wrote to each other")],
        description: [
            "Prints 'seq', 'sender', 'text' and 'ts' (Unix time in milliseconds) of each message, in order; also 'kind' "
                + "if it is not plain text.",
            "If something is damaged, the whole messages are printed, the missing ranges are named on standard error, and "
                + "the status is 74.",
        ],
        examples: [Example("natterd export general > general.ndjson", "save a conversation to a file")],
        run: ExportCommand.run)
}

enum ExportCommand {
    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let name = Normalization.formC(arguments.operand("CONV") ?? "")
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            guard case .damagedRange(let name, let from, let to, let detail) = reply else { return }
            console.note("messages \(from) to \(to) of '\(name)' can't be read: \(detail)")
        }
        return try client.perform(.export(conversation: name))
    }

    /// Sends the conversation as data, and replies with each range that can't be read.
    static func run(_ exporter: StoreExporter, _ channel: some OperationChannel) throws -> ExitCode {
        var isWhole = true
        var bytes: [UInt8] = []
        func flush() throws {
            try channel.data(bytes)
            bytes.removeAll(keepingCapacity: true)
        }
        while let piece = try exporter.next() {
            switch piece {
            case .messages(let messages):
                append(messages, to: &bytes)
                if bytes.count >= OperatorFrame.chunkBytes { try flush() }
            case .damaged(let from, let to, let detail):
                isWhole = false
                try flush()
                try channel.reply(
                    .damagedRange(
                        conversation: exporter.name, from: from.rawValue, to: to.rawValue, detail: PhraseParts(detail)))
            }
        }
        try flush()
        return isWhole ? .success : .inputOutput
    }

    /// Writes messages as lines of JSON directly from a block's bytes. An object and an encoder for each message would
    /// take several times as long.
    private static func append(_ messages: ExportedMessages, to output: inout [UInt8]) {
        messages.forEach { seq, time, sender, kind, text in
            sender.withUnsafeBytes {
                ExportLine.write(
                    seq: seq.rawValue, ts: time.milliseconds, sender: $0, text: text,
                    kind: kind == .text ? nil : kind.name, to: &output)
            }
            output.append(UInt8(ascii: "\n"))
        }
    }
}
