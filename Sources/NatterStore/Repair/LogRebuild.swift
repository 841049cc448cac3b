internal import NatterConversation
internal import NatterSystem
internal import NatterLog
internal import NatterModel

/// The log of one conversation, as its index must describe it.
struct RebuiltLog {
    var segments: [SegmentRow] = []
    var blocks: [BlockRow] = []
    var dictionaries: [LogDictionary] = []
    /// The lowest seq that is kept.
    var first: Seq
    /// The end of the log. Records of the journal behind it are the tail.
    var sealedSeq = Seq.zero
    var sealedHash: Digest
    var sealedCommit = Commit.zero
    var content = SealedContent()
    var losses: [ClosedRange<Seq>] = []
    /// Files of the survey that the index will name.
    var kept: Set<Int> = []
    /// Bytes behind the last block of a kept file.
    var cuts: [(file: Int, offset: UInt64, length: UInt64)] = []
    /// Whether assigned numbers may now have another history, so that cursors need a new epoch.
    var hasOtherHistory = false
}

/// Decides what the index of one conversation must say: which whole blocks form its history, what the journal adds,
/// and what is lost. Never changes a log file. Writes new ones if blocks are out of order, or if a loss separates
/// records of the journal from the log.
struct LogRebuild {
    let root: String
    let disk: any Disk
    let clock: any WallClock
    let store: StoreID
    let survey: LogSurvey
    let journal: JournalContents
    let identity: ConversationIdentity
    /// The conversation as the index knew it; nil if it did not.
    let known: CheckedConversation?
    /// The conversation's files as the index knew them.
    let knownSegments: [SegmentRow]
    /// Whether damaged or misplaced files are written anew. The caller moves the old ones away afterwards.
    let isRepair: Bool

    /// A file that is being written.
    private struct Output {
        let segment: Segment
        var row: SegmentRow
        var end: Seq
        var hash: Digest
    }

    func run() throws -> RebuiltLog {
        let found = (survey.blocks[identity.id] ?? []).filter { isRepair || isInPlace($0) }
        let end = known.map { ($0.sealedSeq, $0.sealedHash) } as LogChain.Known?
        let start = start
        let chain = LogChain(found, from: start, known: end, preference: preference, agrees: agrees)
        var log = RebuiltLog(first: start.seq, sealedHash: chain.hash)
        try place(chain, &log)
        keepBeginning(&log)
        for hole in chain.holes { try fill(hole, after: chain, &log) }
        (log.sealedSeq, log.sealedHash, log.sealedCommit) = (chain.end, chain.hash, chain.commit)
        try finish(chain, &log)
        log.segments.sort { ($0.firstSeq, $0.generation) < ($1.firstSeq, $1.generation) }
        log.blocks.sort { $0.firstSeq < $1.firstSeq }
        if let last = log.blocks.last, last.lastSeq == log.sealedSeq { log.sealedCommit = last.lastCommit }
        if log.blocks.isEmpty, let known, known.sealedSeq == log.sealedSeq { log.sealedCommit = known.sealedCommit }
        closeFiles(&log, chain)
        if let known {
            let former = chain.blocks.first { $0.header.lastSeq >= known.sealedSeq }
            // The hashes can be compared only if a block ends exactly at the known seq.
            let isOther = former.map { $0.header.lastSeq == known.sealedSeq && $0.header.hashAfter != known.sealedHash }
            log.hasOtherHistory = log.hasOtherHistory || isOther == true
        }
        return log
    }

    // MARK: Where it begins

    /// Files that say that the log begins with them because older messages are not kept.
    private var beginnings: [(number: Int, header: SegmentHeader)] {
        (survey.filesOf[identity.id] ?? []).compactMap { number in
            let file = survey.files[number]
            guard file.isPlaced, let header = file.header, header.isBeginning else { return nil }
            return (number, header)
        }
    }

    private var start: LogChain.Start {
        let last = beginnings.max { $0.header.firstSeq < $1.header.firstSeq }?.header
        if let last, last.firstSeq >= known?.first ?? Seq(1) {
            return (last.firstSeq, last.hashBefore)
        }
        let first = known?.first ?? Seq(1)
        return (first, first == Seq(1) ? HashChain.start(of: identity.id) : nil)
    }

