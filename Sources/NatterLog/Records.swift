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
    /// The message that an edit or a deletion is about.
    public var about: Seq?
    /// The commit that made it durable; zero if unknown.
    public var commit: Commit

    public init(
        seq: Seq, time: Timestamp, sender: [UInt8], text: ArraySlice<UInt8>, kind: MessageKind = .text,
        isImported: Bool = false, about: Seq? = nil, commit: Commit = .zero
    ) {
        (self.seq, self.time, self.sender, self.text) = (seq, time, sender, text)
        (self.kind, self.isImported, self.about, self.commit) = (kind, isImported, about, commit)
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
        var kind: UInt8
        var flags: UInt8
    }

    enum Flags {
        static let imported: UInt8 = 1
        static let known: UInt8 = imported
    }

    public private(set) var firstSeq: Seq
    var rows: [Row] = []
    var text: [UInt8] = []
    var senders: [[UInt8]] = []
    /// Sender numbers by name. Filled when the first record is appended, never for records that are only read.
    private var senderNumbers: [[UInt8]: UInt32] = [:]

    public init(firstSeq: Seq) { self.firstSeq = firstSeq }

    init(firstSeq: Seq, rows: [Row], text: [UInt8], senders: [[UInt8]]) {
        (self.firstSeq, self.rows, self.text, self.senders) = (firstSeq, rows, text, senders)
    }

    public var count: Int { rows.count }
    public var isEmpty: Bool { rows.isEmpty }
    /// The highest seq; the seq before the first if there is no record.
    public var lastSeq: Seq { rows.isEmpty ? firstSeq.previous : firstSeq.advanced(by: rows.count - 1) }
    public var textBytes: Int { text.count }
    /// The approximate length of the uncompressed columns.
    public var estimatedBytes: Int { text.count + rows.count * Records.estimatedRowBytes }
    /// The approximate size of a message in the columns other than the text.
    private static let estimatedRowBytes = 8

    public mutating func append(
        time: Timestamp, sender: [UInt8], text bytes: some Collection<UInt8>, kind: MessageKind = .text,
        isImported: Bool = false, about: Seq? = nil, commit: Commit
    ) {
        if senderNumbers.isEmpty, !senders.isEmpty {
            for (number, name) in senders.enumerated() { senderNumbers[name] = UInt32(number) }
        }
        let number: UInt32
        if let known = senderNumbers[sender] {
            number = known
        } else {
            number = UInt32(senders.count)
            senders.append(sender)
            senderNumbers[sender] = number
        }
        text.append(contentsOf: bytes)
        rows.append(
            Row(
                time: time.milliseconds, commit: commit.rawValue, about: about?.rawValue ?? 0, sender: number,
                textEnd: UInt32(text.count), kind: kind.rawValue, flags: isImported ? Flags.imported : 0))
    }

    public mutating func append(_ record: Record) {
        append(
            time: record.time, sender: record.sender, text: record.text, kind: record.kind,
            isImported: record.isImported, about: record.about, commit: record.commit)
    }

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
            commit: Commit(row.commit))
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

    public func time(at index: Int) -> Timestamp { Timestamp(milliseconds: rows[index].time) }
    public func commit(at index: Int) -> Commit { Commit(rows[index].commit) }
    public func kind(at index: Int) -> MessageKind { MessageKind(rawValue: rows[index].kind) }
    public func sender(at index: Int) -> [UInt8] { senders[Int(rows[index].sender)] }

    /// Calls `body` with the bytes of a text, without copying them. They are valid only during the call.
    public func withText<Result>(
        at index: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        let range = textRange(index)
        return try text.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
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

    /// The number of records from `start` that make one block of about `targetBytes` uncompressed: at least one, and
    /// at most what fits into a block.
    public func blockCount(from start: Int, targetBytes: Int) -> Int {
        var bytes = 0
        var index = start
        while index < rows.count, index - start < BlockHeader.maximumCount {
            bytes += textRange(index).count + Records.estimatedRowBytes
            if bytes > targetBytes, index > start { break }
            index += 1
        }
        return index - start
    }

    /// The number of records with this commit or an earlier one. Commits never decrease within a conversation.
    public func count(upTo commit: Commit) -> Int {
        var low = 0
        var high = rows.count
        while low < high {
            let middle = (low + high) / 2
            if rows[middle].commit <= commit.rawValue { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The number of messages in `range` that this sender sent. Imported messages count for no sender.
    public func count(by sender: [UInt8], _ range: ClosedRange<Seq>) -> Int {
        guard let number = senders.firstIndex(of: sender) else { return 0 }
        let lower = range.lowerBound.distance(after: firstSeq)
        let upper = min(rows.count, range.upperBound.next.distance(after: firstSeq))
        guard lower < upper, range.upperBound >= firstSeq else { return 0 }
        return rows[lower..<upper].count { $0.sender == UInt32(number) && $0.flags & Flags.imported == 0 }
    }

    public var lowestTime: Timestamp { Timestamp(milliseconds: rows.lazy.map(\.time).min() ?? 0) }
    public var highestTime: Timestamp { Timestamp(milliseconds: rows.lazy.map(\.time).max() ?? 0) }
    /// The highest time that the server assigned; nil if all messages were imported.
    public var highestServerTime: Timestamp? {
        rows.lazy.filter { $0.flags & Flags.imported == 0 }.map(\.time).max().map { Timestamp(milliseconds: $0) }
    }
}
