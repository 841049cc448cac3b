internal import NatterModel

/// The columns of a block before compression. See natter-log(5).
///
/// Each column is an id (one byte), a length (LEB128) and that many bytes. The ids rise.
///
///      id  column          for each message                               left out if
///     ---  --------------  ---------------------------------------------  ---------------
///       1  senders         (each distinct name: LEB128 length, UTF-8)
///       2  sender numbers  LEB128, index into the senders
///       3  times           LEB128 zigzag, difference from the one before
///       4  text lengths    LEB128
///       5  text            UTF-8
///       6  kinds           1 byte                                         all are text
///       7  flags           1 byte, bit 0 imported, bit 1 erased           all are 0
///       8  abouts          LEB128, seq minus the seq it is about; 0 none  all are 0
///       9  labels          (each distinct label: LEB128 length, UTF-8)        none has one
///      10  label numbers   LEB128, index into the labels plus 1; 0 none   none has one
///      11  delays          LEB128, ms from writing to sending; 0 none     all are 0
///      12  salts           see SaltRuns
///     128  commits         LEB128, difference from the one before         all are 0
///
/// The column of commits is empty if all messages have the header's commit. A reader skips an unknown id of 128 or more and
/// refuses a block with an unknown lower id.
enum BlockPayload {
    enum Column {
        static let senders: UInt8 = 1
        static let senderNumbers: UInt8 = 2
        static let times: UInt8 = 3
        static let textLengths: UInt8 = 4
        static let text: UInt8 = 5
        static let kinds: UInt8 = 6
        static let flags: UInt8 = 7
        static let abouts: UInt8 = 8
        static let labels: UInt8 = 9
        static let labelNumbers: UInt8 = 10
        static let delays: UInt8 = 11
        static let salts: UInt8 = 12
        /// The highest id that a reader must know.
        static let highest = salts
        static let commits: UInt8 = 128
        static let required: ClosedRange<UInt8> = 0...127
    }

    /// - Parameters:
    ///   - baseTime: the time that the first difference counts from.
    ///   - hidesCommits: leaves the column of commits out.
    static func encode(
        _ records: Records, _ range: Range<Int>, baseTime: Int64, hidesCommits: Bool = false
    ) -> [UInt8] {
        // Senders are numbered by first appearance, so that the same records always give the same bytes.
        var numbers = [UInt32](repeating: .max, count: records.senders.count)
        var senders: [UInt8] = []
        var senderCount: UInt32 = 0
        var senderNumbers: [UInt8] = []
        var times: [UInt8] = []
        var lengths: [UInt8] = []
        var kinds: [UInt8] = []
        var flags: [UInt8] = []
        var abouts: [UInt8] = []
        var commits: [UInt8] = []
        var formerTime = baseTime
        var formerCommit: UInt64 = 0
        for index in range {
            let row = records.rows[index]
            if numbers[Int(row.sender)] == .max {
                numbers[Int(row.sender)] = senderCount
                senderCount += 1
                let name = records.senders[Int(row.sender)]
                senders.append(counted: name)
            }
            LEB128.append(UInt64(numbers[Int(row.sender)]), to: &senderNumbers)
            LEB128.append(LEB128.zigzag(row.time &- formerTime), to: &times)
            formerTime = row.time
            LEB128.append(UInt64(records.textRange(index).count), to: &lengths)
            kinds.append(row.kind)
            flags.append(row.flags)
            LEB128.append(row.about == 0 ? 0 : records.firstSeq.advanced(by: index).rawValue &- row.about, to: &abouts)
            if hidesCommits { continue }
            LEB128.append(row.commit &- formerCommit, to: &commits)
            formerCommit = row.commit
        }
        let textStart = range.isEmpty ? 0 : records.textRange(range.lowerBound).lowerBound
        let textEnd = range.isEmpty ? 0 : records.textRange(range.upperBound - 1).upperBound

        var payload: [UInt8] = []
        payload.reserveCapacity(textEnd - textStart + senders.count + range.count * 12 + 64)
        func put(_ column: UInt8, _ bytes: some Collection<UInt8>) {
            payload.append(column)
            payload.append(counted: bytes)
        }
        put(Column.senders, senders)
        put(Column.senderNumbers, senderNumbers)
        put(Column.times, times)
        put(Column.textLengths, lengths)
        put(Column.text, records.text[textStart..<textEnd])
        if kinds.contains(where: { $0 != MessageKind.text.rawValue }) { put(Column.kinds, kinds) }
        if flags.contains(where: { $0 != 0 }) { put(Column.flags, flags) }
        if abouts.contains(where: { $0 != 0 }) { put(Column.abouts, abouts) }
        if !records.labels.isEmpty {
            let (labels, numbers) = encodeLabels(records, range)
            if !labels.isEmpty {
                put(Column.labels, labels)
                put(Column.labelNumbers, numbers)
            }
        }
        if !records.delays.isEmpty, range.contains(where: { records.delays[$0] != nil }) {
            var delays: [UInt8] = []
            for index in range { LEB128.append(records.delays[index] ?? 0, to: &delays) }
            put(Column.delays, delays)
        }
        put(Column.salts, records.salts.encode(range))
        // If all messages have the header's commit, the column is empty. An import compresses its blocks before it knows its
        // commit, and this keeps them valid.
        if formerCommit != 0 {
            let isOneCommit = range.allSatisfy { records.rows[$0].commit == formerCommit }
            put(Column.commits, isOneCommit ? [] : commits)
        }
        return payload
    }