    /// Keeps the file of a log without messages.
    private func keepBeginning(_ log: inout RebuiltLog) {
        for (number, header) in beginnings where header.firstSeq == log.first && survey.files[number].blockCount == 0 {
            guard var row = row(of: number, []), survey.files[number].size == survey.files[number].bodyOffset else {
                continue
            }
            row.size = survey.files[number].bodyOffset
            log.kept.insert(number)
            log.segments.append(row)
        }
    }

    // MARK: Which blocks

    private func isInPlace(_ block: SurveyedBlock) -> Bool {
        let file = survey.files[block.file]
        return file.isPlaced && file.conversation == identity.id
    }

    /// The higher value wins between equal blocks: the one in the better file.
    private func preference(_ block: SurveyedBlock) -> Int {
        let file = survey.files[block.file]
        let isKnown = knownSegments.contains {
            $0.firstSeq == file.header?.firstSeq && $0.generation == file.generation
        }
        let faults = (file.isPlaced ? 0 : 4) + (file.hasDictionary ? 0 : 2) + (file.loose.isEmpty ? 0 : 1)
        return (8 - faults) * 2 + (isKnown ? 1 : 0)
    }

    /// Whether the block's messages are those that the journal has under the same seqs. The journal was acknowledged,
    /// so it decides.
    private func agrees(_ block: SurveyedBlock) -> Bool {
        let acknowledged = journal.records(of: identity.number, block.header.seqs)
        return acknowledged.isEmpty || survey.agrees(block, with: acknowledged)
    }

    // MARK: Their place

    /// Makes rows for blocks that can stay, and copies the others to new files.
    private func place(_ chain: LogChain, _ log: inout RebuiltLog) throws {
        var files: [Int: [SurveyedBlock]] = [:]
        for block in chain.blocks { files[block.file, default: []].append(block) }
        var rows: [Int: SegmentRow] = [:]
        for (number, blocks) in files {
            guard let row = row(of: number, blocks), !isRepair || isOrderly(number, blocks) else { continue }
            rows[number] = row
            log.kept.insert(number)
            if isRepair, row.size < survey.files[number].size {
                log.cuts.append((number, row.size, survey.files[number].size - row.size))
            }
            log.segments.append(row)
            if let dictionary = try survey.dictionary(row.dictionary) { log.dictionaries.append(dictionary) }
        }
        var output: Output?
        for block in chain.blocks {
            log.content.add(block.content)
            if let row = rows[block.file] {
                try close(&output, &log)
                log.blocks.append(BlockRow(block.header, at: block.place.offset, in: row))
            } else {
                try write(block, to: &output, &log)
            }
        }
        try close(&output, &log)
    }

    /// The row of a file whose blocks can be read in place.
    private func row(of number: Int, _ blocks: [SurveyedBlock]) -> SegmentRow? {
        let file = survey.files[number]
        guard file.isPlaced, file.conversation == identity.id, let header = file.header,
            let generation = file.generation
        else { return nil }
        let end = blocks.map(\.place.end).max() ?? file.bodyOffset
        return SegmentRow(
            conversation: identity.number, firstSeq: header.firstSeq, generation: generation, size: end,
            dictionary: header.dictionary, isClosed: false)
    }

    /// Whether a file is what a writer leaves: a header, a dictionary, and consecutive blocks of its conversation.
    /// Other bytes may follow only behind them.
    private func isOrderly(_ number: Int, _ blocks: [SurveyedBlock]) -> Bool {
        let file = survey.files[number]
        guard let header = file.header, file.hasDictionary, blocks.count == file.blockCount,
            header.kind == identity.kind, header.users == identity.users,
            let first = blocks.first?.header, first.firstSeq == header.firstSeq, first.hashBefore == header.hashBefore
        else { return false }
        var offset = file.bodyOffset
        var former: BlockHeader?
        for block in blocks {
            guard block.place.offset == offset,
                former.map({ $0.lastSeq.next == block.header.firstSeq && $0.hashAfter == block.header.hashBefore })
                    ?? true
            else { return false }
            offset = block.place.end
            former = block.header
        }
        return file.loose.allSatisfy { $0.lowerBound >= offset }
    }

