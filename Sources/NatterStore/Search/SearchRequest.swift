public import NatterModel

/// A search on the server.
public struct SearchRequest: Sendable {
    /// How many words, phrases and prefixes a query may have.
    public static let termLimit = 16
    /// How many words the terms of a query may have together, with those inside phrases.
    public static let wordLimit = 64
    /// How many letters a prefix must have.
    public static let prefixMinimum = 2

    public var query: String
    /// The reader's name for the conversation; nil for all that they see.
    public var conversation: String?
    /// A sender's exact name.
    public var sender: String?
    public var since: Timestamp?
    public var until: Timestamp?
    /// The end of the previous page.
    public var before: SearchPlace?
    /// Whether a hit in an edit is the original message with that text.
    public var isFolded = false
    public var limit: Int

    public init(query: String, limit: Int) { (self.query, self.limit) = (query, limit) }
}

/// A message's place in search results, which are sorted by time (newest first), then conversation, then seq.
public struct SearchPlace: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let time: Timestamp
    public let conversation: ConversationID
    public let seq: Seq

    public init(time: Timestamp, conversation: ConversationID, seq: Seq) {
        (self.time, self.conversation, self.seq) = (time, conversation, seq)
    }

    /// The place before all messages of a time.
    init(behind time: Timestamp) {
        self.init(
            time: time, conversation: ConversationID(high: .max, low: .max), seq: Seq(UInt64(Int64.max)))
    }

    public init?(_ text: String) {
        let parts = text.asWord.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let time = Int64(parts[0]), let id = ConversationID(hex: parts[1]),
            let seq = UInt64(parts[2])
        else { return nil }
        self.init(time: Timestamp(milliseconds: time), conversation: id, seq: Seq(seq))
    }

    public var description: String { "\(time.milliseconds).\(conversation).\(seq)" }

    public static func < (left: SearchPlace, right: SearchPlace) -> Bool {
        (left.time, left.conversation, left.seq) < (right.time, right.conversation, right.seq)
    }
}

public struct SearchPage: Sendable {
    /// Newest first.
    public let messages: [Message]
    public let more: Bool
    /// The value of `before` for the next page.
    public let next: SearchPlace?
}
