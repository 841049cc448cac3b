internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
internal import NatterLanguage
internal import NatterLog
internal import NatterModel

/// The unsealed end of a conversation as it was at one moment.
struct Tail {
    let sealedSeq: Seq
    let sealedHash: Digest
    /// The commit of the last sealed message.
    let sealedCommit: Commit
    let records: Records
    let hashes: [Digest]

    init(_ conversation: ConversationState) {
        (sealedSeq, sealedHash) = (conversation.sealedSeq, conversation.sealedHash)
        sealedCommit = conversation.sealedCommit
        (records, hashes) = (conversation.tail, conversation.tailHashes)
    }

    var head: Seq { records.isEmpty ? sealedSeq : records.lastSeq }
}

/// A run of messages in memory, and the chain beside it.
struct Run {
    let records: Records
    let hashBefore: Digest
    /// The chain after each record, where it is kept.
    let hashes: [Digest]?

    /// The chain after each of the records in `range`.
    func hashes(_ range: Range<Int>) -> [Digest] {
        if let hashes { return Array(hashes[range]) }
        var hash = HashChain.advance(hashBefore, over: records, 0..<range.lowerBound)
        return range.map { index in
            hash = HashChain.advance(hash, over: records, index..<index + 1)
            return hash
        }
    }

    /// The chain after the record at `index`; -1 for the chain before the first.
    func hash(after index: Int) -> Digest {
        if index < 0 { return hashBefore }
        if let hashes { return hashes[index] }
        return HashChain.advance(hashBefore, over: records, 0..<index + 1)
    }
}

/// Reads the messages of one conversation as one reader sees them, log and tail alike, as of one moment.
struct MessageReader {
    let reader: ArchiveReader
    let conversation: ConversationIdentity
    /// What the reader calls it.
    let name: String
    let tail: Tail

    /// Blocks that one request unpacks at most while a filter finds nothing.
    static let blockBudget = 64

    /// The run that holds a seq, 1 to the head.
    func run(containing seq: Seq) throws(ArchiveError) -> Run {
        if seq > tail.sealedSeq { return Run(records: tail.records, hashBefore: tail.sealedHash, hashes: tail.hashes) }
        let row = try row(containing: seq)
        let block = try reader.open(row, of: conversation)
        return Run(records: block.records, hashBefore: block.hashBefore, hashes: nil)
    }

    func row(containing seq: Seq) throws(ArchiveError) -> BlockRow {
        let row: BlockRow?
        do throws(SQLiteError) {
            row = try ArchiveRows.block(containing: seq, of: conversation.number, on: reader.connection)
        } catch {
            throw .index(error)
        }
        guard let row else {
            throw .damaged(from: seq, to: try lastMissing(from: seq), detail: "no block holds message \(seq)")
        }
        return row
    }

    /// The end of the range without a block that begins at `seq`.
    private func lastMissing(from seq: Seq) throws(ArchiveError) -> Seq {
        do throws(SQLiteError) {
            let next = try ArchiveRows.blocks(
                seq...Seq(UInt64(Int64.max)), of: conversation.number, limit: 1, on: reader.connection
            ).first
            return min(next?.firstSeq.previous ?? tail.sealedSeq, tail.sealedSeq)
        } catch {
            throw .index(error)
        }
    }

    func message(_ record: Record, hash: Digest) -> Message {
        MessageReader.message(record, hash: hash, conversation: conversation, name: name)
    }

    static func message(
        _ record: Record, hash: Digest, conversation: ConversationIdentity, name: String
    ) -> Message {
        Message(
            conversation: name, conversationID: conversation.id, seq: record.seq,
            cursor: MessageCursor(conversation: conversation.id, seq: record.seq, hashPrefix: hash.prefix),
            time: record.time, sender: String(decoding: record.sender, as: UTF8.self),
            text: String(decoding: record.text, as: UTF8.self), kind: record.kind, about: record.about,
            isImported: record.isImported)
    }

    /// All messages of a range.
    func page(_ range: ClosedRange<Seq>) throws(ArchiveError) -> [Message] {
        var messages: [Message] = []
        var seq = range.lowerBound
        while seq <= min(range.upperBound, tail.head) {
            let run = try run(containing: seq)
            guard let start = run.records.index(of: seq) else { break }
            let end = min(run.records.count, start + range.upperBound.distance(after: seq) + 1)
            for (index, hash) in zip(start..<end, run.hashes(start..<end)) {
                messages.append(message(run.records[index], hash: hash))
            }
            seq = seq.advanced(by: end - start)
        }
        return messages
    }