    /// Copies a block unchanged, either behind the previous one or into a new file.
    private func write(_ block: SurveyedBlock, to output: inout Output?, _ log: inout RebuiltLog) throws {
        if let open = output {
            let follows = open.end.next == block.header.firstSeq && open.hash == block.header.hashBefore
            let canRead = [DictionaryID.none, open.segment.dictionary.id].contains(block.header.dictionary)
            if !follows || !canRead || open.row.size >= Segment.maximumBytes { try close(&output, &log) }
        }
        var open =
            try output
            ?? begin(
                block.header.firstSeq, hashBefore: block.header.hashBefore,
                dictionary: survey.dictionary(block.header.dictionary) ?? .none,
                like: survey.files[block.file].header)
        let bytes = try survey.bytes(of: block)
        log.blocks.append(BlockRow(block.header, at: open.row.size, in: open.row))
        open.row.size = try open.segment.append([bytes], at: open.row.size)
        (open.end, open.hash) = (block.header.lastSeq, block.header.hashAfter)
        output = open
    }

    private func begin(
        _ seq: Seq, hashBefore: Digest, dictionary: LogDictionary, like former: SegmentHeader?
    ) throws -> Output {
        let header = SegmentHeader(
            store: store, conversation: identity.id, epoch: former?.epoch ?? Epoch(rawValue: 0), firstSeq: seq,
            hashBefore: hashBefore, created: former?.created ?? clock.now(), dictionary: dictionary.id,
            kind: identity.kind, name: identity.name, users: identity.users,
            isBeginning: seq > Seq(1) && seq == start.seq)
        for generation in 0..<0xFFFF {
            let path = root + "/" + Segment.name(of: identity.id, firstSeq: seq, generation: generation)
            if try disk.information(path) != nil { continue }
            let segment = try Segment.create(at: path, header: header, dictionary: dictionary, on: disk)
            let row = SegmentRow(
                conversation: identity.number, firstSeq: seq, generation: generation, size: segment.bodyOffset,
                dictionary: dictionary.id, isClosed: true)
            return Output(segment: segment, row: row, end: seq.previous, hash: hashBefore)
        }
        throw DiskError(code: .fileExists, operation: "create", path: Segment.directory(of: identity.id))
    }

    private func close(_ output: inout Output?, _ log: inout RebuiltLog) throws {
        guard let open = output else { return }
        output = nil
        try open.segment.sync()
        log.segments.append(open.row)
        log.dictionaries.append(open.segment.dictionary)
    }

    // MARK: Holes between blocks

    /// Writes the journal's records of a hole to the log. The rest of the hole is lost.
    private func fill(_ hole: ClosedRange<Seq>, after chain: LogChain, _ log: inout RebuiltLog) throws {
        let before = chain.blocks.last { $0.header.lastSeq == hole.lowerBound.previous }
        let next = chain.blocks.first { $0.header.firstSeq == hole.upperBound.next }
        var records = journal.records(of: identity.number, hole)
        let hash = before?.header.hashAfter ?? chain.hashBefore
        if records.count == hole.upperBound.distance(after: hole.lowerBound) + 1 {
            if records.reduce(hash, { HashChain.advance($0, over: $1) }) != next?.header.hashBefore {
                // These records belong to another history than the blocks around them.
                log.losses.append(hole)
                return
            }
        } else if records.last?.seq == hole.upperBound {
            // Behind a loss, nobody can compute the hash that the next block names. Readers would take that block for one of another
            // history if it followed at once, and so would the next repair. So one message more is stated as lost.
            records.removeLast()
        }
        _ = try seal(records, in: hole, hash: hash, &log)
    }

