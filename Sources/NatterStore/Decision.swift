internal import NatterArchive

/// The result of an operation: changes, and events for the history of a group.
struct Decision: Sendable {
    var changes: [Change] = []
    var events: [Event] = []
    /// Blocks that were written for a change and are recorded with it.
    var blocks: [WrittenBlocks] = []
    /// Tails to write to the end of the log again.
    var movedTails = SealedBatch.empty

    struct Event: Sendable {
        /// `VERB` or `VERB NAME`.
        let text: String
        let conversation: Int64
        let actor: Principal
        /// The cost of the event for the limits of the actor.
        let cost: GroupEvent.Cost
    }

    static let nothing = Decision()

    init(_ changes: Change...) { self.changes = changes }

    mutating func append(_ change: Change) { changes.append(change) }

    mutating func append(_ event: GroupEvent, in conversation: Int64, by actor: Principal) {
        events.append(
            Event(text: event.text, conversation: conversation, actor: actor, cost: event.cost))
    }
}
