internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// Finds what an erasure must change in the log files of one conversation.
struct ErasurePlanner {
    private let reader: ArchiveReader
    private(set) var plan: RewritePlan
    private var texts: [Seq: ArraySlice<UInt8>] = [:]
    /// The dictionaries that hold something of an erased text.
    private var dictionaries: Set<DictionaryID> = []

    /// - Throws: `ArchiveError.damaged` if a block that must be written again can't be read.
    init(
        _ seqs: Set<Seq>, of conversation: ConversationIdentity, account: ErasedAccount?, isAgain: Bool,
        _ reader: ArchiveReader
    ) throws {
        (self.reader, plan) = (reader, RewritePlan(conversation: conversation))
        plan.account = account
        try findMessages(seqs, isAgain: isAgain)
    }

    /// The segments to write again, lowest first, and whether each needs a new dictionary.
    mutating func segments() throws -> [(row: SegmentRow, takesDictionary: Bool)] {
        guard !plan.messages.isEmpty else { return [] }
        try findRuns()
        let segments = try ArchiveRows.segments(of: plan.conversation.number, on: reader.connection)
        try findDictionaries(segments)
        let generations = try plan.blocks.reduce(into: [Seq: Int]()) { found, start in
            if let row = try row(start) { found[row.segmentSeq] = row.generation }
        }
        return segments.compactMap { segment in
            let takesDictionary = dictionaries.contains(segment.dictionary)
            guard takesDictionary || generations[segment.firstSeq] == segment.generation else { return nil }
            return (segment, takesDictionary)
        }
    }

    private func row(_ seq: Seq) throws -> BlockRow? {
        try ArchiveRows.block(containing: seq, of: plan.conversation.number, on: reader.connection)
    }

    private mutating func findMessages(_ seqs: Set<Seq>, isAgain: Bool) throws {
        var rest = seqs.sorted()[...]
        while let first = rest.first {
            guard let row = try row(first) else {
                rest = rest.dropFirst()
                continue
            }
            let here = rest.prefix { $0 <= row.lastSeq }
            rest = rest.dropFirst(here.count)
            let records = try reader.open(row, of: plan.conversation).records
            let fresh = here.filter { seq in
                guard let record = records[seq] else { return false }
                guard record.isErased else { return true }
                // An erased event may still name somebody.
                return !isAgain && plan.account?.isIn(record) ?? !(record.text.isEmpty && record.sender.isEmpty)
            }
            guard !fresh.isEmpty else { continue }
            plan.blocks.insert(row.firstSeq)
            plan.seeds.formUnion(records.seeds(of: Set(fresh)))
            for seq in fresh {
                guard let digest = records.digest(of: seq), let record = records[seq] else { continue }
                let author = record.uncounted == .sender ? String(decoding: record.sender, as: UTF8.self) : nil
                plan.messages.append((seq, digest, record.kind == .event, author))
                plan.lastCommit = max(plan.lastCommit, record.commit)
                texts[seq] = record.text
            }
        }
    }

    /// A run may begin in a block before and end in one behind.
    private mutating func findRuns() throws {
        for start in plan.blocks.sorted() {
            guard let row = try row(start) else { continue }
            var before = row.firstSeq.previous
            while let next = try takeNeighbour(before) { before = next.firstSeq.previous }
            var behind = row.lastSeq.next
            while let next = try takeNeighbour(behind) { behind = next.lastSeq.next }
        }
    }

    /// - Returns: the block with this seq, if it uses a withdrawn seed.
    private mutating func takeNeighbour(_ seq: Seq) throws -> BlockRow? {
        guard seq > .zero, let row = try row(seq), !plan.blocks.contains(row.firstSeq),
            try reader.open(row, of: plan.conversation).records.uses(plan.seeds)
        else { return nil }
        plan.blocks.insert(row.firstSeq)
        return row
    }

