public import NatterModel

/// One message as a log stores it.
public struct Record: Equatable, Sendable {
    public var seq: Seq
    public var time: Timestamp
    /// UTF-8. The name of an account; any label for an imported message.
    public var sender: [UInt8]
    /// UTF-8.
    public var text: ArraySlice<UInt8>
    public var kind: MessageKind
    public var isImported: Bool
    /// The message that a reply, an edit or a deletion is about.
    public var about: Seq?
    /// UTF-8. The label of the token that sent it; nil if a login sent it.
    public var via: [UInt8]?
    /// When it was written, if that was long before it was sent.
    public var written: Timestamp?
    /// Whether its text and its sender were removed.
    public var isErased: Bool
    /// The commit that made it durable; zero if unknown.
    public var commit: Commit
    /// The salt that its hash needs besides these fields.
    public var salt: SaltSource

    public init(
        seq: Seq, time: Timestamp, sender: [UInt8], text: ArraySlice<UInt8>, kind: MessageKind = .text,
        isImported: Bool = false, about: Seq? = nil, via: [UInt8]? = nil, written: Timestamp? = nil,
        isErased: Bool = false, commit: Commit = .zero, salt: SaltSource
    ) {
        self.salt = salt
        (self.seq, self.time, self.sender, self.text) = (seq, time, sender, text)
        (self.kind, self.isImported, self.about, self.commit) = (kind, isImported, about, commit)
        (self.via, self.written, self.isErased) = (via, written, isErased)
    }
}

/// Messages with consecutive seqs, stored by columns. Decompressed blocks and unsealed tails have this form.
///
/// A message takes 40 bytes and its text. No message is an object of its own.
public struct Records: Sendable {
    /// The fixed-width part of a message.
    struct Row: Equatable, Sendable {
        var time: Int64
        var commit: UInt64
        /// 0 for none.
        var about: UInt64
        var sender: UInt32
        /// The end of its text in `text`. Its text begins at the end of the text before.
        var textEnd: UInt32
        /// The place of its label in `labels`, plus 1; 0 for none.
        var label: UInt32 = 0
        var kind: UInt8
        var flags: UInt8

        var isEvent: Bool { kind == MessageKind.event.rawValue }
    }

    enum Flags {
        static let imported: UInt8 = 1
        static let erased: UInt8 = 2
        static let known: UInt8 = imported | erased
    }

    public private(set) var firstSeq: Seq
    var rows: [Row] = []
    var text: [UInt8] = []
    var senders: [[UInt8]] = []
    /// The labels of tokens, in the order of their first use. A store has few.
    var labels: [[UInt8]] = []
    /// How many milliseconds before its time a message was written, by position. Most have no entry.
    var delays: [Int: UInt64] = [:]
    var salts = SaltRuns()
    /// The lengths of all senders and labels. Each stands once in a block, but each message may have others.
    private var nameBytes = 0
    /// Sender numbers by name. Filled when the first record is appended, never for records that are only read.
    private var senderNumbers: [[UInt8]: UInt32] = [:]

    public init(firstSeq: Seq) { self.firstSeq = firstSeq }

    init(
        firstSeq: Seq, rows: [Row], text: [UInt8], senders: [[UInt8]], labels: [[UInt8]] = [],
        delays: [Int: UInt64] = [:], salts: SaltRuns
    ) {
        (self.firstSeq, self.rows, self.text, self.senders) = (firstSeq, rows, text, senders)
        (self.labels, self.delays, self.salts) = (labels, delays, salts)
        nameBytes = senders.reduce(0) { $0 + $1.count } + labels.reduce(0) { $0 + $1.count }
    }

    public var count: Int { rows.count }
    public var isEmpty: Bool { rows.isEmpty }
    /// The highest seq; the seq before the first if there is no record.
    public var lastSeq: Seq { rows.isEmpty ? firstSeq.previous : firstSeq.advanced(by: rows.count - 1) }
    public var textBytes: Int { text.count }
    /// The approximate length of the uncompressed columns.
    public var estimatedBytes: Int { text.count + nameBytes + rows.count * Records.estimatedRowBytes }
    /// The approximate size of a message in the other columns. At worst it is ten times as much, when a neighbour was erased and
    /// each message has a salt of its own, so as many messages as blocks of `Block.targetRawBytes` have always fit into one.
    private static let estimatedRowBytes = 8

