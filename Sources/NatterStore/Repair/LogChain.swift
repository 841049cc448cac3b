internal import NatterSystem
internal import NatterLog
internal import NatterModel

/// The history of one conversation, joined from the blocks that were found, in any file and any number of times.
///
/// Each block names the hash of the chain before it and after it, which gives the order. If several blocks follow the
/// same hash, the chain takes the one that leads to the end that the index knows. If none does, it takes the
/// preferred one, and among equals the one with the latest commit.
struct LogChain {
    /// In the order of their seqs.
    private(set) var blocks: [SurveyedBlock] = []
    /// Seqs that no block holds: before the first block, and between two blocks.
    private(set) var holes: [ClosedRange<Seq>] = []
    private(set) var end: Seq
    private(set) var hash: Digest
    /// The chain before the first message that is kept.
    let hashBefore: Digest
    private(set) var commit = Commit.zero

    /// The end of a log according to the index.
    typealias Known = (seq: Seq, hash: Digest)
    /// The first message that is kept, and the chain before it if that is known.
    typealias Start = (seq: Seq, hashBefore: Digest?)

    /// - Parameters:
    ///   - start: blocks before it are left out.
    ///   - known: blocks behind this end are taken only if `agrees` accepts them.
    ///   - preference: the block with the higher value is taken if two are equal.
    ///   - agrees: whether a block behind the known end belongs to the acknowledged history.
    init(
        _ found: [SurveyedBlock], from start: Start, known: Known?,
        preference: (SurveyedBlock) -> Int, agrees: (SurveyedBlock) -> Bool
    ) {
        end = start.seq.previous
        hashBefore =
            start.hashBefore ?? found.first { $0.header.firstSeq == start.seq }?.header.hashBefore ?? known?.hash
            ?? .zero
        hash = hashBefore
        let confirmed = LogChain.confirmed(found, known)
        // A higher revision comes first, because the lower one holds what was erased since.
        func rank(_ block: SurveyedBlock) -> (Int, UInt32, Int, UInt64, UInt64) {
            (
                confirmed.contains(block.header.hashAfter) ? 1 : 0, block.header.revision, preference(block),
                block.header.lastCommit.rawValue,
                block.header.lastSeq.rawValue
            )
        }
        let confirmedRanges = found.filter { confirmed.contains($0.header.hashAfter) }.map(\.header.seqs)
        /// Whether the block overlaps a block that leads to the known end.
        func isInTheWay(_ block: SurveyedBlock) -> Bool {
            !confirmed.contains(block.header.hashAfter) && confirmedRanges.contains { $0.overlaps(block.header.seqs) }
        }
        // The best of the blocks with the same first seq comes first.
        var candidates = found.sorted {
            if $0.header.firstSeq != $1.header.firstSeq { return $0.header.firstSeq < $1.header.firstSeq }
            return rank($0) > rank($1)
        }[...]
        while let first = candidates.first?.header.firstSeq {
            let group = candidates.prefix { $0.header.firstSeq == first }
            candidates = candidates.dropFirst(group.count)
            // A block that begins before the end belongs to another history, or divides the same messages
            // differently.
            guard first > end else { continue }
            if first == end.next {
                guard let next = group.first(where: { $0.header.hashBefore == hash && isAllowed($0, known, agrees) })
                else { continue }
                append(next)
            } else if let next = group.first(where: { !isInTheWay($0) && isAllowed($0, known, agrees) }) {
                holes.append(end.next...first.previous)
                append(next)
            }
        }
    }

    private func isAllowed(_ block: SurveyedBlock, _ known: Known?, _ agrees: (SurveyedBlock) -> Bool) -> Bool {
        guard let known, block.header.lastSeq > known.seq else { return true }
        return agrees(block)
    }

    private mutating func append(_ block: SurveyedBlock) {
        blocks.append(block)
        (end, hash) = (block.header.lastSeq, block.header.hashAfter)
        commit = max(commit, block.header.lastCommit)
    }

    /// The hashes from which the known end can be reached, found by walking back from it.
    private static func confirmed(_ found: [SurveyedBlock], _ known: Known?) -> Set<Digest> {
        guard let known else { return [] }
        let byEnd = Dictionary(found.map { ($0.header.hashAfter, $0) }, uniquingKeysWith: { first, _ in first })
        var confirmed: Set<Digest> = []
        var next = byEnd[known.hash]
        while let block = next, confirmed.insert(block.header.hashAfter).inserted {
            next = byEnd[block.header.hashBefore]
        }
        return confirmed
    }
}

extension BlockHeader {
    var seqs: ClosedRange<Seq> { firstSeq...lastSeq }
}