    /// The distinct labels by first appearance, and the number of each record's label.
    private static func encodeLabels(_ records: Records, _ range: Range<Int>) -> (labels: [UInt8], numbers: [UInt8]) {
        var numbers = [UInt32](repeating: 0, count: records.labels.count + 1)
        var count: UInt32 = 0
        var labels: [UInt8] = []
        var column: [UInt8] = []
        for index in range {
            let label = Int(records.rows[index].label)
            if label > 0, numbers[label] == 0 {
                count += 1
                numbers[label] = count
                labels.append(counted: records.labels[label - 1])
            }
            LEB128.append(UInt64(numbers[label]), to: &column)
        }
        return (labels, column)
    }

    /// The bytes of a few columns by their ids.
    private struct Columns {
        private var all: [(id: UInt8, bytes: UnsafeRawBufferPointer)] = []

        mutating func append(_ id: UInt8, _ bytes: UnsafeRawBufferPointer) { all.append((id, bytes)) }

        subscript(id: UInt8) -> UnsafeRawBufferPointer? { all.first { $0.id == id }?.bytes }
    }

    /// Decodes the columns. Checks every rule of the format, and allocates no more than the bytes themselves can fill.
    ///
    /// - Parameter isUTF8: whether the column of texts is known to be UTF-8.
    static func decode(
        _ payload: UnsafeRawBufferPointer, header: BlockHeader, isUTF8 isKnown: Bool
    ) throws(FormatViolation) -> Records {
        let count = header.count
        var columns = Columns()
        var reader = ByteReader(payload)
        var formerID = 0
        while !reader.isAtEnd {
            guard let id = reader.byte(), let bytes = reader.countedBytes() else {
                throw FormatViolation("a column is cut short")
            }
            guard Int(id) > formerID else { throw FormatViolation("columns are out of order") }
            formerID = Int(id)
            if Column.required.contains(id), id > Column.highest { throw FormatViolation("column \(id) is unknown") }
            columns.append(id, bytes)
        }
        func column(_ id: UInt8) throws(FormatViolation) -> UnsafeRawBufferPointer {
            guard let bytes = columns[id] else { throw FormatViolation("column \(id) is missing") }
            return bytes
        }

        var senders: [[UInt8]] = []
        var names = ByteReader(try column(Column.senders))
        while !names.isAtEnd {
            guard senders.count < count, let name = names.countedBytes() else {
                throw FormatViolation("the senders are malformed")
            }
            // A message is small, but its sender is repeated with each of them.
            guard name.count <= Limits.senderBytes else { throw FormatViolation("a sender's name is too long") }
            senders.append(Array(name))
        }
        guard senders.allSatisfy({ $0.withUnsafeBytes(isUTF8) }) else {
            throw FormatViolation("a sender is not UTF-8")
        }
        guard areDistinct(senders) else { throw FormatViolation("a sender occurs twice") }

        let text = try column(Column.text)
        var senderNumbers = ByteReader(try column(Column.senderNumbers))
        // Each message has at least one byte there, so a wrong count can't allocate too much memory.
        guard senderNumbers.remaining >= count else { throw FormatViolation("the senders' numbers are cut short") }
        var rows: [Records.Row] = []
        rows.reserveCapacity(count)
        var times = ByteReader(try column(Column.times))
        var lengths = ByteReader(try column(Column.textLengths))
        var time = header.baseTime.milliseconds
        var textEnd: UInt64 = 0
        var highestSender: UInt64 = 0
        for _ in 0..<count {
            guard let sender = senderNumbers.leb128(), sender < UInt64(senders.count), sender <= highestSender else {
                throw FormatViolation("a sender's number is out of range")
            }
            if sender == highestSender { highestSender += 1 }
            guard let difference = times.leb128() else { throw FormatViolation("the times are cut short") }
            let (next, overflow) = time.addingReportingOverflow(LEB128.unzigzag(difference))
            guard !overflow, next >= header.lowestTime.milliseconds, next <= header.highestTime.milliseconds else {
                throw FormatViolation("a time is out of range")
            }
            time = next
            guard let length = lengths.leb128(), length <= UInt64(Limits.textBytes.upperBound) else {
                throw FormatViolation("a text's length is out of range")
            }
            textEnd += length
            guard textEnd <= UInt64(text.count) else { throw FormatViolation("the texts are cut short") }
            rows.append(
                Records.Row(
                    time: time, commit: 0, about: 0, sender: UInt32(sender), textEnd: UInt32(textEnd), kind: 0, flags: 0
                ))
        }
        guard senderNumbers.isAtEnd, times.isAtEnd, lengths.isAtEnd, textEnd == UInt64(text.count),
            highestSender == UInt64(senders.count)
        else { throw FormatViolation("a column is longer than its messages") }
        guard isKnown || isUTF8(text) else { throw FormatViolation("the text is not UTF-8") }
        // Each text must be UTF-8 by itself.
        for row in rows where Int(row.textEnd) < text.count && text[Int(row.textEnd)] & 0xC0 == 0x80 {
            throw FormatViolation("a text begins inside a character")
        }
        try fillOptional(columns, header: header, &rows)
        let labels = try decodeLabels(columns, &rows)
        let records = Records(
            firstSeq: header.firstSeq, rows: rows, text: Array(text), senders: senders, labels: labels,
            delays: try decodeDelays(columns, count: count),
            salts: try SaltRuns(decoding: column(Column.salts), count: count))
        try checkErased(records)
        return records
    }