    /// - Parameter salt: nil continues the run of the message before, or begins one.
    public mutating func append(
        time: Timestamp, sender: [UInt8], text bytes: some Collection<UInt8>, kind: MessageKind = .text,
        isImported: Bool = false, about: Seq? = nil, via: [UInt8]? = nil, written: Timestamp? = nil,
        isErased: Bool = false, commit: Commit, salt: SaltSource? = nil
    ) {
        let number = rows.last.flatMap { senders[Int($0.sender)] == sender ? $0.sender : nil } ?? senderNumber(sender)
        let source = salt ?? salts.next
        salts.append(source)
        text.append(contentsOf: bytes)
        if let delay = written.flatMap({ Records.delay(of: $0, before: time) }) { delays[rows.count] = delay }
        rows.append(
            Row(
                time: time.milliseconds, commit: commit.rawValue, about: about?.rawValue ?? 0, sender: number,
                textEnd: UInt32(text.count), label: via.map { labelNumber($0) } ?? 0, kind: kind.rawValue,
                flags: (isImported ? Flags.imported : 0) | (isErased ? Flags.erased : 0)))
    }

    private mutating func senderNumber(_ sender: [UInt8]) -> UInt32 {
        if senderNumbers.isEmpty, !senders.isEmpty {
            for (number, name) in senders.enumerated() { senderNumbers[name] = UInt32(number) }
        }
        if let known = senderNumbers[sender] { return known }
        let number = UInt32(senders.count)
        senders.append(sender)
        nameBytes += sender.count
        senderNumbers[sender] = number
        return number
    }

    private mutating func labelNumber(_ label: [UInt8]) -> UInt32 {
        // Compared from the end, because the same program often sends several messages in a row.
        if let known = labels.lastIndex(of: label) { return UInt32(known + 1) }
        labels.append(label)
        nameBytes += label.count
        return UInt32(labels.count)
    }

    /// How many milliseconds earlier a message was written; nil if it was not earlier.
    static func delay(of written: Timestamp, before time: Timestamp) -> UInt64? {
        let (delay, overflow) = time.milliseconds.subtractingReportingOverflow(written.milliseconds)
        return overflow || delay <= 0 ? nil : UInt64(delay)
    }

    public mutating func append(_ record: Record) {
        append(
            time: record.time, sender: record.sender, text: record.text, kind: record.kind,
            isImported: record.isImported, about: record.about, via: record.via, written: record.written,
            isErased: record.isErased, commit: record.commit, salt: record.salt)
    }

    /// Makes all commits unknown.
    public mutating func hideCommits() { for index in rows.indices { rows[index].commit = Commit.zero.rawValue } }

    public mutating func append(contentsOf others: Records) {
        rows.reserveCapacity(rows.count + others.count)
        for index in 0..<others.count { append(others[index]) }
    }

    /// The record at a position, 0 for the first.
    public subscript(index: Int) -> Record {
        let row = rows[index]
        return Record(
            seq: firstSeq.advanced(by: index), time: Timestamp(milliseconds: row.time),
            sender: senders[Int(row.sender)],
            text: text[textRange(index)], kind: MessageKind(rawValue: row.kind),
            isImported: row.flags & Flags.imported != 0, about: row.about == 0 ? nil : Seq(row.about),
            via: row.label == 0 ? nil : labels[Int(row.label) - 1], written: written(at: index),
            isErased: row.flags & Flags.erased != 0, commit: Commit(row.commit),
            salt: salts[index])
    }

    private func written(at index: Int) -> Timestamp? {
        delays.isEmpty
            ? nil : delays[index].map { Timestamp(milliseconds: rows[index].time &- Int64(truncatingIfNeeded: $0)) }
    }

    /// The record with this seq; nil if it is not here.
    public subscript(seq: Seq) -> Record? { index(of: seq).map { self[$0] } }

    public func index(of seq: Seq) -> Int? {
        guard seq >= firstSeq else { return nil }
        let index = Int(clamping: seq.rawValue - firstSeq.rawValue)
        return index < rows.count ? index : nil
    }

