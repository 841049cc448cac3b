public import NatterModel

/// The messages of a conversation for which an export has no line: those that are not kept any more, and those that can't
/// be read. No line may be about one of them, because an import refuses that.
public struct ExportGaps: Sendable {
    private let first: Seq
    /// In rising order.
    private var ranges: [ClosedRange<Seq>] = []

    /// - Parameter first: the first message that is kept.
    public init(before first: Seq) { self.first = first }

    /// - Parameter range: messages behind all that were added before.
    public mutating func add(_ range: ClosedRange<Seq>) { ranges.append(range) }

    /// Whether a message is in a gap.
    public func has(_ seq: Seq) -> Bool {
        if seq < first { return true }
        let behind = ranges.indices.partitionPoint { ranges[$0].lowerBound > seq }
        return behind > 0 && ranges[behind - 1].contains(seq)
    }

    /// The line of a message that an import can take: a reply to a message in a gap becomes a plain message.
    ///
    /// - Returns: nil for an edit or a deletion of a message in a gap, which says nothing without it.
    public func line(_ line: ExportLine) -> ExportLine? {
        guard let about = line.about, has(Seq(about)) else { return line }
        if let kind = line.kind.flatMap({ MessageKind(name: $0) }), kind.isChange { return nil }
        var line = line
        line.about = nil
        return line
    }
}
