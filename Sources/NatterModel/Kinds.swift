/// What sort of conversation it is; the numbers stand in log files and in the database.
public enum ConversationKind: UInt8, Sendable, CaseIterable {
    /// Open to everyone; there is one of it.
    case general = 0
    case group = 1
    /// Between two users, or one user's notebook.
    case personal = 2

    public var name: String {
        switch self {
        case .general: "general"
        case .group: "group"
        case .personal: "personal"
        }
    }

    public init?(name: String) {
        guard let kind = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = kind
    }
}

/// What sort of message it is. Open-ended: a reader counts and skips numbers that it does not know.
public struct MessageKind: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let text = MessageKind(rawValue: 0)
    /// Something that happened to the conversation. Its text is `VERB` or `VERB NAME`, for example `added bob`.
    public static let event = MessageKind(rawValue: 1)
    /// A new text for the message that it is about.
    public static let edit = MessageKind(rawValue: 2)
    /// Takes back the message that it is about.
    public static let delete = MessageKind(rawValue: 3)

    public var name: String {
        switch self {
        case .text: "text"
        case .event: "event"
        case .edit: "edit"
        case .delete: "delete"
        default: "kind-\(rawValue)"
        }
    }

    public init?(name: String) {
        let known: [MessageKind] = [.text, .event, .edit, .delete]
        if let kind = known.first(where: { $0.name == name }) {
            self = kind
        } else if name.hasPrefix("kind-"), let number = UInt8(name.dropFirst(5)) {
            self.init(rawValue: number)
        } else {
            return nil
        }
    }
}
