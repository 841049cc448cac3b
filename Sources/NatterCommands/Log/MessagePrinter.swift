internal import NatterConversation
internal import NatterClient
internal import NatterCommandLine
internal import NatterModel
internal import NatterLog
internal import NatterProtocol

/// Writes messages in one of the forms of `log` and `search`.
struct MessagePrinter {
    enum Style {
        /// For programs: one line per message, with indented continuation lines.
        case plain
        /// For people: the time of day, and a separate line at the beginning of each day.
        case terminal
        case json
        case format(MessageFormat)
    }

    private(set) var output: Output
    let style: Style
    /// Colours for `plain` and `terminal`. `--color always` only adds colours to a line.
    let paint: Paint
    /// Whether to print the conversation before the sender.
    let showsConversation: Bool
    /// The user whose messages are marked as their own.
    var reader: String? {
        didSet { mention = paint.isOn ? reader.map { Mention(of: $0) } : nil }
    }
    /// Finds the reader's name in a text, to highlight it.
    private var mention: Mention?
    /// Whether to print each message's number.
    var showsNumbers = false
    /// Has what replies are about, which people see quoted; nil to show them the number.
    var replica: Replica?
    /// Whether edits and deletions are printed. Otherwise they have no line.
    var showsChanges = false
    /// The day of the previous message, or nil if messages are not ordered by time. All copies share it, because they
    /// write to one output.
    private let days: DayLines?
    /// Finds the matches to highlight in a text: ascending ranges of its UTF-8.
    var highlight: ((String) -> [Range<Int>])?
    /// True if control characters are escaped. Programs receive exact bytes, but a terminal would interpret some of
    /// them.
    private let escapes: Bool

    init(
        output: Output, style: Style, paint: Paint = Paint(isOn: false), showsConversation: Bool,
        hasDayLines: Bool = true
    ) {
        (self.output, self.style, self.paint, self.showsConversation) = (output, style, paint, showsConversation)
        days = hasDayLines ? DayLines() : nil
        escapes = output.isTerminal
    }

    /// A printer configured by the options of a command.
    ///
    /// - Parameter hasDayLines: whether messages are ordered by time, so that each day gets one line.
    init(
        _ context: Context, format: MessageFormat? = nil, showsConversation: Bool, hasDayLines: Bool = true
    ) {
        let output = context.console.output
        let style: Style =
            if context.wantsJSON {
                .json
            } else if let format {
                .format(format)
            } else if output.isTerminal {
                .terminal
            } else {
                .plain
            }
        self.init(
            output: output, style: style, paint: context.paint, showsConversation: showsConversation,
            hasDayLines: hasDayLines)
        if case .terminal = style { showsNumbers = (try? context.setting(.numbers)) == "on" }
    }

    /// Writes to a pager from now on, in the form of the terminal on which the pager shows it.
    mutating func turn(to pager: Pager) { output = pager.output }

    /// True if messages of this kind are shown. Programs receive every kind and skip unknown ones.
    func shows(_ kind: MessageKind) -> Bool {
        if case .json = style { return true }
        return kind == .text || kind == .event || (showsChanges && kind.isChange)
    }

    /// Whether the whole object of each message is printed.
    var isDetailed: Bool { if case .json = style { true } else { false } }

    /// Separates groups of lines, as grep does.
    func writeSeparator() throws(OutputError) {
        switch style {
        case .plain, .terminal: try output.append { $0.append(contentsOf: "--\n".utf8) }
        case .json, .format: break
        }
    }

    func write(_ message: Message) throws(OutputError) {
        if case .json = style {
            return try output.writeJSON(WireJSON.encode(MessageObject(message)), escapes: escapes)
        }
        try write(MessageFields(message), text: message.text.utf8)
    }

    /// Writes those of the messages that have a line.
    ///
    /// - Returns: how many were shown.
    func write(_ messages: some Sequence<Message>) throws(OutputError) -> Int {
        var shown = 0
        for message in messages where shows(message.kind) {
            try write(message)
            shown += 1
        }
        return shown
    }

