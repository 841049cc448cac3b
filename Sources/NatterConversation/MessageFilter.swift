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
    /// Only messages of these senders; of all if there are none. Upper and lower case are equal, and so are canonically equivalent
    /// names.
    public var senders: [String] = []
    /// Only what counts as unread for this user, whose name is spelled exactly so: messages of others, and those that a program
    /// sent for the user. History that was imported never does.
    public var unreadFor: String?
    /// No erased messages with these seqs. With `unreadFor`: those that were of that user.
    public var excludedErased: [ConversationID: Set<Seq>] = [:]
    /// Nothing before this place in the order of time; see `LogReader.newest`.
    public var newestFrom: TimePlace?
    /// No edits and deletions, except those that `changesUpTo` lets through.
    public var isFolded = false
    /// With `isFolded`: edits and deletions of messages up to these seqs are wanted. Whoever has seen a message wants to know
    /// that it changed.
    public var changesUpTo: [ConversationID: Seq] = [:]
    /// With `changesUpTo`: no edits of messages that were deleted since. The deletion says all.
    public var skipsEditsOfDeleted = false
    /// A condition for the text that people see now, as UTF-8. Only a reader of a log checks it.
    public var text: (@Sendable (UnsafeRawBufferPointer) throws -> Bool)?
    /// A condition for the texts of a block as they were sent, joined: no message of a block that does not meet it is wanted.
    public var textsOfBlock: (@Sendable (UnsafeRawBufferPointer) -> Bool)?

    public init(after: Seq = .zero, before: Seq? = nil) { (self.after, self.before) = (after, before) }

    /// Whether every message between `after` and `before` is wanted.
    public var isPlain: Bool { wantsAll && !isFolded }

    /// Whether it leaves out nothing but edits and deletions.
    public var wantsAll: Bool {
        since == nil && until == nil && senders.isEmpty && unreadFor == nil && text == nil && excludedErased.isEmpty
            && newestFrom == nil
    }

    /// The last seq that can match in a conversation with this head.
    public func last(_ head: Seq) -> Seq { before.map { min(head, $0.previous) } ?? head }

    /// Whether messages with times in this range can match.
    public func mayMatch(low: Timestamp, high: Timestamp) -> Bool {
        if let since, high < since { return false }
        if let until, low >= until { return false }
        if let newestFrom, high < newestFrom.time { return false }
        return true
    }
}

/// The place of a message in the order of time, in which imported history stands where it belongs.
public struct TimePlace: Sendable, Comparable {
    let time: Timestamp
    let conversation: ConversationID
    let seq: Seq

    public static func < (one: TimePlace, other: TimePlace) -> Bool {
        (one.time, one.conversation, one.seq) < (other.time, other.conversation, other.seq)
    }
}

/// A filter prepared for checking many messages. It ignores the filter's seqs.
public struct MessageMatcher {
    let filter: MessageFilter
    /// The wish that a block must fulfil.
    private(set) var wish: BlockWish
    private let senders: [SenderMatch]
    private let own: SenderMatch?
    private let excludedErased: Set<Seq>
    private let current: CurrentMessages?
    /// Edits and deletions of these messages are wanted.
    private let changed: ClosedRange<Seq>?
    private let reader: LogReader?
    /// That of the reader's log, because a copy of the log for each message costs more than the message.
    private let conversation: ConversationID?

    public init(_ filter: MessageFilter) { self.init(filter, in: nil) }

    /// - Parameter reader: the log that the messages belong to.
    init(_ filter: MessageFilter, in reader: LogReader?) {
        (self.filter, self.reader, conversation) = (filter, reader, reader?.log.id)
        let needsCurrent = filter.text != nil || !filter.senders.isEmpty || filter.unreadFor != nil
        current = needsCurrent ? reader.map { CurrentMessages($0) } : nil
        // A change of a message that is not kept any more says nothing. A replica may begin later than the server's log:
        // then the message is not here, but its reader may have seen it elsewhere.
        if let log = reader?.log, let last = filter.changesUpTo[log.id], last >= min(log.first, log.serverFirst) {
            changed = min(log.first, log.serverFirst)...last
        } else {
            changed = nil
        }
        let senders = filter.senders.map { SenderMatch($0, ignoresCase: true) }
        self.senders = senders
        // An erased message has no sender, but an edit of it may have.
        let isFolded = filter.isFolded
        wish = BlockWish(text: filter.textsOfBlock)
        if !senders.isEmpty {
            wish.sender = { name in isFolded && name.isEmpty || senders.contains { $0.matches(name) } }
        }
        own = filter.unreadFor.map { SenderMatch($0, ignoresCase: false) }
        excludedErased = reader.flatMap { filter.excludedErased[$0.log.id] } ?? []
    }

