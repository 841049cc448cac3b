/// Something that an operator may want to know of; a line of the service log. Never holds a password, a token or a text.
public struct Event: Sendable {
    public enum Level: Int, Sendable, Comparable, CaseIterable {
        case debug, info, warning, error

        public static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }
    }

    public let level: Level
    /// What happened, in words with underscores: `request`, `messages_accepted`, `recovered`.
    public let name: String
    public let fields: [(key: String, value: String)]

    public init(_ level: Level, _ name: String, _ fields: [(key: String, value: String)] = []) {
        (self.level, self.name, self.fields) = (level, name, fields)
    }
}

public typealias EventSink = @Sendable (Event) -> Void

extension Event.Level {
    public var name: String {
        switch self {
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        }
    }

    public init?(name: String) {
        guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = level
    }
}
