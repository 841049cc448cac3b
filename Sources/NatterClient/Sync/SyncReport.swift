public import NatterModel

/// What a sync has done.
public struct SyncReport: Sendable {
    /// Messages that are new here.
    public struct News: Sendable, Equatable {
        public let name: String
        public let id: ConversationID
        public internal(set) var count: Int
    }

    /// A conversation whose history differs from the server's, moved aside and fetched anew.
    public struct Diverged: Sendable, Equatable {
        public let name: String
        public let id: ConversationID
        /// The head that it had here.
        public let head: Seq
        /// Where its log files and its tail lie now.
        public let directory: String
    }

    /// Messages that the server could not give.
    public struct Damage: Sendable, Equatable {
        public let name: String
        public let range: ClosedRange<Seq>
    }

    /// A conversation that one does not belong to any more.
    public struct Gone: Sendable, Equatable {
        public let name: String
        public let id: ConversationID
        public let reason: String
    }

    /// Conversations with new messages, in the order of the answer.
    public internal(set) var news: [News] = []
    /// Whether everything that the server had has come.
    public internal(set) var isComplete = false
    /// The server has more: the limit or the deadline came first.
    public internal(set) var hasMore = false
    /// Why the sync broke off though something had come; what had come is kept.
    public internal(set) var interruption: APIError?
    public internal(set) var gone: [Gone] = []
    public internal(set) var damaged: [Damage] = []
    public internal(set) var diverged: [Diverged] = []
    /// Whether the server did not know our place any more, so that everything was compared.
    public internal(set) var wasExpired = false
    /// Bytes of answers.
    public internal(set) var receivedBytes = 0

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

/// How far a sync is, from time to time.
public struct SyncProgress: Sendable {
    public let receivedBytes: Int
    public let messages: Int
    /// The conversation that is being fetched.
    public let conversation: String
}
