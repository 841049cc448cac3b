internal import NatterCLI
internal import NatterClient
internal import NatterLanguage
internal import NatterModel
internal import NatterWire

extension Mirror {
    /// After a sync that has brought everything: looks through what was set aside since, and offers the user's own messages of
    /// it for sending again. Nothing is sent by itself: perhaps somebody has said it anew by now.
    func offerSurplus() {
        // What a command came for does not fail for it; the next one tries again.
        do { try lookThroughSurplus() } catch { context.note("what was set aside was not looked through: \(error)") }
    }

    private func lookThroughSurplus() throws {
        let asides = try ReplicaSurplus.all(at: location).filter { !$0.isListed }
        guard !asides.isEmpty, let replica = try replica() else { return }
        let outbox = try context.outbox(of: try context.login())
        for aside in asides {
            guard let now = try replica.conversation(aside.conversation), !now.isGone else { continue }
            var offered = 0
            let count = try aside.list(against: replica, now, own: location.user) { lost in
                offered = lost.count
                try outbox.park(
                    lost.map { SendRequest(conversation: now.name, text: $0.text, id: $0.id) }, code: "lost",
                    reason: "the server lost it when it was put back", at: context.now)
            }
            guard count > 0 else { continue }
            context.console.note(
                .plural(
                    count, "\(count) message of '\(now.name)' is only in '\(aside.directory)/messages.ndjson' now",
                    "\(count) messages of '\(now.name)' are only in '\(aside.directory)/messages.ndjson' now"))
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