    private static func fillOptional(
        _ columns: Columns, header: BlockHeader, _ rows: inout [Records.Row]
    ) throws(FormatViolation) {
        if let kinds = columns[Column.kinds] {
            guard kinds.count == rows.count else { throw FormatViolation("the kinds are malformed") }
            for index in rows.indices { rows[index].kind = kinds[index] }
        }
        if let flags = columns[Column.flags] {
            guard flags.count == rows.count, flags.allSatisfy({ $0 & ~Records.Flags.known == 0 }) else {
                throw FormatViolation("the flags are malformed")
            }
            for index in rows.indices {
                rows[index].flags = flags[index]
                // The hash chain says nothing about this flag, so it must not hide a text.
                guard flags[index] & Records.Flags.erased == 0 || lengthOfText(index, rows) == 0 || rows[index].isEvent
                else {
                    throw FormatViolation("an erased message has a text")
                }
            }
        }
        guard header.hasRelations == (columns[Column.abouts] != nil) else {
            throw FormatViolation("the header is wrong about relations")
        }
        if let abouts = columns[Column.abouts] {
            var reader = ByteReader(abouts)
            for index in rows.indices {
                let seq = header.firstSeq.advanced(by: index).rawValue
                guard let distance = reader.leb128(), distance < seq else {
                    throw FormatViolation("a message is about a seq that is out of range")
                }
                if distance > 0 { rows[index].about = seq - distance }
            }
            guard reader.isAtEnd else { throw FormatViolation("column \(Column.abouts) is longer than its messages") }
        }
        if let commits = columns[Column.commits], commits.isEmpty {
            for index in rows.indices { rows[index].commit = header.lastCommit.rawValue }
        } else if let commits = columns[Column.commits] {
            var reader = ByteReader(commits)
            var commit: UInt64 = 0
            for index in rows.indices {
                guard let difference = reader.leb128() else { throw FormatViolation("the commits are cut short") }
                let (next, overflow) = commit.addingReportingOverflow(difference)
                guard !overflow else { throw FormatViolation("a commit is out of range") }
                commit = next
                rows[index].commit = commit
            }
            guard reader.isAtEnd else { throw FormatViolation("column \(Column.commits) is longer than its messages") }
        }
        guard rows.last?.commit == header.lastCommit.rawValue else {
            throw FormatViolation("the last commit is not the header's")
        }
    }

