internal import NatterModel
internal import NatterStore

/// The places of the lines that name a seq, for those that are about others. Seqs that rise one by one take one entry.
struct ImportPlaces {
    private struct Run {
        let seq: UInt64
        let place: ImportedPlace
        var count: UInt64

        func place(at index: UInt64) -> ImportedPlace {
            switch place {
            case .new(let first): .new(first &+ index)
            case .earlier(let first): .earlier(Seq(first.rawValue &+ index))
            }
        }
    }

    private var runs: [Run] = []
    /// The lines that are no texts, in rising order.
    private var others: [(seq: UInt64, kind: MessageKind)] = []
    /// The lines that others delete.
    private var deleted: Set<UInt64> = []
    /// The lines that were left out, because they are of deleted messages.
    private var leftOut: Set<UInt64> = []

    /// - Parameters:
    ///   - seq: what the line calls itself.
    ///   - about: the line that it is about.
    ///   - place: where its message stands.
    mutating func add(_ seq: UInt64?, _ kind: MessageKind, about: UInt64?, at place: ImportedPlace) {
        defer { if kind == .delete, let about { deleted.insert(about) } }
        guard let seq else { return }
        beginAgain(before: seq)
        if kind != .text { others.append((seq, kind)) }
        if let last = runs.last, seq == last.seq &+ last.count, place == last.place(at: last.count) {
            runs[runs.count - 1].count += 1
        } else {
            runs.append(Run(seq: seq, place: place, count: 1))
        }
    }

    /// Notes a line that has no place.
    mutating func leaveOut(_ seq: UInt64?) {
        guard let seq else { return }
        beginAgain(before: seq)
        leftOut.insert(seq)
    }

    /// Forgets the lines so far if another export begins behind the first.
    private mutating func beginAgain(before seq: UInt64) {
        guard let last = runs.last, seq < last.seq &+ last.count else { return }
        (runs, others, deleted, leftOut) = ([], [], [], [])
    }

    /// The place of the message that a line is about.
    ///
    /// - Parameter kind: the kind of that line.
    /// - Returns: nil for an answer to a line that was left out. It becomes a plain message.
    /// - Throws: unless a message of this kind may be about the other one, as `Authority` decides for those that users send.
    func target(_ seq: UInt64, of kind: MessageKind) throws -> ImportedPlace? {
        if kind == .event { throw ImportError.badMessage(.eventAbout(seq)) }
        if leftOut.contains(seq) {
            if kind.isChange { throw ImportError.badMessage(.aboutDeleted(seq)) }
            return nil
        }
        guard let place = place(of: seq) else { throw ImportError.badMessage(.badAbout(seq)) }
        let index = others.indices.partitionPoint { others[$0].seq >= seq }
        if index < others.count, others[index].seq == seq {
            if others[index].kind.isChange { throw ImportError.badMessage(.aboutChange(seq)) }
            if kind == .edit { throw ImportError.badMessage(.aboutEvent(seq)) }
            if kind == .file { return nil }
            if kind == .text { throw ImportError.badMessage(.replyToEvent(seq)) }
        }
        if deleted.contains(seq) { throw ImportError.badMessage(.aboutDeleted(seq)) }
        return place
    }

    private func place(of seq: UInt64) -> ImportedPlace? {
        let behind = runs.indices.partitionPoint { runs[$0].seq > seq }
        guard behind > 0 else { return nil }
        let run = runs[behind - 1]
        return seq - run.seq < run.count ? run.place(at: seq - run.seq) : nil
    }
}
