internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterSystem

/// How far a watch has come in each conversation, in its file.
struct WatchPositions {
    /// The time when this watch was first started. In a conversation that appears later, older messages are not
    /// new.
    let since: Timestamp
    private let place: WatchPlace
    private let store: StoreID
    private let file: CursorFile
    private var seqs: [ConversationID: Seq] = [:]
    /// The content of the file: the last position of each conversation at which the hash chain was known. It
    /// includes former conversations.
    private var cursors: [ConversationID: MessageCursor] = [:]
    /// Conversations whose position is beyond the replica's head.
    private(set) var ahead: Set<ConversationID> = []

    subscript(_ conversation: ConversationID) -> Seq? { seqs[conversation] }

    /// Loads the positions of this watch, or starts at the newest messages.
    ///
    /// - Parameters:
    ///   - isCurrent: whether the replica has everything that the server has.
    ///   - now: the start of a new watch.
    init(_ place: WatchPlace, _ replica: Replica, isCurrent: Bool, at now: Timestamp) throws {
        (self.place, store) = (place, replica.location.store)
        file = CursorFile(path: place.path, remedy: WatchPlace.restart)
        let start = StartFile(path: place.path + ".start")
        let content = try file.read()
        let begun = try start.read()
        if case .all(_, let known) = content {
            (cursors, seqs) = (known, known.mapValues(\.seq))
            since = begun?.time ?? now
        } else {
            guard begun == nil else {
                throw CommandFailure(
                    .invalidData, code: "bad_cursor",
                    "the positions of this watch are gone from '\(place.path)'; \(WatchPlace.restart)")
            }
            since = now
            // Behind what the replica has, there may be more that is older than this start. Its time tells.
            for conversation in isCurrent ? try replica.conversations(includingGone: true) : [] {
                seqs[conversation.id] = conversation.head
                cursors[conversation.id] = try replica.cursor(at: conversation.head, of: conversation)
            }
            try save()
        }
        // Last, because it says that there are positions.
        try start.write(since, place.description)
    }

    /// Checks that the positions belong to the current history.
    ///
    /// - Parameter isCurrent: whether the replica has everything that the server has.
    /// - Throws: 65 if the history was replaced.
    mutating func check(_ conversations: [ReplicaConversation], in replica: Replica, isCurrent: Bool) throws {
        for conversation in conversations where !conversation.isGone {
            guard let cursor = cursors[conversation.id] else { continue }
            ahead.remove(conversation.id)
            switch try replica.standing(of: cursor, in: conversation) {
            case .good, .unknown: continue
            // The walk states what is missing between.
            case .notKept: seqs[conversation.id] = conversation.first.previous
            // If the server was not reached, the position may be correct.
            case .ahead where !isCurrent: ahead.insert(conversation.id)
            case .ahead, .diverged, .foreign: throw expired(conversation.name)
            }
        }
    }

    func expired(_ name: String) -> CommandFailure {
        CommandFailure(
            .invalidData, code: "cursor_expired",
            "the server was restored from a backup, and '\(name)' continues differently, so this watch has lost "
                + "its place; forget it with 'natter watch drop \(Delivery.quoted(place.title))' to start at the newest messages"
        )
    }

    /// Passes over a message without saving that.
    mutating func pass(_ conversation: ConversationID, to seq: Seq) { seqs[conversation] = seq }

    /// Saves that everything up to a message is done.
    mutating func move(_ conversation: ReplicaConversation, to seq: Seq, in replica: Replica) throws {
        seqs[conversation.id] = seq
        // Next to a gap, the hash chain is unknown. The former position is safe.
        if let cursor = try replica.cursor(at: seq, of: conversation) { cursors[conversation.id] = cursor }
        try save()
    }

    private func save() throws { try file.write(.all(store, cursors)) }
}