    private static func lengthOfText(_ index: Int, _ rows: [Records.Row]) -> UInt32 {
        rows[index].textEnd - (index == 0 ? 0 : rows[index - 1].textEnd)
    }

    private static func decodeLabels(
        _ columns: Columns, _ rows: inout [Records.Row]
    ) throws(FormatViolation) -> [[UInt8]] {
        guard let labels = columns[Column.labels], let numbers = columns[Column.labelNumbers] else {
            guard columns[Column.labels] == nil, columns[Column.labelNumbers] == nil else {
                throw FormatViolation("a column of labels is missing")
            }
            return []
        }
        var names: [[UInt8]] = []
        var reader = ByteReader(labels)
        while !reader.isAtEnd {
            guard names.count < rows.count, let name = reader.countedBytes(), isUTF8(name) else {
                throw FormatViolation("the labels are malformed")
            }
            // As with senders, each message that has one repeats it in memory.
            guard name.count <= Limits.labelBytes.upperBound else { throw FormatViolation("a label is too long") }
            names.append(Array(name))
        }
        guard areDistinct(names) else { throw FormatViolation("a label occurs twice") }
        var numberReader = ByteReader(numbers)
        var highest: UInt64 = 0
        for index in rows.indices {
            guard let number = numberReader.leb128(), number <= UInt64(names.count), number <= highest + 1 else {
                throw FormatViolation("a label's number is out of range")
            }
            highest = max(highest, number)
            rows[index].label = UInt32(number)
        }
        guard numberReader.isAtEnd, highest == UInt64(names.count) else {
            throw FormatViolation("a column is longer than its messages")
        }
        return names
    }

    private static func decodeDelays(
        _ columns: Columns, count: Int
    ) throws(FormatViolation) -> [Int: UInt64] {
        guard let column = columns[Column.delays] else { return [:] }
        var reader = ByteReader(column)
        var delays: [Int: UInt64] = [:]
        for index in 0..<count {
            guard let delay = reader.leb128(), delay <= UInt64(Int64.max) else {
                throw FormatViolation("a delay is out of range")
            }
            if delay > 0 { delays[index] = delay }
        }
        guard reader.isAtEnd else { throw FormatViolation("column \(Column.delays) is longer than its messages") }
        return delays
    }

    /// An erased message has no sender, except an event, which names others than the erased account. One of which only the hash
    /// is stored is erased.
    private static func checkErased(_ records: Records) throws(FormatViolation) {
        for row in records.rows where row.flags & Records.Flags.erased != 0 && !row.isEvent {
            guard records.senders[Int(row.sender)].isEmpty else {
                throw FormatViolation("an erased message has a sender")
            }
        }
        for part in records.salts.parts where part.isErased {
            for row in records.rows[part.start..<part.end] {
                guard row.flags & Records.Flags.erased != 0 else {
                    throw FormatViolation("a message has only its hash, but is not erased")
                }
            }
        }
    }

    /// An array hashes its bytes one by one. That would take longer than all else about names.
    private struct Name: Hashable {
        let bytes: [UInt8]

        func hash(into hasher: inout Hasher) { bytes.withUnsafeBytes { hasher.combine(bytes: $0) } }
    }

    private static func areDistinct(_ names: [[UInt8]]) -> Bool {
        Set(names.lazy.map(Name.init)).count == names.count
    }

    /// The library checks bytes that are all ASCII much faster, as most pieces of a text are.
    static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            var piece = rest.prefix(512)
            // It ends between two characters. A run that goes on for longer than a character is not UTF-8.
            for _ in 0..<3 where piece.count < rest.count && rest[piece.endIndex] & 0xC0 == 0x80 { piece.removeLast() }
            let span = UnsafeRawBufferPointer(rebasing: piece).bindMemory(to: UInt8.self).span
            guard (try? UTF8Span(validating: span)) != nil else { return false }
            rest = rest[piece.endIndex...]
        }
        return true
    }
}
