public import NatterLanguage
public import NatterModel

/// A program whose history can be imported.
public enum ForeignFormat: String, CaseIterable, Sendable {
    case slack, telegram, mbox, irssi, weechat, whatsapp

    /// Reads a history from its beginning to its end.
    ///
    /// - Throws: `ForeignError`, and what the sink throws.
    public func read(_ file: ForeignFile, into sink: any HistorySink) throws {
        switch self {
        case .slack: try SlackExport(file).read(into: sink)
        case .telegram: try TelegramExport(file).read(into: sink)
        case .mbox: try MailFolder(file).read(into: sink)
        case .irssi: try IrssiLog(file).read(into: sink)
        case .weechat: try WeeChatLog(file).read(into: sink)
        case .whatsapp: try WhatsAppChat(file).read(into: sink)
        }
    }
}

/// One message of another program.
public struct ForeignMessage: Sendable {
    public var time: Timestamp
    public var sender: String
    public var text: String
    /// By what others answer it. ASCII; nil where nothing answers.
    public var id: String?
    /// The id of the message that it answers.
    public var answers: String?
    /// When the text was last changed.
    public var edited: Timestamp?

    init(
        time: Timestamp, sender: String, text: String, id: String? = nil, answers: String? = nil,
        edited: Timestamp? = nil
    ) {
        (self.time, self.sender, self.text, self.id) = (time, sender, text, id)
        (self.answers, self.edited) = (answers, edited)
    }
}

/// A channel, group or chat of another program.
public struct ForeignChannel: Sendable {
    /// Its name in the file, unique there. People use it with `--map`.
    public let name: String
    /// The names of the two who talk in it alone, or of the one whose notebook it is; nil for all other channels.
    public let people: [String]?

    /// - Parameter people: those who talk in it. An export can name none or many, and then it is no chat of two.
    init(name: String, people: [String]?) {
        self.name = name
        self.people = people.flatMap { (1...2).contains($0.count) ? $0 : nil }
    }
}

/// What a reader of a history finds. Call only from one thread.
public protocol HistorySink: AnyObject {
    /// A message. Those of one channel come in order, or in parts that are in order: each `part` is a word, and the
    /// parts follow one another as their words do.
    func take(_ message: ForeignMessage, channel: String, part: String) throws
    /// Says what a channel is, once, before or after its messages.
    func settle(_ channel: ForeignChannel) throws
    /// Counts what can't be imported.
    ///
    /// - Parameter kind: a short word for programs, such as `reactions`.
    func skip(_ kind: String, count: Int)
    /// Tells people what a reader had to guess.
    func note(_ text: Phrase)
}

extension HistorySink {
    func skip(_ kind: String) { skip(kind, count: 1) }
}

/// Why a history can't be read.
public enum ForeignError: Error, Equatable, PhraseConvertible {
    /// - Parameter file: its name as the user wrote it, or a member of it.
    case unreadable(file: String, reason: Phrase)
    case malformed(file: String, reason: Phrase)

    public var phrase: Phrase {
        switch self {
        case .unreadable(let file, let reason): "cannot read '\(file)': \(reason)"
        case .malformed(let file, let reason): "'\(file)': \(reason)"
        }
    }
}