    /// Writes the messages of a run.
    ///
    /// - Parameter count: how many messages to write, beginning with the first.
    /// - Returns: how many messages were shown.
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
            try write(MessageFields(record, in: run.conversation.name, run.conversation.id), text: record.text)
            shown += 1
        }
        return shown
    }

    /// - Parameter text: UTF-8.
    func write(_ fields: MessageFields, text: some Collection<UInt8>) throws(OutputError) {
        switch style {
        case .format(let format): try output.append { append(fields, text, format, to: &$0) }
        case _ where fields.kind == .event:
            let phrase = EventText.phrase(String(decoding: text, as: UTF8.self))
            try writeLine(fields, word(phrase).utf8)
        default: try writeLine(fields, text)
        }
    }

    private func writeLine(_ fields: MessageFields, _ text: some Collection<UInt8>) throws(OutputError) {
        if case .terminal = style {
            try output.append { appendForPeople(fields, text, to: &$0) }
        } else {
            try output.append { appendLine(fields, fields.time.rfc3339, text, to: &$0) }
        }
    }

    private func appendForPeople(_ fields: MessageFields, _ text: some Collection<UInt8>, to bytes: inout [UInt8]) {
        let civil = LocalTime.civil(fields.time)
        guard let days else { return appendLine(fields, LocalTime.text(fields.time), text, to: &bytes) }
        if days.begins(civil) {
            bytes += paint.opening(.bold)
            bytes.append(contentsOf: "-- \(LocalTime.day(civil).text) --".utf8)
            bytes += paint.closing
            bytes.append(UInt8(ascii: "\n"))
        }
        appendLine(fields, LocalTime.clock(fields.time), text, to: &bytes)
    }

    private func appendLine(
        _ fields: MessageFields, _ time: String, _ text: some Collection<UInt8>, to bytes: inout [UInt8]
    ) {
        bytes += paint.opening(.dim)
        bytes.append(contentsOf: time.utf8)
        bytes += paint.closing
        bytes.append(UInt8(ascii: " "))
        if showsNumbers { bytes.append(contentsOf: "\(fields.seq) ".utf8) }
        if showsConversation {
            bytes += paint.opening(.underlined)
            TerminalText.append(escaping: fields.conversation, .name, to: &bytes)
            bytes += paint.closing
            bytes.append(UInt8(ascii: " "))
        }
        appendSender(fields, to: &bytes)
        let end = bytes.count
        if fields.isDeleted {
            bytes.append(contentsOf: word("(deleted)").utf8)
        } else if fields.isErased {
            bytes.append(contentsOf: word("(erased)").utf8)
        } else if fields.kind != .delete {
            appendHighlighted(text, to: &bytes)
            let behind =
                fields.files.map { FileWords.text($0.name, $0.size) } + (fields.isEdited ? [word("(edited)")] : [])
            for word in behind {
                if bytes.count > end { bytes.append(UInt8(ascii: " ")) }
                TerminalText.append(escaping: word, .name, to: &bytes)
            }
        }
        if bytes.count == end, bytes.last == UInt8(ascii: " ") { bytes.removeLast() }
        bytes.append(UInt8(ascii: "\n"))
    }

    /// Words of natter's in a line: translated for people, English for programs.
    private func word(_ phrase: Phrase) -> String { if case .terminal = style { phrase.text } else { phrase.english } }

    private func appendHighlighted(_ text: some Collection<UInt8>, to bytes: inout [UInt8]) {
        let find = highlight ?? mention.map { mention in { mention.ranges(in: $0) } }
        guard paint.isOn, let find else { return TerminalText.append(escaping: text, .message, to: &bytes) }
        let text = Array(text)
        var start = 0
        for range in find(String(decoding: text, as: UTF8.self)) {
            guard range.lowerBound >= start, range.upperBound <= text.count else { continue }
            TerminalText.append(escaping: text[start..<range.lowerBound], .message, to: &bytes)
            bytes += paint.opening(.match)
            TerminalText.append(escaping: text[range], .message, to: &bytes)
            bytes += paint.closing
            start = range.upperBound
        }
        TerminalText.append(escaping: text[start...], .message, to: &bytes)
    }

    /// Appends `bob: `, or `* bob ` for an event of the conversation. No name can look like an event. The message it is about,
    /// and the time it was written, come before the colon: `bob (re 123): `. An erased message has no sender.
    private func appendSender(_ fields: MessageFields, to bytes: inout [UInt8]) {
        let isEvent = fields.kind == .event
        if paint.isOn {
            let isOwn = reader.map { $0.utf8.elementsEqual(fields.sender) } ?? false
            bytes += paint.opening(isOwn ? .bold : Paint.look(ofName: fields.sender))
        }
        if isEvent { bytes += [UInt8(ascii: "*"), UInt8(ascii: " ")] }
        TerminalText.append(escaping: fields.sender, .name, to: &bytes)
        if let via = fields.via {
            bytes.append(UInt8(ascii: "/"))
            TerminalText.append(escaping: via, .name, to: &bytes)
        }
        bytes += paint.closing
        if fields.sender.isEmpty { return }
        if let about = fields.about {
            let words: Phrase =
                switch fields.kind {
                case .edit: "(edits \(about))"
                case .delete: "(deletes \(about))"
                default: quote(about, in: fields.conversationID) ?? "(re \(about))"
                }
            bytes.append(contentsOf: " \(word(words))".utf8)
        }
        if let written = fields.written {
            let time = if case .terminal = style { LocalTime.text(written) } else { written.rfc3339 }
            bytes.append(contentsOf: " \(word("(written \(time))"))".utf8)
        }
        if !isEvent, fields.kind != .delete { bytes.append(UInt8(ascii: ":")) }
        bytes.append(UInt8(ascii: " "))
    }

    /// For people, whose words a reply is about: `(re alice "the first words…")`. It is nil if nothing is left of them.
    private func quote(_ about: Seq, in id: ConversationID?) -> Phrase? {
        guard case .terminal = style, let replica, let id, let conversation = try? replica.conversation(id),
            let original = try? replica.message(about, in: conversation, folds: true),
            !original.isDeleted, !original.isErased
        else { return nil }
        let line = original.text.unicodeScalars.prefix(200).split(whereSeparator: \.properties.isWhitespace)
        let words = DisplayWidth.cut(TerminalText.escaped(line.map { String($0) }.joined(separator: " ")), to: 32)
        return "(re \(TerminalText.escaped(original.sender, .name)) \"\(words)\")"
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
            case .field(.kind): bytes.append(contentsOf: fields.kind.name.utf8)
            case .field(.about): bytes.append(contentsOf: (fields.about?.description ?? "").utf8)
            case .field(.files): append(fields.files.map(\.name).joined(separator: ", ").utf8, .name)
            }
        }
        bytes.append(UInt8(ascii: "\n"))
    }
}

/// Detects the beginning of each day among printed messages.
private final class DayLines {
    private var last: (year: Int64, month: Int, day: Int)?

    /// True if this day differs from the previous message's.
    func begins(_ time: CivilTime) -> Bool {
        let day = (time.year, time.month, time.day)
        defer { last = day }
        return last.map { $0 != day } ?? true
    }
}
