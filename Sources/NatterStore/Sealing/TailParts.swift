internal import NatterConversation
internal import NatterSystem
internal import NatterLog
internal import NatterModel

/// The messages of a conversation that are not sealed yet, in parts. All parts but the last have the size of a block.
///
/// Readers keep copies while the writer appends. Only the last part ever changes, so an append copies one part at most,
/// and sealing removes whole parts. In one piece, a tail of a million messages would be copied for each commit.
struct TailParts: Sendable {
    private struct Part: Sendable {
        var records: Records
        let hashBefore: Digest
        /// The chain after each record.
        var hashes: [Digest] = []

        var block: OpenBlock { OpenBlock(records: records, hashBefore: hashBefore, hashes: hashes) }
    }

    private var full: [Part] = []
    private var last: Part

    // Stored, because asking a part of another object's tail copies all of the part first, and the sealer asks every tail.
    private(set) var firstSeq: Seq
    /// The seq before the first if there is no message.
    private(set) var lastSeq: Seq
    private(set) var firstCommit: Commit?
    private(set) var lastCommit: Commit?
    /// The chain after the last message.
    private(set) var hash: Digest
    /// The approximate length of the uncompressed columns.
    private(set) var estimatedBytes = 0
    /// The extent of a tail with one part; nil for any other.
    private(set) var onlyExtent: RunExtent?

    /// - Parameter hash: the chain before `firstSeq`.
    init(firstSeq: Seq, hashBefore hash: Digest) {
        last = Part(records: Records(firstSeq: firstSeq), hashBefore: hash)
        (self.firstSeq, lastSeq, self.hash) = (firstSeq, firstSeq.previous, hash)
    }

    var isEmpty: Bool { firstCommit == nil }
    var count: Int { lastSeq.distance(after: firstSeq.previous) }
    var newest: (record: Record, hash: Digest)? { isEmpty ? nil : (last.records[last.records.count - 1], hash) }

    /// All parts, lowest first.
    var blocks: [OpenBlock] { isEmpty ? [] : full.map(\.block) + [last.block] }
    /// The parts to which nothing will be appended.
    var fullBlocks: [OpenBlock] { full.map(\.block) }

    /// The parts with messages up to a time, and the beginning of the next.
    func blocks(until time: Timestamp) -> [OpenBlock] {
        var found: [OpenBlock] = []
        for block in blocks {
            let count = (0..<block.records.count).first { block.records.time(at: $0) > time } ?? block.records.count
            if count == block.records.count {
                found.append(block)
                continue
            }
            if count > 0 {
                let hashes = block.hashes(0..<count)
                found.append(
                    OpenBlock(records: block.records.slice(0..<count), hashBefore: block.hashBefore, hashes: hashes))
            }
            break
        }
        return found
    }

    mutating func append(_ record: Record, hash: Digest) {
        if !last.records.isEmpty, !last.records.hasRoom(for: record) {
            full.append(last)
            last = Part(records: Records(firstSeq: record.seq), hashBefore: self.hash)
        }
        last.records.append(record)
        last.hashes.append(hash)
        (lastSeq, lastCommit, self.hash) = (record.seq, record.commit, hash)
        firstCommit = firstCommit ?? record.commit
        estimatedBytes = full.count * Block.targetRawBytes + last.records.estimatedBytes
        if !full.isEmpty {
            onlyExtent = nil
        } else if let extent = onlyExtent {
            onlyExtent = extent.appending(record.seq, record.time)
        } else {
            onlyExtent = RunExtent(last.records)
        }
    }

    /// Removes the messages up to a seq.
    ///
    /// - Parameter hash: the chain after it.
    mutating func drop(upTo seq: Seq, hash: Digest) {
        guard seq < lastSeq else {
            self = TailParts(firstSeq: seq.next, hashBefore: hash)
            return
        }
        full.removeFirst(full.prefix { $0.records.lastSeq <= seq }.count)
        // The sealer removes whole parts. A seal of another server may end anywhere.
        if let first = full.first {
            full[0] = TailParts.rest(of: first, after: seq, hash)
        } else {
            last = TailParts.rest(of: last, after: seq, hash)
        }
        onlyExtent = full.isEmpty ? RunExtent(last.records) : nil
        let first = (full.first ?? last).records
        (firstSeq, firstCommit) = (first.firstSeq, first.firstCommit)
        estimatedBytes = full.count * Block.targetRawBytes + last.records.estimatedBytes
    }

    private static func rest(of part: Part, after seq: Seq, _ hash: Digest) -> Part {
        guard let index = part.records.index(of: seq) else { return part }
        return Part(
            records: part.records.slice(index + 1..<part.records.count), hashBefore: hash,
            hashes: Array(part.hashes[(index + 1)...]))
    }

    /// The part that contains a message; nil if none does.
    func block(containing seq: Seq) -> OpenBlock? {
        guard seq >= firstSeq, seq <= lastSeq else { return nil }
        return part(before: { $0.firstSeq <= seq }).block
    }

    /// The number of messages with this commit or an earlier one.
    func count(upTo commit: Commit) -> Int {
        guard !isEmpty else { return 0 }
        let records = part(before: { ($0.firstCommit ?? commit) <= commit }).records
        return records.firstSeq.distance(after: firstSeq) + records.count(upTo: commit)
    }

    /// The last part that satisfies a condition which the parts satisfy up to some place; else the first part.
    private func part(before satisfies: (Records) -> Bool) -> Part {
        if full.isEmpty || satisfies(last.records) { return last }
        return full[max(0, full.indices.partitionPoint { !satisfies(full[$0].records) } - 1)]
    }
}

/// The facts about messages that stay in memory when the messages move to a log file.
struct SealedContent: Sendable {
    /// The highest time that the server itself assigned; nil if all messages were imported.
    private(set) var serverTime: Timestamp?
    /// How many texts each user has written, apart from imported ones and those sent by a program. The empty name has the
    /// number of messages that are no texts.
    private(set) var sent: [String: Int] = [:]
    /// The records that are about others. Their rows were written when they were posted, except for a rebuilt index.
    private(set) var relations: [Relation] = []

    init(serverTime: Timestamp? = nil, sent: [String: Int] = [:]) { (self.serverTime, self.sent) = (serverTime, sent) }

    init(_ records: Records) { add(records) }

    init(_ parts: [OpenBlock]) { for part in parts { add(part.records) } }

    mutating func add(_ other: SealedContent) {
        if let highest = other.serverTime { serverTime = max(serverTime ?? highest, highest) }
        for (sender, count) in other.sent { sent[sender, default: 0] += count }
        relations += other.relations
    }

    mutating func add(_ records: Records) {
        if let highest = records.highestServerTime { serverTime = max(serverTime ?? highest, highest) }
        for index in 0..<records.count {
            let uncounted = records.uncounted(at: index)
            if uncounted == .everyone { sent["", default: 0] += 1 }
            // A sender without a text is noted, too, so that a rebuild finds the account.
            guard !records.isImported(at: index), records.sender(at: index).first != ErasedAccount.mark else {
                continue
            }
            sent[String(decoding: records.sender(at: index), as: UTF8.self), default: 0] += uncounted == .sender ? 1 : 0
        }
        relations += Relation.all(of: records)
    }
}