    struct Filter {
        var since: Timestamp?
        var until: Timestamp?
        var sender: [UInt8]?

        var isEmpty: Bool { since == nil && until == nil && sender == nil }

        func matches(_ records: Records, _ index: Int) -> Bool {
            let time = records.time(at: index)
            if let since, time < since { return false }
            if let until, time >= until { return false }
            if let sender, records.sender(at: index) != sender { return false }
            return true
        }

        /// Whether a block with these times can hold a match.
        func mayMatch(_ row: BlockRow) -> Bool {
            if let since, row.highTime < since { return false }
            if let until, row.lowTime >= until { return false }
            return true
        }
    }

    struct Found {
        var messages: [Message] = []
        /// The last seq that was looked at.
        var scanned: Seq
    }

    /// Up to `limit` matches after a seq and before another, oldest first. Ends early rather than at a damaged block that
    /// does not come first.
    func forward(
        after: Seq, before: Seq, filter: Filter, limit: Int
    ) throws(ArchiveError) -> Found {
        let last = min(tail.head, before.previous)
        var found = Found(scanned: min(after, last))
        var budget = MessageReader.blockBudget
        var skipped = 0
        while found.scanned < last, found.messages.count < limit, budget > 0, skipped < 20_000 {
            let seq = found.scanned.next
            if seq <= tail.sealedSeq, !filter.isEmpty {
                let row = try row(containing: seq)
                if !filter.mayMatch(row) {
                    found.scanned = min(row.lastSeq, last)
                    skipped += 1
                    continue
                }
            }
            let run: Run
            do throws(ArchiveError) { run = try self.run(containing: seq) } catch {
                if case .damaged = error, !found.messages.isEmpty { return found }
                throw error
            }
            budget -= 1
            guard let start = run.records.index(of: seq) else { break }
            let end = min(run.records.count, start + last.distance(after: seq) + 1)
            var chosen: [Int] = []
            var index = start
            while index < end, found.messages.count + chosen.count < limit {
                if filter.matches(run.records, index) { chosen.append(index) }
                index += 1
            }
            append(chosen, of: run, to: &found.messages)
            found.scanned = seq.advanced(by: index - start - 1)
        }
        return found
    }

    /// Up to `limit` matches before a seq and after another, the newest of them; still oldest first.
    func backward(before: Seq, after: Seq, filter: Filter, limit: Int) throws(ArchiveError) -> Found {
        var found = Found(scanned: min(before, tail.head.next))
        var budget = MessageReader.blockBudget
        var skipped = 0
        var pieces: [[Message]] = []
        var count = 0
        while found.scanned > after.next, count < limit, budget > 0, skipped < 20_000 {
            let seq = found.scanned.previous
            if seq <= tail.sealedSeq, !filter.isEmpty {
                let row = try row(containing: seq)
                if !filter.mayMatch(row) {
                    found.scanned = max(row.firstSeq, after.next)
                    skipped += 1
                    continue
                }
            }
            let run: Run
            do throws(ArchiveError) { run = try self.run(containing: seq) } catch {
                if case .damaged = error, count > 0 { break }
                throw error
            }
            budget -= 1
            guard let end = run.records.index(of: seq) else { break }
            let start = after >= run.records.firstSeq ? (run.records.index(of: after.next) ?? 0) : 0
            var chosen: [Int] = []
            var index = end
            while index >= start, count + chosen.count < limit {
                if filter.matches(run.records, index) { chosen.append(index) }
                index -= 1
            }
            found.scanned = run.records.firstSeq.advanced(by: index + 1)
            var piece: [Message] = []
            append(chosen.reversed(), of: run, to: &piece)
            count += piece.count
            pieces.append(piece)
        }
        found.messages = pieces.reversed().flatMap { $0 }
        return found
    }

    private func append(_ chosen: [Int], of run: Run, to messages: inout [Message]) {
        guard let first = chosen.first, let last = chosen.last else { return }
        let hashes = run.hashes(first..<last + 1)
        for index in chosen { messages.append(message(run.records[index], hash: hashes[index - first])) }
    }
}