    public func matches(_ records: Records, _ index: Int) throws -> Bool {
        if filter.isFolded, records.kind(at: index) == .file { return false }
        if filter.isFolded, records.kind(at: index).isChange {
            guard let changed, let about = records.about(at: index), changed.contains(about),
                !records.isErased(at: index)
            else { return false }
            if filter.skipsEditsOfDeleted, records.kind(at: index) == .edit, try isDeleted(about) { return false }
        }
        let time = records.time(at: index)
        if let since = filter.since, time < since { return false }
        if let until = filter.until, time >= until { return false }
        if let place = filter.newestFrom, let conversation,
            TimePlace(time: time, conversation: conversation, seq: records.firstSeq.advanced(by: index)) < place
        {
            return false
        }
        if !senders.isEmpty || own != nil {
            let isFromEdit = filter.isFolded && records.isErased(at: index)
            let edit = isFromEdit ? try current?.newestEdit(of: records, index) : nil
            let name = edit?.sender ?? records.sender(at: index)
            if !senders.isEmpty, !senders.contains(where: { $0.matches(name) }) { return false }
            let hasLabel = edit.map { $0.via != nil } ?? records.hasLabel(at: index)
            if let own, records.isImported(at: index) || !hasLabel && own.matches(name) { return false }
        }
        if !excludedErased.isEmpty, records.isErased(at: index),
            excludedErased.contains(records.firstSeq.advanced(by: index))
        {
            return false
        }
        guard let text = filter.text, let current else { return true }
        if records.kind(at: index) == .edit, let about = records.about(at: index), try isDeleted(about) { return false }
        return try current.matches(records, index, text)
    }

    private func isDeleted(_ seq: Seq) throws -> Bool {
        try reader?.changes(seq...seq)[seq]?.isDeleted == true
    }

    /// The first positions that match, at most `limit`, in the order of `candidates`.
    func positions(in records: Records, _ candidates: some Sequence<Int>, limit: Int) throws -> [Int] {
        if filter.isPlain { return Array(candidates.prefix(limit)) }
        var positions: [Int] = []
        for position in candidates where try matches(records, position) {
            positions.append(position)
            if positions.count == limit { break }
        }
        return positions
    }
}

/// The present state of messages, as people see it, for a condition. It looks up the changes of one block at a time.
private final class CurrentMessages {
    private let reader: LogReader
    private let folder: MessageFolder
    private var known: (seqs: ClosedRange<Seq>, changes: [Seq: MessageChanges])?

    init(_ reader: LogReader) {
        self.reader = reader
        folder = MessageFolder(reader, folds: true)
    }

    func matches(
        _ records: Records, _ index: Int, _ condition: (UnsafeRawBufferPointer) throws -> Bool
    ) throws -> Bool {
        let kind = records.kind(at: index)
        guard kind == .text || kind == .edit else { return false }
        let seq = records.firstSeq.advanced(by: index)
        if kind == .text, let change = try changes(around: records, seq) {
            if change.isDeleted { return false }
            if change.newestEdit != nil, let newest = try folder.newestEdit(of: seq) {
                return try newest.text.withUnsafeBytes(condition)
            }
        }
        return try records.withText(at: index, condition)
    }

    /// The edit whose text and sender a message shows; nil if it shows its own, or is deleted.
    func newestEdit(of records: Records, _ index: Int) throws -> Record? {
        let seq = records.firstSeq.advanced(by: index)
        guard let change = try changes(around: records, seq), !change.isDeleted, change.newestEdit != nil else {
            return nil
        }
        return try folder.newestEdit(of: seq)
    }

    private func changes(around records: Records, _ seq: Seq) throws -> MessageChanges? {
        if let known, known.seqs.contains(seq) { return known.changes[seq] }
        let seqs = records.firstSeq...records.lastSeq
        let found = try reader.changes(seqs)
        known = (seqs, found)
        return found[seq]
    }
}

/// Compares senders with a name. Most senders are ASCII, and are compared by bytes.
struct SenderMatch: Sendable {
    private let exact: [UInt8]
    private let ignoresCase: Bool
    /// The name, or what it has in common with those of another case.
    private let key: String
    private let lowered: [UInt8]
    private let isASCII: Bool

    init(_ name: String, ignoresCase: Bool) {
        self.ignoresCase = ignoresCase
        exact = Array(name.utf8)
        key = ignoresCase ? NameRule.caseKey(name) : name
        isASCII = exact.allSatisfy { $0 < 0x80 }
        lowered = exact.map(\.asciiLowercased)
    }

    func matches(_ sender: [UInt8]) -> Bool {
        if sender == exact { return true }
        guard ignoresCase || !isASCII else { return false }
        guard isASCII, sender.allSatisfy({ $0 < 0x80 }) else {
            let name = String(decoding: sender, as: UTF8.self)
            return (ignoresCase ? NameRule.caseKey(name) : name) == key
        }
        return sender.count == lowered.count && zip(sender, lowered).allSatisfy { $0.asciiLowercased == $1 }
    }
}
