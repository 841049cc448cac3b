public import NatterModel

/// A form in which `export` writes a conversation.
public enum HistoryFormat: String, CaseIterable, Sendable, Codable {
    /// JSON objects, one a line, which `natterd import` reads.
    case ndjson
    /// Mail, one message after another, for programs such as mutt.
    case mbox
    /// One page, for a browser.
    case html

    public static let option = OptionSpec.option(
        "format", oneOf: allCases.map(\.rawValue), "JSON lines (the default), mail, or one page to read in a browser",
        long: "'mbox' is for mail programs: the subject is the beginning of the text, and an answer refers to the "
            + "message that it answers. 'html' needs no other file; each message can be linked to by its seq, as in "
            + "'ops.html#12', and times are UTC.")

    /// The format that the arguments ask for. The parser has refused all other words.
    public init(_ arguments: Arguments) {
        self = arguments.value("format").flatMap(HistoryFormat.init) ?? .ndjson
    }

    /// The writer for people's programs; nil for JSON, which each program writes in its own way.
    public func writer(for name: String, _ id: ConversationID?) -> (any HistoryWriter)? {
        switch self {
        case .ndjson: nil
        case .mbox: MailWriter(conversation: name, id: id)
        case .html: PageWriter(conversation: name)
        }
    }
}

/// One message of a history that is written.
public struct HistoryMessage: Sendable {
    public let seq: Seq
    public let time: Timestamp
    public let sender: String
    public let text: String
    public let kind: MessageKind
    /// The message that this one answers.
    public let about: Seq?
    /// The state of the text since it was written, in one word, such as `edited`; nil if nothing changed.
    public let state: String?

    public init(
        seq: Seq, time: Timestamp, sender: String, text: String, kind: MessageKind, about: Seq?, state: String? = nil
    ) {
        (self.seq, self.time, self.sender, self.text) = (seq, time, sender, text)
        (self.kind, self.about, self.state) = (kind, about, state)
    }
}

extension HistoryMessage {
    public init(_ message: Message) {
        let state =
            message.isDeleted ? "deleted" : message.hasNoText ? "erased" : message.edited == nil ? nil : "edited"
        self.init(
            seq: message.seq, time: message.time, sender: message.sender, text: message.text, kind: message.kind,
            about: message.about, state: state)
    }
}

/// Writes a history for other programs, from its first message to its last.
public protocol HistoryWriter: Sendable {
    mutating func begin(_ output: inout [UInt8])
    mutating func write(_ message: HistoryMessage, to output: inout [UInt8])
    /// States that messages could not be read.
    mutating func missing(from first: Seq, to last: Seq, _ output: inout [UInt8])
    mutating func end(_ output: inout [UInt8])
}
