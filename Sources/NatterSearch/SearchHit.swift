public import NatterModel

/// A message that an index found.
public struct SearchHit: Sendable, Equatable {
    public let conversation: ConversationID
    public let seq: Seq
    /// In a search of all conversations: neither this message nor any still to come is newer. (Its own time is not in the
    /// index.)
    public let noNewerThan: Timestamp
    /// Whether it is certain that the following hits of its range, up to where `SearchStep.nextRange` would go on, are not
    /// newer than this one.
    public let timesFall: Bool

    public init(conversation: ConversationID, seq: Seq, noNewerThan: Timestamp, timesFall: Bool) {
        (self.conversation, self.seq) = (conversation, seq)
        (self.noNewerThan, self.timesFall) = (noNewerThan, timesFall)
    }
}

/// How a search goes on after a hit.
public enum SearchStep: Sendable, Equatable {
    case next
    /// With the messages of another range, some thousand of the same conversation being passed over at most.
    case nextRange
    /// Not at all.
    case enough
}
