internal import NatterCommandLine
internal import NatterClient
internal import NatterModel

/// The histories that diverge from the server's while a command runs, because the server was restored from a backup. Another
/// command of the same home may have noticed that, so what this command's own syncs report is not enough.
struct DivergedHistories {
    private let location: ReplicaLocation
    private let known: Set<String>

    /// - Throws: `ReplicaError`.
    init(_ location: ReplicaLocation) throws {
        self.location = location
        known = Set(try DivergedHistory.all(at: location).map(\.directory))
    }

    /// The first of these conversations whose history has diverged since. Call after their heads are read and before their
    /// messages are.
    ///
    /// - Throws: `ReplicaError`.
    func first(where isFollowed: (ConversationID) -> Bool) throws -> DivergedHistory? {
        try DivergedHistory.all(at: location).first { !known.contains($0.directory) && isFollowed($0.conversation) }
    }

    /// Throws if a history was replaced. It can't be continued, because the numbers now belong to other messages.
    func check(_ walk: LogWalk) throws {
        guard let aside = try first(where: { walk.positions[$0] != nil }) else { return }
        let name = try walk.replica.conversation(aside.conversation)?.name ?? aside.conversation.description
        throw CommandFailure(
            .invalidData, code: "cursor_expired",
            "the server was restored from a backup, and '\(name)' continues differently; the former messages are in "
                + "'\(aside.directory)'. Run the command again")
    }
}
