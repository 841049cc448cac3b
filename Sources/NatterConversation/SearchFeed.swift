internal import NatterSystem
public import NatterLog
public import NatterModel
public import NatterSearch

/// Adds messages of a log to the search index. `SearchScan` reads those that the index lacks.
public enum SearchFeed {
    /// Whether messages of this kind are searched. Events and unknown kinds are not.
    public static func isSearchable(_ kind: MessageKind) -> Bool { kind == .text || kind == .edit || kind == .file }

    /// Adds the messages of a log to the index, whole blocks at a time, oldest first.
    ///
    /// Missing messages and messages without a searchable text are added without text.
    ///
    /// - Parameters:
    ///   - next: the seq after the last indexed message.
    ///   - last: the last seq to add.
    ///   - limit: about how many messages to add.
    ///   - skipsDamage: whether damaged messages are added without text, so that later ones are indexed, and the conversation
    ///     loses its mark. Otherwise they end the call, so that each search reports them.
    ///   - isOver: called after each block; returns true to end early.
    /// - Returns: the last seq that was added.
    public static func add(
        _ reader: LogReader, from next: Seq, through last: Seq, limit: Int, skipsDamage: Bool,
        to writer: SearchWriter, isOver: () -> Bool = { false }
    ) throws -> Seq {
        let end = next.advanced(by: limit)
        var seq = next
        var known: (block: OpenBlock, position: Int)?
        var isDamaged = false
        try writer.add(reader.log.id, from: next) { rows in
            var time = Timestamp(milliseconds: 0)
            while seq <= last, seq < end, seq == next || !isOver() {
                let place = try reader.place(of: seq)
                var block: OpenBlock?
                do throws(ArchiveError) {
                    block = try reader.open(place)
                } catch {
                    guard skipsDamage else { return }
                    guard case .damaged = error else { throw error }
                    isDamaged = true
                }
                guard let block, let start = block.records.index(of: seq) else {
                    if block != nil, !skipsDamage { return }
                    if case .block(let row) = place { time = row.highTime }
                    let through = min(place.seqs.upperBound, last)
                    while seq <= through, seq < end {
                        try rows.append(time: time, text: [])
                        seq = seq.next
                    }
                    continue
                }
                let records = block.records
                for position in start..<records.count where seq <= last {
                    time = records.time(at: position)
                    let isAdded: Void? = try records.withSearchedText(at: position) {
                        try rows.append(time: time, text: $0)
                    }
                    if isAdded == nil { try rows.append(time: time, text: []) }
                    seq = seq.next
                    known = (block, position)
                }
            }
        }
        if isDamaged {
            try writer.noteDamage(of: reader.log.id)
        } else if let (block, position) = known {
            let mark = SearchIndex.Mark(
                seq: block.records.firstSeq.advanced(by: position), hashPrefix: block.hash(after: position).prefix)
            try writer.note(mark, of: reader.log.id)
        }
        return seq.previous
    }
}

extension LogReader {
    /// Whether an index has the messages of this log. One without a mark can't show it.
    public func agrees(with mark: SearchIndex.Mark?) throws(ArchiveError) -> Bool {
        guard let mark, mark.seq > .zero else { return false }
        return try hash(at: mark.seq)?.prefix == mark.hashPrefix
    }
}

extension Records {
    /// Calls `body` with what a search looks at, in UTF-8: a text, or the name of a file.
    ///
    /// - Returns: nil, without a call, for what no search may find.
    public func withSearchedText<Result>(
        at index: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result? {
        let kind = kind(at: index)
        guard SearchFeed.isSearchable(kind) else { return nil }
        guard kind == .file else { return try withText(at: index, body) }
        guard var name = withText(at: index, { FileRecord(line: $0)?.name }) else { return nil }
        return try name.withUTF8 { try body(UnsafeRawBufferPointer($0)) }
    }
}

extension SearchScan {
    /// Finds the matching messages of a block, highest first.
    public func matches(in block: OpenBlock, _ positions: ClosedRange<Int>) throws -> [Int] {
        let records = block.records
        return try matches(count: positions.count) { place, body in
            _ = try records.withSearchedText(at: positions.lowerBound + place, body)
        }.map { positions.lowerBound + $0 }
    }

    /// Finds the matching messages of a log, newest first, by reading all of them.
    ///
    /// - Parameters:
    ///   - unreadable: called with damaged and missing messages, which the scan skips.
    ///   - visit: called with each block that has matches, in falling positions; returns false to end the scan.
    /// - Returns: how many messages were read.
    @discardableResult
    public func scan(
        _ reader: LogReader, _ seqs: ClosedRange<Seq>, unreadable: (ClosedRange<Seq>) -> Void = { _ in },
        visit: (MessageRun) throws -> Bool
    ) throws -> Int {
        var count = 0
        try reader.backward(MessageFilter(after: seqs.lowerBound.previous, before: seqs.upperBound.next)) { piece in
            switch piece {
            case .missing(_, let seqs, _):
                unreadable(seqs)
                return true
            case .messages(let run):
                guard let last = run.positions.first, let first = run.positions.last else { return true }
                count += run.positions.count
                let positions = try matches(in: run.block, first...last)
                return try positions.isEmpty || visit(run.only(positions))
            }
        }
        return count
    }
}
