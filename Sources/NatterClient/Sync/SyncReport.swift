public import NatterModel

/// The result of a sync.
public struct SyncReport: Sendable {
    /// Messages that are new in the replica.
    public struct News: Sendable, Equatable {
        public let name: String
        public let id: ConversationID
        public internal(set) var count: Int

        public init(name: String, id: ConversationID, count: Int) {
            (self.name, self.id, self.count) = (name, id, count)
        }
    }

    /// A conversation whose history differed from the server's. It was moved to `diverged/` and fetched again; see `DivergedHistory`.
    public struct Diverged: Sendable, Equatable {
        public let name: String
        public let id: ConversationID
        /// Its former head in the replica.
        public let head: Seq
        /// The directory that now contains its log files and its tail.
        public let directory: String
    }

    /// Messages that the server could not send.
    public struct Damage: Sendable, Equatable {
        public let name: String
        public let range: ClosedRange<Seq>
    }

    /// A conversation that the user no longer belongs to.
    public struct Gone: Sendable, Equatable {
        public let name: String
        public let id: ConversationID
        public let reason: String
    }

    /// Conversations with new messages, in the order of the answer.
    public internal(set) var news: [News] = []
    /// Whether everything on the server was received.
    public internal(set) var isComplete = false
    /// Why the sync was interrupted after something was received. Everything received is kept.
    public internal(set) var interruption: RequestError?
    public internal(set) var gone: [Gone] = []
    public internal(set) var damaged: [Damage] = []
    public internal(set) var diverged: [Diverged] = []
    /// Where the files of a damaged database are now, if the replica's database was made anew.
    public internal(set) var quarantined: String?

    public var messageCount: Int { news.reduce(0) { $0 + $1.count } }

    mutating func add(_ count: Int, to conversation: ConversationID, named name: String) {
        guard count > 0 else { return }
        if let index = news.lastIndex(where: { $0.id == conversation }) {
            news[index].count += count
        } else {
            news.append(News(name: name, id: conversation, count: count))
        }
    }
}

/// The progress of a sync.
public struct SyncProgress: Sendable {
    public let receivedBytes: Int
    public let messages: Int
    /// The conversation that is being fetched.
    public let conversation: String
}
