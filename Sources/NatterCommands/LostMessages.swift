internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// The messages that a restored server has lost, and that a replica has set aside.
enum LostMessages {
    /// After a complete sync, checks the messages that were set aside and offers to send the user's own ones again.
    /// Nothing is sent automatically, because the user may already have written them again.
    static func offer(_ synced: SyncedReplica) {
        // An error here never fails the command. The next command tries again.
        do { try lookThrough(synced) } catch {
            synced.context.note(
                "could not check the messages that were set aside: "
                    + "\(error)")
        }
    }

    private static func lookThrough(_ synced: SyncedReplica) throws {
        let (context, location) = (synced.context, synced.location)
        let histories = try DivergedHistory.all(at: location).filter { !$0.isListed }
        guard !histories.isEmpty, let replica = try synced.replica() else { return }
        let outbox = try context.outbox()
        for history in histories {
            guard let now = try replica.conversation(history.conversation), !now.isGone else { continue }
            var offered = 0
            let (count, ownChanges) = try history.list(against: replica, now, own: location.user) { lost in
                offered = lost.count
                try outbox.park(
                    lost.map {
                        SendRequest(
                            conversation: now.name, conversationID: now.groupID, text: $0.text, id: $0.id,
                            about: $0.about?.rawValue)
                    }, code: "lost",
                    reason: "the server lost it when it was restored from a backup", at: context.now)
            }
            guard count > 0 else { continue }
            context.console.note(
                .plural(
                    count,
                    "\(count) message of '\(now.name)' now exists only in '\(history.directory)/messages.ndjson'",
                    "\(count) messages of '\(now.name)' now exist only in '\(history.directory)/messages.ndjson'"))
            if ownChanges > 0 {
                context.console.note(
                    .plural(
                        ownChanges,
                        "\(ownChanges) of them is an edit or a deletion of yours: look whether you want it again",
                        "\(ownChanges) of them are edits or deletions of yours: look whether you want them again"))
            }
            guard offered > 0 else { continue }
            context.console.note(
                .plural(
                    offered,
                    "\(offered) of them is yours: 'natter outbox retry' sends it again, 'natter outbox ls' shows it",
                    "\(offered) of them are yours: 'natter outbox retry' sends them again, 'natter outbox ls' shows them"
                ))
        }
    }
}
