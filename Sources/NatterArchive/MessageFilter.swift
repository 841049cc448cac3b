public import NatterLog
public import NatterModel

/// The condition for the messages that a reader wants.
public struct MessageFilter: Sendable {
    /// Exclusive.
    public var after = Seq.zero
    /// Exclusive.
    public var before: Seq?
    /// Inclusive.
    public var since: Timestamp?
    /// Exclusive.
    public var until: Timestamp?
    /// Only messages of this sender. Canonically equivalent names are equal; upper and lower case differ.
    public var sender: String?
    /// No messages of this sender.
    public var excludedSender: String?

    public init(after: Seq = .zero, before: Seq? = nil) { (self.after, self.before) = (after, before) }

    /// Whether every message between `after` and `before` is wanted.
    public var isPlain: Bool { since == nil && until == nil && sender == nil && excludedSender == nil }

    /// The last seq that can match in a conversation with this head.
    public func last(_ head: Seq) -> Seq { before.map { min(head, $0.previous) } ?? head }

    /// Whether messages with times in this range can match.
    public func mayMatch(low: Timestamp, high: Timestamp) -> Bool {
        if let since, high < since { return false }
        if let until, low >= until { return false }
        return true
    }
}

/// A filter prepared for checking many messages. It ignores the filter's seqs.
public struct MessageMatcher {
    private let filter: MessageFilter
    private let sender: SenderMatch?
    private let excluded: SenderMatch?

    public init(_ filter: MessageFilter) {
        self.filter = filter
        sender = filter.sender.map { SenderMatch($0) }
        excluded = filter.excludedSender.map { SenderMatch($0) }
    }

    public func matches(_ records: Records, _ index: Int) -> Bool {
        let time = records.time(at: index)
        if let since = filter.since, time < since { return false }
        if let until = filter.until, time >= until { return false }
        if let sender, !sender.matches(records.sender(at: index)) { return false }
        if let excluded, excluded.matches(records.sender(at: index)) { return false }
        return true
    }

    /// The first positions that match, at most `limit`, in the order of `candidates`.
    func positions(in records: Records, _ candidates: some Sequence<Int>, limit: Int) -> [Int] {
        if filter.isPlain { return Array(candidates.prefix(limit)) }
        var positions: [Int] = []
        for position in candidates where matches(records, position) {
            positions.append(position)
            if positions.count == limit { break }
        }
        return positions
    }
}

/// Compares senders with a name. It compares bytes first, which is nearly always enough.
private struct SenderMatch {
    private let name: String
    private let bytes: [UInt8]
    private let isASCII: Bool

    init(_ name: String) {
        self.name = name
        bytes = Array(name.utf8)
        isASCII = bytes.allSatisfy { $0 < 0x80 }
    }

    func matches(_ sender: [UInt8]) -> Bool {
        if sender == bytes { return true }
        return !isASCII && String(decoding: sender, as: UTF8.self) == name
    }
}