    /// Finds the dictionaries that hold something of an erased text and of no text that stays near it, or the text at its place.
    private mutating func findDictionaries(_ segments: [SegmentRow]) throws {
        let wanted = TextParts(of: texts.values)
        guard !wanted.isEmpty else { return }
        let near = try segmentsBehindTexts()
        var suspects: [(id: DictionaryID, parts: TextParts)] = []
        for row in segments where row.dictionary != .none && !dictionaries.contains(row.dictionary) {
            guard let dictionary = try ArchiveRows.dictionary(row.dictionary, on: reader.connection) else {
                // Nobody can tell what is in it.
                dictionaries.insert(row.dictionary)
                continue
            }
            let parts = wanted.found(in: dictionary.bytes[...])
            guard !parts.isEmpty else { continue }
            // The newest texts before a segment are in its dictionary one after the other, so that even a frequent word is at a
            // place that tells which message it was.
            if near.contains(row.firstSeq), texts.values.contains(where: { dictionary.holds($0) }) {
                dictionaries.insert(row.dictionary)
            } else {
                suspects.append((row.dictionary, parts))
            }
        }
        guard !suspects.isEmpty else { return }
        var own = wanted
        try removeRemaining(from: &own)
        for (id, parts) in suspects where parts.sharesAny(with: own) { dictionaries.insert(id) }
    }

    /// Removes the parts that other texts of the same segments have, too.
    private func removeRemaining(from parts: inout TextParts) throws {
        let seqs = plan.seqs
        let segments = Set(try plan.blocks.compactMap { try row($0)?.segmentSeq })
        for block in try ArchiveRows.allBlocks(of: plan.conversation.number, on: reader.connection)
        where segments.contains(block.segmentSeq) && !parts.isEmpty {
            guard let records = try? reader.open(block, of: plan.conversation).records else { continue }
            for index in 0..<records.count where !seqs.contains(records.firstSeq.advanced(by: index)) {
                parts.remove(foundIn: records[index].text)
            }
        }
    }

    /// The first seqs of the segments that hold an erased message, or begin at most a dictionary's length of text behind one.
    private func segmentsBehindTexts() throws -> Set<Seq> {
        var found: Set<Seq> = []
        for start in plan.blocks {
            var room = LogDictionary.maximumBytes
            var next: Seq? = start
            while let seq = next, let row = try row(seq) {
                found.insert(row.segmentSeq)
                if room < 0 { break }
                guard let records = try? reader.open(row, of: plan.conversation).records else { break }
                if row.firstSeq != start { room -= records.textBytes }
                next = row.lastSeq.next
            }
        }
        return found
    }
}

/// Parts of texts: each 8 bytes of them, as the trainer of dictionaries takes them, and whole texts that are shorter.
private struct TextParts {
    private static let partBytes = 8
    /// The parts as numbers, by their length.
    private var parts: [Int: Set<UInt64>] = [:]

    init(of texts: some Sequence<ArraySlice<UInt8>>) {
        for text in texts where !text.isEmpty {
            let length = min(text.count, TextParts.partBytes)
            var found = parts.removeValue(forKey: length) ?? []
            TextParts.scan(text, length) { found.insert($0) }
            parts[length] = found
        }
    }

    var isEmpty: Bool { parts.isEmpty }

    func found(in bytes: ArraySlice<UInt8>) -> TextParts {
        var found = self
        for (length, wanted) in parts {
            var here: Set<UInt64> = []
            TextParts.scan(bytes, length) { if wanted.contains($0) { here.insert($0) } }
            found.parts[length] = here.isEmpty ? nil : here
        }
        return found
    }

    mutating func remove(foundIn bytes: ArraySlice<UInt8>) {
        for length in Array(parts.keys) {
            // Taken out, or the first removal would copy all of it.
            guard var rest = parts.removeValue(forKey: length) else { continue }
            TextParts.scan(bytes, length) { rest.remove($0) }
            parts[length] = rest.isEmpty ? nil : rest
        }
    }

    func sharesAny(with other: TextParts) -> Bool {
        parts.contains { length, own in !own.isDisjoint(with: other.parts[length] ?? []) }
    }

    /// Visits each `length` bytes in a row.
    private static func scan(_ bytes: ArraySlice<UInt8>, _ length: Int, _ visit: (UInt64) -> Void) {
        let mask = length == partBytes ? UInt64.max : (1 << UInt64(length * 8)) - 1
        var (value, count): (UInt64, Int) = (0, 0)
        for byte in bytes {
            value = value << 8 | UInt64(byte)
            count += 1
            if count >= length { visit(value & mask) }
        }
    }
}

extension LogDictionary {
    fileprivate func holds(_ text: ArraySlice<UInt8>) -> Bool { bytes[...].offset(ofPart: text) != nil }
}