    /// Seals the records in a range, one consecutive run at a time. Seqs between the runs are lost.
    /// - Returns: the chain at the end of the range.
    private func seal(
        _ records: [Record], in range: ClosedRange<Seq>, hash: Digest, _ log: inout RebuiltLog
    ) throws -> Digest {
        var hash = hash
        var next = range.lowerBound
        var rest = records[...]
        while let first = rest.first {
            if first.seq > next {
                log.losses.append(next...first.seq.previous)
                hash = HashChain.advance(hash, overLost: next...first.seq.previous)
                next = first.seq
            }
            var run = Records(firstSeq: first.seq)
            while let record = rest.first, record.seq == next {
                run.append(record)
                next = next.next
                rest = rest.dropFirst()
            }
            hash = try write(run, hash: hash, &log)
        }
        if next <= range.upperBound {
            log.losses.append(next...range.upperBound)
            hash = HashChain.advance(hash, overLost: next...range.upperBound)
        }
        return hash
    }

    private func write(_ run: Records, hash: Digest, _ log: inout RebuiltLog) throws -> Digest {
        var output = try begin(run.firstSeq, hashBefore: hash, dictionary: .none, like: nil)
        let blocks = try run.blocks(0..<run.count, of: identity.id, hashBefore: hash, dictionary: .none)
        for block in blocks {
            log.blocks.append(BlockRow(block.header, at: output.row.size, in: output.row))
            output.row.size = try output.segment.append([block], at: output.row.size)
            log.sealedCommit = max(log.sealedCommit, block.header.lastCommit)
        }
        log.content.add(SealedContent(run))
        var closing: Output? = output
        try close(&closing, &log)
        return blocks.last?.header.hashAfter ?? hash
    }

    /// Decides where the log ends and the tail begins.
    private func finish(_ chain: LogChain, _ log: inout RebuiltLog) throws {
        let knownEnd = max(known?.sealedSeq ?? .zero, chain.end)
        let top = max(knownEnd, journal.top(of: identity.number))
        guard top > chain.end else { return }
        func isWhole(from seq: Seq) -> Bool {
            seq > top || journal.records(of: identity.number, seq...top).count == top.distance(after: seq) + 1
        }
        // The journal continues where the blocks end, so it is the tail.
        if isWhole(from: chain.end.next) { return }
        if let known, known.sealedSeq > chain.end, isWhole(from: known.sealedSeq.next) {
            // Sealed messages are lost, but the index knows the chain behind them.
            let range = chain.end.next...known.sealedSeq
            let records = journal.records(of: identity.number, range)
            let hash = try seal(records, in: range, hash: chain.hash, &log)
            (log.sealedSeq, log.sealedHash) = (known.sealedSeq, known.sealedHash)
            if records.last?.seq == known.sealedSeq, hash != known.sealedHash {
                // The last block now names another hash than the index does, because nobody knows the chain before it.
                log.sealedHash = hash
                log.hasOtherHistory = true
            }
            log.sealedCommit = max(log.sealedCommit, known.sealedCommit)
            return
        }
        let range = chain.end.next...top
        log.sealedHash = try seal(
            journal.records(of: identity.number, range), in: range, hash: chain.hash, &log)
        log.sealedSeq = top
        log.sealedCommit = max(log.sealedCommit, known?.sealedCommit ?? .zero, journal.lastCommit)
        log.hasOtherHistory = true
    }

    /// Only the last file may be appended to, and only if nothing in it is wrong.
    private func closeFiles(_ log: inout RebuiltLog, _ chain: LogChain) {
        let sizes = (survey.filesOf[identity.id] ?? []).map { (survey.files[$0].path, survey.files[$0].size) }
        let sizeAt = Dictionary(uniqueKeysWithValues: sizes)
        for index in log.segments.indices {
            let row = log.segments[index]
            let former = knownSegments.first { $0.firstSeq == row.firstSeq && $0.generation == row.generation }
            let isLast = index == log.segments.count - 1 && log.sealedSeq == chain.end
            let hasRoom =
                row.size < Segment.maximumBytes
                && (row.dictionary != .none || row.size < UInt64(LogDictionary.maximumBytes))
            let isWhole = sizeAt[row.name(of: identity.id)] == row.size
            log.segments[index].isClosed = former?.isClosed == true || !isLast || !hasRoom || !isWhole
        }
    }
}
