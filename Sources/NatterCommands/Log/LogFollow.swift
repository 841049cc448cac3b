internal import NatterCommandLine
internal import NatterClient
internal import NatterModel

/// Prints new messages until interrupted. It repeats a sync that waits, then prints the new messages. It survives
/// restarts of the server.
struct LogFollow {
    let context: Context
    let request: LogRequest
    let synced: SyncedReplica
    private let diverged: DivergedHistories

    /// Create it before the first message is printed.
    init(_ context: Context, _ request: LogRequest, _ synced: SyncedReplica) throws {
        (self.context, self.request, self.synced) = (context, request, synced)
        diverged = try DivergedHistories(synced.location)
    }

    /// Returns only when the requested number of messages is printed, or the reader has closed the output.
    ///
    /// - Parameter conversation: the requested conversation, if there is one already; nil with `--all`.
    func run(_ walk: inout LogWalk, places: inout LogPlaces?, of conversation: ConversationID?) throws {
        let reader = try ReaderWatch(context.console.output)
        var follower = ReplicaFollower(synced, isCurrent: false, tellsLock: true)
        var followed: NamedConversation?
        if case .conversation(let name) = request.scope { followed = NamedConversation(name: name, id: conversation) }
        while left(walk) > 0 {
            let report = try reader.whileWaiting { try follower.wait() }
            for gone in report?.gone ?? [] { synced.notes.tell(gone: gone.name, reason: gone.reason) }
            walk.isCurrent = follower.isCurrent
            if let replica = try follower.replica() { walk.replica = replica }
            try printNews(&walk, places: &places, of: &followed, isCurrent: follower.isCurrent)
            // It may have begun while they were printed.
            try diverged.check(walk)
        }
    }

    private func left(_ walk: LogWalk) -> Int {
        guard case .oldest(let count) = request.selection else { return .max }
        return max(0, count - walk.printed)
    }

    /// - Parameter followed: the only conversation, or nil for all.
    private func printNews(
        _ walk: inout LogWalk, places: inout LogPlaces?, of followed: inout NamedConversation?, isCurrent: Bool
    ) throws {
        var conversations: [ReplicaConversation]
        if followed != nil {
            conversations = try followed?.find(in: walk.replica, context).map { [$0] } ?? []
        } else {
            conversations = try walk.replica.conversations(includingGone: true)
        }
        try diverged.check(walk)
        // The file may have a position for a conversation that the user rejoined or that the replica lacked at the
        // start.
        let unplaced = conversations.filter { walk.positions[$0.id] == nil }
        if let places, !unplaced.isEmpty {
            let found = Set(try places.place(&walk, unplaced, of: walk.replica, isCurrent: isCurrent).map(\.id))
            conversations.removeAll { walk.positions[$0.id] == nil && !found.contains($0.id) }
        }
        // All messages that are printed from now on are new.
        if walk.mode == .history { walk.mode = context.wantsJSON ? .records : .news }
        conversations.removeAll { $0.head <= walk.positions[$0.id] ?? .zero }
        guard !conversations.isEmpty else { return }
        try walk.forward(conversations, limit: left(walk))
        try context.console.output.flush()
        try places?.save(walk, conversations, of: walk.replica)
    }
}
