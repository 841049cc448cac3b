internal import NatterConversation
internal import NatterModel

/// A change of a group, as an event in its history.
enum GroupEvent {
    case created
    case renamed(from: String, to: String)
    case opened
    case closed
    case added(String)
    case removed(String)
    case joined
    case left
    case promoted(String)
    case demoted(String)
    case deleted
    /// How long its messages are kept.
    case retained(Retention)
    /// What it is about; nil for nothing.
    case topic(String?)

    /// `VERB`, `VERB NAME`, `renamed OLD NEW` or `topic TEXT`. Names contain no white space, so the text can be split into its
    /// words.
    var text: String {
        switch self {
        case .created: "created"
        case .renamed(let old, let new): "renamed \(old) \(new)"
        case .opened: "opened"
        case .closed: "closed"
        case .added(let name): "added \(name)"
        case .removed(let name): "removed \(name)"
        case .joined: "joined"
        case .left: "left"
        case .promoted(let name): "promoted \(name)"
        case .demoted(let name): "demoted \(name)"
        case .deleted: "deleted"
        case .retained(let retention): "retained \(retention)"
        case .topic(let topic): topic.map { "topic \($0)" } ?? "topic"
        }
    }

    /// The topic that the text of an event sets; nil if it is another event.
    static func topic(in text: String) -> String?? {
        let words = text.split(separator: " ", maxSplits: 1)
        return words.first == "topic" ? .some(words.dropFirst().first.map(String.init)) : nil
    }

    /// The entry of the audit log for the event, done to this group; nil if it needs no right.
    func audited(in group: ConversationState, by actor: Principal) -> (action: String, subject: String)? {
        switch self {
        case .created, .left: nil
        case .renamed(let old, let new): ("group_renamed", "\(old) \(new)")
        case .opened: ("group_opened", group.name)
        case .closed: ("group_closed", group.name)
        case .deleted: ("group_deleted", group.name)
        case .added(let name): ("member_added", "\(name) \(group.name)")
        case .joined: group.isOpen ? nil : ("member_added", "\(actor.name.text) \(group.name)")
        case .removed(let name): ("member_removed", "\(name) \(group.name)")
        case .promoted(let name): ("member_promoted", "\(name) \(group.name)")
        case .demoted(let name): ("member_demoted", "\(name) \(group.name)")
        case .retained(let retention): ("retention_set", "\(group.name) \(retention)")
        case .topic: ("topic_set", group.name)
        }
    }

    /// The kind of cost that an action has for the limits of its account.
    enum Cost {
        case message
        /// A user who is added to a group.
        case member
        /// It ends what was counted before.
        case nothing
    }

    var cost: Cost {
        switch self {
        case .renamed, .opened, .closed, .promoted, .demoted, .retained, .topic: .message
        case .created, .added, .joined: .member
        case .removed, .left, .deleted: .nothing
        }
    }
}

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

    /// - Parameter cost: nil for that of the event.
    mutating func append(
        _ event: GroupEvent, in conversation: Int64, by actor: Principal, cost: GroupEvent.Cost? = nil
    ) {
        events.append(
            Event(text: event.text, conversation: conversation, actor: actor, cost: cost ?? event.cost))
    }
}