    func textRange(_ index: Int) -> Range<Int> {
        let start = index == 0 ? 0 : Int(rows[index - 1].textEnd)
        return start..<Int(rows[index].textEnd)
    }

    public func salt(at index: Int) -> SaltSource { salts[index] }
    public func time(at index: Int) -> Timestamp { Timestamp(milliseconds: rows[index].time) }
    /// Whether the times at `range` begin at `least` or later, and none goes back.
    public func timesRise(from least: Timestamp, _ range: Range<Int>) -> Bool {
        var high = least.milliseconds
        for row in rows[range] {
            if row.time < high { return false }
            high = row.time
        }
        return true
    }
    public var firstCommit: Commit? { rows.first.map { Commit($0.commit) } }
    public func kind(at index: Int) -> MessageKind { MessageKind(rawValue: rows[index].kind) }
    public func sender(at index: Int) -> [UInt8] { senders[Int(rows[index].sender)] }
    public func about(at index: Int) -> Seq? { rows[index].about == 0 ? nil : Seq(rows[index].about) }
    /// Whether a program sent it.
    public func hasLabel(at index: Int) -> Bool { rows[index].label != 0 }
    public func isErased(at index: Int) -> Bool { rows[index].flags & Flags.erased != 0 }
    public func isImported(at index: Int) -> Bool { rows[index].flags & Flags.imported != 0 }

    /// Whether no record is about another, has a label or a time of writing, or is erased.
    public var isPlain: Bool {
        labels.isEmpty && delays.isEmpty && rows.allSatisfy { $0.about == 0 && $0.flags & Flags.erased == 0 }
    }

    /// The positions of the records that are about other messages.
    public var aboutOthers: [Int] { rows.indices.filter { rows[$0].about != 0 } }

