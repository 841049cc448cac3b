internal import NatterCLI
internal import NatterClient
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
    /// Exact bytes are for programs; a terminal obeys some of them.
    private let escapes: Bool

    init(output: Output, style: Style, showsConversation: Bool) {
        (self.output, self.style, self.showsConversation) = (output, style, showsConversation)
        escapes = output.isTerminal
    }

    /// By the options of a command.
    init(_ context: Context, format: MessageFormat? = nil, showsConversation: Bool) {
        let output = context.console.output
        let style: Style =
            if context.wantsJSON {
                .json
            } else if let format {
                .format(format)
            } else if output.isTerminal {
                .terminal(context.console.paint(context.arguments))
            } else {
                .plain
            }
        self.init(output: output, style: style, showsConversation: showsConversation)
    }

    /// Whether whole messages with their cursors are needed, not only what stands in the log.
    var needsMessages: Bool { if case .json = style { true } else { false } }

    /// Whether a kind of message is shown. Programs get every kind and skip what they do not know.
    func shows(_ kind: MessageKind) -> Bool { needsMessages || kind == .text || kind == .event }

    func write(_ message: Message) throws(OutputError) {
        if case .json = style {
            var line: [UInt8] = []
            MessageLine.append(message, to: &line)
            return try output.writeJSON(line)
        }
        let fields = MessageFields(
            conversation: message.conversation, seq: message.seq, time: message.time,
            sender: Array(message.sender.utf8),
            kind: message.kind)
        try write(fields, text: message.text.utf8)
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
        TerminalText.append(escaping: text, .message, to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
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
