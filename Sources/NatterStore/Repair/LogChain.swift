internal import NatterCrypto
internal import NatterLog
internal import NatterModel

/// The history of one conversation, put together from blocks that were found, wherever and however often they were.
///
/// Each block says which hash of the chain it follows and which it leads to, so whole blocks find their order by themselves.
/// Where several follow, the one counts that leads to what the index knows; else the one that was written last.
struct LogChain {
    /// In the order of their seqs.
    private(set) var blocks: [SurveyedBlock] = []
    /// Between them, and before the first: seqs that no block holds.
    private(set) var holes: [ClosedRange<Seq>] = []
    private(set) var end = Seq.zero
    private(set) var hash: Digest
    private(set) var commit = Commit.zero

    /// What an index knows of the end of a log.
    struct Known {
        let seq: Seq
        let hash: Digest
    }

    /// - Parameters:
    ///   - known: what is behind it is taken only if `agrees` says so.
    ///   - preference: the higher, the rather one of two that are the same.
    ///   - agrees: whether a block behind the known end is of the history that was acknowledged.
    init(
        _ found: [SurveyedBlock], of conversation: ConversationID, known: Known?,
        preference: (SurveyedBlock) -> Int, agrees: (SurveyedBlock) -> Bool
    ) {
        hash = HashChain.start(of: conversation)
        let confirmed = LogChain.confirmed(found, known)
        func rank(_ block: SurveyedBlock) -> (Int, Int, UInt64, UInt64) {
            (
                confirmed.contains(block.header.hashAfter) ? 1 : 0, preference(block), block.header.lastCommit.rawValue,
                block.header.lastSeq.rawValue
            )
        }
        let confirmedRanges = found.filter { confirmed.contains($0.header.hashAfter) }.map(\.header.seqs)
        /// Whether it would take the place of what the index knows.
        func isInTheWay(_ block: SurveyedBlock) -> Bool {
            !confirmed.contains(block.header.hashAfter) && confirmedRanges.contains { $0.overlaps(block.header.seqs) }
        }
        // The best of those that begin with the same seq stands first.
        var candidates = found.sorted {
            if $0.header.firstSeq != $1.header.firstSeq { return $0.header.firstSeq < $1.header.firstSeq }
            return rank($0) > rank($1)
        }[...]
        while let first = candidates.first?.header.firstSeq {
            let group = candidates.prefix { $0.header.firstSeq == first }
            candidates = candidates.dropFirst(group.count)
            // One that begins inside of what is there already is of another history, or cut another way.
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

    /// The hashes that lead to what the index knows, followed back from there.
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
