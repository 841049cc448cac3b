internal import NatterCLI
internal import NatterClient
internal import NatterLog
internal import NatterModel

/// What is printed of a message besides its text.
struct MessageFields {
    var conversation: String
    var seq: Seq
    var time: Timestamp
    /// UTF-8.
    var sender: [UInt8]
    var kind: MessageKind
}

/// Writes messages in one of the forms of `log` and `search`.
struct MessagePrinter {
    enum Style {
        /// For programs: a line a message, further lines of a text indented.
        case plain
        /// For people: local time, colours.
        case terminal(Paint)
        case json
        case format(MessageFormat)
    }

    let output: Output
    let style: Style
    /// Whether the conversation stands before the sender.
    let showsConversation: Bool
    /// Finds what is to be shown as a match in a text for people: ranges of its UTF-8, rising.
    var highlight: ((String) -> [Range<Int>])?
    /// Exact bytes are for programs; a terminal obeys some of them.
    private let escapes: Bool

    init(output: Output, style: Style, showsConversation: Bool, escapes: Bool? = nil) {
        (self.output, self.style, self.showsConversation) = (output, style, showsConversation)
        self.escapes = escapes ?? output.isTerminal
    }

    /// By the options of a command.
    ///
    /// - Parameter pager: what shows the output, where one does.
    init(_ context: Context, format: MessageFormat? = nil, showsConversation: Bool, pager: Pager? = nil) {
        let output = context.console.output
        let style: Style =
            if context.wantsJSON {
                .json
            } else if let format {
                .format(format)
            } else if output.isTerminal {
                .terminal(context.paint)
            } else {
                .plain
            }
        self.init(
            output: pager?.output ?? output, style: style, showsConversation: showsConversation,
            escapes: output.isTerminal)
    }

    /// Whether a kind of message is shown. Programs get every kind and skip what they do not know.
    func shows(_ kind: MessageKind) -> Bool {
        if case .json = style { return true }
        return kind == .text || kind == .event
    }

    func write(_ message: Message) throws(OutputError) {
        if case .json = style {
            var line: [UInt8] = []
            MessageLine.append(message, to: &line)
            return try output.writeJSON(line, escapes: escapes)
        }
        let fields = MessageFields(
            conversation: message.conversation, seq: message.seq, time: message.time,
            sender: Array(message.sender.utf8),
            kind: message.kind)
        try write(fields, text: message.text.utf8)
    }

    /// Writes the messages of a run.
    ///
    /// - Parameter count: of them, from the first one on.
    /// - Returns: how many are shown.
    @discardableResult
    func write(_ run: MessageRun, count: Int = .max) throws(OutputError) -> Int {
        if case .json = style {
            let messages = run.messages().prefix(count)
            for message in messages { try write(message) }
            return messages.count
        }
        var shown = 0
        for position in run.positions.prefix(count) {
            let record = run.records[position]
            guard shows(record.kind) else { continue }
            let fields = MessageFields(
                conversation: run.conversation.name, seq: record.seq, time: record.time, sender: record.sender,
                kind: record.kind)
            try write(fields, text: record.text)
            shown += 1
        }
        return shown
    }

    /// - Parameter text: UTF-8.
    func write(_ fields: MessageFields, text: some Collection<UInt8>) throws(OutputError) {
        switch style {
        case .plain, .json: try output.append { appendPlain(fields, text, to: &$0) }
        case .terminal(let paint): try output.append { appendForPeople(fields, text, paint, to: &$0) }
        case .format(let format): try output.append { append(fields, text, format, to: &$0) }
        }
    }

    private func appendPlain(_ fields: MessageFields, _ text: some Collection<UInt8>, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: fields.time.rfc3339.utf8)
        bytes.append(UInt8(ascii: " "))
        if showsConversation {
            TerminalText.append(escaping: fields.conversation, .name, to: &bytes)
            bytes.append(UInt8(ascii: " "))
        }
        appendSender(fields, to: &bytes)
        TerminalText.append(escaping: text, .message, to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
    }

    private func appendForPeople(
        _ fields: MessageFields, _ text: some Collection<UInt8>, _ paint: Paint, to bytes: inout [UInt8]
    ) {
        bytes += paint.opening(.dim)
        bytes.append(contentsOf: LocalTime.text(fields.time).utf8)
        bytes += paint.closing
        bytes.append(UInt8(ascii: " "))
        if showsConversation {
            bytes += paint.opening(.cyan)
            TerminalText.append(escaping: fields.conversation, .name, to: &bytes)
            bytes += paint.closing
            bytes.append(UInt8(ascii: " "))
        }
        bytes += paint.opening(.bold)
        appendSender(fields, to: &bytes, closing: paint.closing)
        appendHighlighted(text, paint, to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
    }

    private func appendHighlighted(_ text: some Collection<UInt8>, _ paint: Paint, to bytes: inout [UInt8]) {
        let text = Array(text)
        var start = 0
        for range in highlight?(String(decoding: text, as: UTF8.self)) ?? [] {
            guard range.lowerBound >= start, range.upperBound <= text.count else { continue }
            TerminalText.append(escaping: text[start..<range.lowerBound], .message, to: &bytes)
            bytes += paint.opening(.match)
            TerminalText.append(escaping: text[range], .message, to: &bytes)
            bytes += paint.closing
            start = range.upperBound
        }
        TerminalText.append(escaping: text[start...], .message, to: &bytes)
    }

    /// `bob: `, or for what happened to the conversation `* bob `, which no name can look like.
    private func appendSender(_ fields: MessageFields, to bytes: inout [UInt8], closing: [UInt8] = []) {
        let isEvent = fields.kind == .event
        if isEvent { bytes += [UInt8(ascii: "*"), UInt8(ascii: " ")] }
        TerminalText.append(escaping: fields.sender, .name, to: &bytes)
        bytes += closing
        if !isEvent { bytes.append(UInt8(ascii: ":")) }
        bytes.append(UInt8(ascii: " "))
    }

    private func append(
        _ fields: MessageFields, _ text: some Collection<UInt8>, _ format: MessageFormat, to bytes: inout [UInt8]
    ) {
        func append(_ value: some Collection<UInt8>, _ rule: TerminalText.Rule) {
            if escapes {
                TerminalText.append(escaping: value, rule, to: &bytes)
            } else {
                bytes.append(contentsOf: value)
            }
        }
        for part in format.parts {
            switch part {
            case .literal(let literal): append(literal, .text)
            case .field(.time): bytes.append(contentsOf: fields.time.rfc3339.utf8)
            case .field(.unixMilliseconds): bytes.append(contentsOf: String(fields.time.milliseconds).utf8)
            case .field(.conversation): append(Array(fields.conversation.utf8), .name)
            case .field(.seq): bytes.append(contentsOf: fields.seq.description.utf8)
            case .field(.sender): append(fields.sender, .name)
            case .field(.text): append(text, .message)
            }
        }
        bytes.append(UInt8(ascii: "\n"))
    }
}
