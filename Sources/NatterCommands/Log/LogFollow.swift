internal import NatterCLI
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
        var connection = Reconnection()
        // Until its news are looked at, nothing waits.
        var seen: String?
        var followed: NamedConversation?
        if case .conversation(let name) = request.scope { followed = NamedConversation(name: name, id: conversation) }
        while left(walk) > 0 {
            var isCurrent = false
            var obstacle: (any Error)?
            do {
                let waitSeconds = seen == nil ? 0 : Reconnection.waitSeconds
                let report = try reader.whileWaiting { try synced.pull(waitSeconds: waitSeconds, waitsAt: seen) }
                for gone in report.gone { synced.tell(gone: gone.name, reason: gone.reason) }
                (isCurrent, obstacle) = (report.isComplete, report.interruption)
            } catch  where SyncedReplica.isTransient(error, hasSpoken: synced.hasSpoken) {
                obstacle = error
            }
            walk.isCurrent = isCurrent
            seen = try synced.cursor()
            if let replica = try synced.replica() { walk.replica = replica }
            try printNews(&walk, places: &places, of: &followed, isCurrent: isCurrent)
            // It may have begun while they were printed.
            try diverged.check(walk)
            if let obstacle {
                reader.whileWaiting { connection.pause(after: obstacle, context) }
            } else {
                connection = Reconnection()
            }
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

/// The pauses of a command that waits for new messages while it can't reach the server.
struct Reconnection {
    /// How long a request waits for new messages.
    static let waitSeconds = 25

    private var backoff = Backoff.following
    private var isNoted = false

    /// Sleeps after an error.
    mutating func pause(after error: any Error, _ context: Context) {
        Backoff.sleep(milliseconds: delay(after: error, context))
    }

    /// Prints a note after the first error.
    ///
    /// - Returns: how many milliseconds to wait.
    mutating func delay(after error: any Error, _ context: Context) -> Int64 {
        if !isNoted { context.note("\(SyncedReplica.reason(of: error)); retrying") }
        isNoted = true
        return backoff.next(after: error)
    }
}
