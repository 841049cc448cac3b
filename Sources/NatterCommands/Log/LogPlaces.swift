internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel

/// The positions at which a reader with a cursor file continues, and the file's new content.
struct LogPlaces {
    private let file: CursorFile
    private let scope: LogRequest.Scope
    private let startsAtFirst: Bool
    private let note: (Phrase) -> Void
    private let stored: CursorFile.Content
    /// The current content of the file.
    private var written: CursorFile.Content

    /// The position in a conversation, or nil for the beginning.
    func start(of conversation: ConversationID) -> Seq? { cursor(of: conversation)?.seq }

    /// Reads the file.
    ///
    /// - Throws: 65 if the file is of the other kind or contains no cursor.
    ///
    /// - Parameters:
    ///   - startsAtFirst: whether a position below the first message that is kept is no error.
    ///   - note: tells which messages are left out then.
    init(path: String, scope: LogRequest.Scope, startsAtFirst: Bool, note: @escaping (Phrase) -> Void) throws {
        file = CursorFile(path: path)
        (self.scope, self.startsAtFirst, self.note) = (scope, startsAtFirst, note)
        stored = try file.read()
        written = stored
        switch (scope, stored) {
        case (.all, .conversation):
            throw failure("belongs to one conversation; name it, or use another file with --all")
        case (.conversation, .all): throw failure("belongs to --all; use another file for one conversation")
        default: break
        }
    }

    private func failure(_ problem: Phrase, code: String = "bad_cursor") -> CommandFailure {
        CommandFailure(.invalidData, code: code, "the cursor file '\(file.path)' \(problem)")
    }

    /// Moves the walk to the positions in the file.
    ///
    /// - Parameter isCurrent: whether the replica has everything that the server has.
    /// - Returns: the conversations that can be continued from there.
    /// - Throws: 65 for a cursor of another conversation or store, or of a replaced history.
    func place(
        _ walk: inout LogWalk, _ conversations: [ReplicaConversation], of replica: Replica, isCurrent: Bool
    ) throws -> [ReplicaConversation] {
        if case .all(let store, _) = stored, store != replica.location.store {
            throw failure("belongs to another server's store; use another file")
        }
        // The cursor may belong to another conversation, and continuing would empty the file.
        if case .conversation = stored, conversations.isEmpty {
            throw failure("belongs to another conversation than the one you named; use another file")
        }
        return try conversations.filter { conversation in
            guard let cursor = cursor(of: conversation.id) else { return true }
            switch try replica.standing(of: cursor, in: conversation) {
            case .good(let seq), .unknown(let seq):
                walk.place(conversation.id, at: seq, isStored: !startsAtFirst)
                return true
            case .notKept(let seq):
                guard startsAtFirst else { throw expired(conversation.name, seq, next: conversation.first) }
                note(
                    "messages \(seq.next) to \(conversation.first.previous) of '\(conversation.name)' are not kept any more"
                )
                walk.place(conversation.id, at: conversation.first.previous)
                return true
            case .ahead(let seq):
                // If the server was not reached, the cursor may be correct. Then there is nothing new to print.
                guard isCurrent else { return false }
                throw failure(
                    "is at message \(seq) of '\(conversation.name)', which has only \(conversation.head); the server "
                        + "was restored from a backup. Empty the file to start from the beginning; after that, "
                        + "'\(skip(conversation))' skips what is there now",
                    code: "cursor_expired")
            case .diverged(let seq):
                throw failure(
                    "is at message \(seq) of '\(conversation.name)', which no longer exists; the server was restored "
                        + "from a backup. Empty the file to start from the beginning; after that, "
                        + "'\(skip(conversation))' skips what is there now",
                    code: "cursor_expired")
            case .foreign:
                throw failure("belongs to another conversation than '\(conversation.name)'; use another file")
            }
        }
    }

    private func expired(_ name: String, _ seq: Seq, next: Seq) -> CommandFailure {
        failure(
            "is at message \(seq) of '\(name)', but the earliest kept message is \(next); --from-first starts there",
            code: "cursor_expired")
    }

    /// The command that moves an empty file behind all messages.
    private func skip(_ conversation: ReplicaConversation) -> String {
        let words =
            switch scope {
            case .all: "--all"
            case .conversation: Delivery.quoted(conversation.name)
            }
        return "natter log \(words) --cursor-file \(Delivery.quoted(file.path)) >/dev/null"
    }

    private func cursor(of conversation: ConversationID) -> MessageCursor? {
        switch stored {
        case .none: nil
        case .conversation(let cursor): cursor
        case .all(_, let cursors): cursors[conversation]
        }
    }

    /// Stores the walk's positions in the file, after the output was flushed. Conversations that are not in the replica
    /// keep their positions, and so do those in which another process has read further.
    ///
    /// - Throws: 65, after that, if the walk had to stop at messages that are not kept any more.
    mutating func save(_ walk: LogWalk, _ conversations: [ReplicaConversation], of replica: Replica) throws {
        var cursors: [ConversationID: MessageCursor] = [:]
        if case .all(_, let former) = written { cursors = former }
        if case .conversation(let former) = written, let only = conversations.first { cursors[only.id] = former }
        for conversation in conversations {
            guard let seq = walk.positions[conversation.id], cursors[conversation.id]?.seq != seq else { continue }
            // Next to a gap, the hash chain is unknown. The former position is safe.
            if let cursor = try replica.cursor(at: seq, of: conversation) { cursors[conversation.id] = cursor }
        }
        let content: CursorFile.Content
        switch scope {
        case .all: content = .all(replica.location.store, cursors)
        case .conversation: content = cursors.first.map { .conversation($0.value) } ?? written
        }
        try file.advance(to: content)
        written = content
        if let (name, seq, next) = walk.expired { throw expired(name, seq, next: next) }
    }
}
