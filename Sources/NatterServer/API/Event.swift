/// An event that an operator may want to know, written as one line of the service log. It never contains a password, a
/// token or a text.
public struct Event: Sendable {
    public enum Level: Int, Sendable, Comparable, CaseIterable {
        case debug, info, warning, error

        public static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }

        private static let names = ["debug", "info", "warning", "error"]

        public var name: String { Level.names[rawValue] }

        public init?(name: String) {
            guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
            self = level
        }
    }

    private enum Content: Sendable {
        case fields([(key: String, value: String)])
        /// The fields of a request, built only when they are read. Every request writes one such event.
        case request(RequestSummary)
    }

    public let level: Level
    /// The kind of event, in words joined by underscores: `request`, `listening`, `hook_failed`.
    public let name: String
    private let content: Content

    public init(_ level: Level, _ name: String, _ fields: [(key: String, value: String)] = []) {
        (self.level, self.name, content) = (level, name, .fields(fields))
    }

    init(_ summary: RequestSummary) {
        (level, name, content) = (summary.status >= 500 ? .warning : .debug, "request", .request(summary))
    }

    public var fields: [(key: String, value: String)] {
        switch content {
        case .fields(let fields): fields
        case .request(let summary): Event.fields(of: summary)
        }
    }

    /// Whether this is a request with this path. Asked of each request, so this compares bytes, as ``Route`` does.
    func isRequest(for path: String) -> Bool {
        guard case .request(let summary) = content, summary.target.utf8.starts(with: path.utf8) else { return false }
        return summary.pathText.utf8.elementsEqual(path.utf8)
    }

    private static func fields(of summary: RequestSummary) -> [(key: String, value: String)] {
        let microseconds = summary.durationMicroseconds
        var fields = [
            (key: "method", value: summary.method), ("target", summary.pathText), ("status", String(summary.status)),
            ("address", summary.remoteAddress), ("ms", "\(microseconds / 1_000).\((microseconds % 1_000) / 100)"),
            ("in", String(summary.bytesIn)), ("out", String(summary.bytesOut)),
        ]
        if let note = summary.note { fields.append(("note", note)) }
        fields += summary.facts
        if !summary.isComplete { fields.append(("complete", "false")) }
        return fields
    }
}

public typealias EventSink = @Sendable (Event) -> Void

extension RequestSummary {
    /// The target without its query. The query may contain search terms.
    fileprivate var pathText: String {
        target.utf8.firstIndex(of: UInt8(ascii: "?")).map { String(target[..<$0]) } ?? target
    }
}
