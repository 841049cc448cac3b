public import NatterModel

/// The conditions of a query, beside its words.
///
/// | condition | messages |
/// |---|---|
/// | `from:NAME`, `-from:NAME` | of this sender, of others; of any of them if there are several |
/// | `in:NAME`, `-in:NAME` | in this conversation, in others; in any of them if there are several |
/// | `after:TIME`, `before:TIME` | from that time on, before that time |
/// | `has:link`, `-has:link` | whose text has a link, has none |
/// | `has:file`, `-has:file` | that have files, have none |
public struct SearchConditions: Sendable, Equatable {
    /// Any of these; none for all.
    public private(set) var senders: [String] = []
    public private(set) var unwantedSenders: [String] = []
    /// Any of these, by the reader's names; none for all.
    public private(set) var conversations: [String] = []
    public private(set) var unwantedConversations: [String] = []
    /// Inclusive.
    public private(set) var since: Timestamp?
    /// Exclusive.
    public private(set) var until: Timestamp?
    /// nil for all messages.
    public private(set) var hasLink: Bool?
    public private(set) var hasFile: Bool?
    /// How many there are in the query.
    public private(set) var count = 0

    public var isEmpty: Bool { count == 0 }

    /// Adds a condition.
    ///
    /// - Returns: what 'OR' may join it with.
    mutating func add(
        _ condition: SearchCondition, _ time: (String) -> Timestamp?
    ) throws(SearchQueryError) -> SearchQuery.Joint {
        count += 1
        let (value, isNegative) = (condition.value, condition.isNegative)
        switch condition.key {
        case .from:
            let name = value.utf8.first == UInt8(ascii: "@") ? String(value.dropFirst()) : value
            if isNegative { unwantedSenders.append(name) } else { senders.append(name) }
            return isNegative ? .nothing : .sender
        case .in:
            let name = value.utf8.first == UInt8(ascii: "#") ? String(value.dropFirst()) : value
            if isNegative { unwantedConversations.append(name) } else { conversations.append(name) }
            return isNegative ? .nothing : .conversation
        case .before, .after:
            guard let moment = time(value) else { throw .badTime(value) }
            if (condition.key == .after) != isNegative {
                since = max(since ?? moment, moment)
            } else {
                until = min(until ?? moment, moment)
            }
        case .has:
            switch value.asWord.lowercased() {
            case "link": hasLink = !isNegative
            case "file": hasFile = !isNegative
            default: throw .badKind(value)
            }
        }
        return .nothing
    }

    /// The time of a day, which begins in UTC, or of a time in RFC 3339.
    public static func time(_ text: String) -> Timestamp? {
        Timestamp(rfc3339: text.asWord) ?? Timestamp(rfc3339: text.asWord + "T00:00:00Z")
    }

    /// Whether there is a link in a text, in UTF-8.
    public static func hasLink(in text: UnsafeRawBufferPointer) -> Bool {
        text.indices.dropFirst(4).contains { colon in
            guard text[colon] == UInt8(ascii: ":"), text[colon...].dropFirst().prefix(2).elementsEqual("//".utf8),
                text[colon...].dropFirst(3).first.map({ $0 > 0x20 }) ?? false
            else { return false }
            let scheme = text[..<colon].suffix(5).map(\.asciiLowercased)
            return scheme.elementsEqual("https".utf8) || scheme.suffix(4).elementsEqual("http".utf8)
        }
    }
}

/// A condition as it stands in a query, `KEY:VALUE`.
struct SearchCondition {
    enum Key: String {
        case from, `in`, before, after, has
    }

    /// How many bytes the longest key has.
    static let longestKey = 6

    let key: Key
    let value: String
    let isNegative: Bool
}