    /// Calls `body` with the bytes of a text, without copying them. They are valid only during the call.
    public func withText<Result>(
        at index: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        let range = textRange(index)
        return try text.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// The positions of the texts in which a search finds something, ascending.
    ///
    /// - Parameter search: gets all texts, joined, and reports offsets in them, each with a function that returns the offset to
    ///   go on from; nil to end.
    public func positions(_ search: (UnsafeRawBufferPointer, (Int) -> Int?) -> Void) -> [Int] {
        var found: [Int] = []
        var index = 0
        text.withUnsafeBytes { text in
            search(text) { offset in
                while index < rows.count, Int(rows[index].textEnd) <= offset { index += 1 }
                guard index < rows.count else { return nil }
                found.append(index)
                return Int(rows[index].textEnd)
            }
        }
        return found
    }

    /// About how many bytes a message takes in an answer of the API. A control character takes six in JSON.
    public func answerBytes(at index: Int) -> Int { withText(at: index) { Records.answerBytes(of: $0) } }

    public static func answerBytes(of text: String) -> Int {
        var text = text
        return text.withUTF8 { answerBytes(of: UnsafeRawBufferPointer($0)) }
    }

    private static func answerBytes(of text: UnsafeRawBufferPointer) -> Int {
        /// The bytes that an answer has for a message besides its text.
        let overhead = 320
        var bytes = overhead + text.count
        var place = text.endOfJSONRun(from: 0)
        while place < text.count {
            bytes += text[place] < 0x20 ? 5 : 1
            place = text.endOfJSONRun(from: place + 1)
        }
        return bytes
    }

    /// The texts of the newest messages, up to `limit` bytes in all, for the dictionary of the next segment.
    public func lastText(limit: Int) -> ArraySlice<UInt8> {
        var start = rows.count
        while start > 0 {
            let begin = textRange(start - 1).lowerBound
            if text.count - begin > limit { break }
            start -= 1
        }
        return start == rows.count ? [] : text[textRange(start).lowerBound...]
    }

    /// A copy of the records at `range`.
    public func slice(_ range: Range<Int>) -> Records {
        if range == 0..<count { return self }
        var part = Records(firstSeq: firstSeq.advanced(by: range.lowerBound))
        part.rows.reserveCapacity(range.count)
        for index in range { part.append(self[index]) }
        return part
    }

    /// Whether one block has room for these records and one more.
    public func hasRoom(for record: Record) -> Bool {
        hasRoom(textBytes: record.text.count, sender: record.sender, via: record.via)
    }

    /// Whether one block has room for these records and one that is not made yet.
    public func hasRoom(textBytes: Int, sender: [UInt8], via: [UInt8]?) -> Bool {
        let least = estimatedBytes + textBytes + Records.estimatedRowBytes
        guard count < BlockHeader.maximumCount, least <= Block.targetRawBytes else { return false }
        // Which names are new is looked up only where that decides.
        if least + sender.count + (via?.count ?? 0) <= Block.targetRawBytes { return true }
        let label = via.flatMap { labels.contains($0) ? nil : $0.count } ?? 0
        return least + label + (senders.contains(sender) ? 0 : sender.count) <= Block.targetRawBytes
    }

    /// The number of records from `start` that make one block of about `targetBytes` uncompressed: at least one, and
    /// at most what fits into a block.
    public func blockCount(from start: Int, targetBytes: Int = Block.targetRawBytes) -> Int {
        var bytes = 0
        var index = start
        var hasSender = [Bool](repeating: false, count: senders.count)
        var hasLabel = [Bool](repeating: false, count: labels.count + 1)
        while index < rows.count, index - start < BlockHeader.maximumCount {
            let (sender, label) = (Int(rows[index].sender), Int(rows[index].label))
            bytes += textRange(index).count + Records.estimatedRowBytes
            if !hasSender[sender] { bytes += senders[sender].count }
            if label > 0, !hasLabel[label] { bytes += labels[label - 1].count }
            if bytes > targetBytes, index > start { break }
            (hasSender[sender], hasLabel[label]) = (true, true)
            index += 1
        }
        return index - start
    }

    /// The number of records with this commit or an earlier one. Commits never decrease within a conversation.
    public func count(upTo commit: Commit) -> Int {
        rows.indices.partitionPoint { rows[$0].commit > commit.rawValue }
    }

    /// The users whose count of unread messages the record at a position does not raise.
    public enum Uncounted: Sendable, Equatable {
        /// A text that a program sent, which counts for everyone.
        case nobody
        /// A text that a user wrote, which counts for everyone else.
        case sender
        /// No text, or an imported one: history is no news.
        case everyone
    }

    public func uncounted(at index: Int) -> Uncounted {
        let row = rows[index]
        return Records.uncounted(
            row.kind, isImported: row.flags & Flags.imported != 0,
            hasNoAuthor: row.label != 0 || row.flags & Flags.erased != 0)
    }

    fileprivate static func uncounted(_ kind: UInt8, isImported: Bool, hasNoAuthor: Bool) -> Uncounted {
        if kind != MessageKind.text.rawValue || isImported { return .everyone }
        return hasNoAuthor ? .nobody : .sender
    }

    /// The number of messages in `range` that do not raise this user's count of unread messages: those that are no texts, and
    /// texts that the user wrote. A text that a program sent for the user counts.
    public func uncounted(for user: [UInt8], _ range: ClosedRange<Seq>) -> Int {
        let number = senders.firstIndex(of: user).map { UInt32($0) }
        let lower = range.lowerBound.distance(after: firstSeq)
        let upper = min(rows.count, range.upperBound.next.distance(after: firstSeq))
        guard lower < upper, range.upperBound >= firstSeq else { return 0 }
        return (lower..<upper).count { index in
            switch uncounted(at: index) {
            case .everyone: true
            case .nobody: false
            case .sender: rows[index].sender == number
            }
        }
    }

    public var lowestTime: Timestamp { Timestamp(milliseconds: rows.lazy.map(\.time).min() ?? 0) }
    public var highestTime: Timestamp { Timestamp(milliseconds: rows.lazy.map(\.time).max() ?? 0) }
    /// The highest time that the server assigned; nil if all messages were imported.
    public var highestServerTime: Timestamp? {
        rows.lazy.filter { $0.flags & Flags.imported == 0 }.map(\.time).max().map { Timestamp(milliseconds: $0) }
    }
}

extension Record {
    public var uncounted: Records.Uncounted {
        Records.uncounted(kind.rawValue, isImported: isImported, hasNoAuthor: via != nil || isErased)
    }
}
