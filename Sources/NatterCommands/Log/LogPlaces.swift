internal import NatterArchive
internal import NatterCLI
internal import NatterClient
internal import NatterModel

/// Where a reader with a cursor file goes on, and what the file says afterwards.
struct LogPlaces {
    private let file: CursorFile
    private let scope: LogRequest.Scope
    private let stored: CursorFile.Content
    /// What the file holds now.
    private var written: CursorFile.Content

    /// Where the reader of a conversation goes on; nil from the start.
    func start(of conversation: ConversationID) -> Seq? { cursor(of: conversation)?.seq }

    /// Reads the file.
    ///
    /// - Throws: 65 if it is of the other kind, or holds no cursor.
    init(path: String, scope: LogRequest.Scope) throws {
        file = CursorFile(path: path)
        self.scope = scope
        stored = try file.read()
        written = stored
        switch (scope, stored) {
        case (.all, .conversation):
            throw failure("is of one conversation; name that, or use another file with --all")
        case (.conversation, .all): throw failure("is of --all; use another file for one conversation")
        default: break
        }
    }

    private func failure(_ problem: Phrase, code: String = "bad_cursor") -> CommandFailure {
        CommandFailure(.invalidData, code: code, "the cursor file '\(file.path)' \(problem)")
    }

    /// Puts the walk where the file says.
    ///
    /// - Parameter isCurrent: whether the replica has all that the server has.
    /// - Returns: the conversations that can be read on from there.
    /// - Throws: 65 for a cursor of another conversation or store, or of a history that is no more.
    func place(
        _ walk: inout LogWalk, _ conversations: [ReplicaConversation], of replica: Replica, isCurrent: Bool
    ) throws -> [ReplicaConversation] {
        if case .all(let store, _) = stored, store != replica.location.store {
            throw failure("is of another server's store; use another file")
        }
        // It may well be of another one, so that going on would empty it.
        if case .conversation = stored, conversations.isEmpty {
            throw failure("is of another conversation than the one that was named; use another file")
        }
        return try conversations.filter { conversation in
            guard let cursor = cursor(of: conversation.id) else { return true }
            switch try replica.standing(of: cursor, in: conversation) {
            case .good(let seq), .unknown(let seq):
                guard seq.next >= conversation.first else {
                    throw failure(
                        "is at message \(seq) of '\(conversation.name)', but the earliest that is kept is "
                            + "\(conversation.first); empty it to begin there", code: "cursor_expired")
                }
                walk.place(conversation.id, at: seq)
                return true
            case .ahead(let seq):
                // With the server out of reach it may be right: then there is nothing new to know.
                guard isCurrent else { return false }
                throw failure(
                    "is at message \(seq) of '\(conversation.name)', which has only \(conversation.head); the server was "
                        + "put back. Empty it to begin from the start", code: "cursor_expired")
            case .diverged(let seq):
                throw failure(
                    "is at a message \(seq) of '\(conversation.name)' that is no more; the server was put back. Empty it "
                        + "to begin from the start", code: "cursor_expired")
            case .foreign: throw failure("is of another conversation than '\(conversation.name)'; use another file")
            }
        }
    }

    private func cursor(of conversation: ConversationID) -> MessageCursor? {
        switch stored {
        case .none: nil
        case .conversation(let cursor): cursor
        case .all(_, let cursors): cursors[conversation]
        }
    }

    /// Replaces the file by where the walk is now, after its output was flushed. What is not in the replica keeps its
    /// place.
    mutating func save(_ walk: LogWalk, _ conversations: [ReplicaConversation], of replica: Replica) throws {
        var cursors: [ConversationID: MessageCursor] = [:]
        if case .all(_, let former) = written { cursors = former }
        if case .conversation(let former) = written, let only = conversations.first { cursors[only.id] = former }
        for conversation in conversations {
            guard let seq = walk.positions[conversation.id], cursors[conversation.id]?.seq != seq else { continue }
            // Beside a hole the chain is not known; the former place is safe.
            if let cursor = try replica.cursor(at: seq, of: conversation) { cursors[conversation.id] = cursor }
        }
        let content: CursorFile.Content
        switch scope {
        case .all: content = .all(replica.location.store, cursors)
        case .conversation: content = cursors.first.map { .conversation($0.value) } ?? written
        }
        try file.write(content)
        written = content
    }
}
