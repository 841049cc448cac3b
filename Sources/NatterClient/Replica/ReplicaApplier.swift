internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
internal import NatterLanguage
internal import NatterLog
internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// Applies one portion of an answer while the lock is held. What another process has brought meanwhile is skipped.
struct ReplicaApplier {
    struct Outcome {
        var answer: AnswerState
        var report = SyncReport()
        var mustRestart = false
        var end: SyncEnd?
    }

    /// A sealed block of less goes to the tail as long as that stays small too: a file of its own for each small
    /// conversation would cost three syncs.
    static let leastLogBytes = 16 << 10

    let session: ReplicaSession
    private(set) var outcome: Outcome
    private var asides: [ReplicaAside] = []

    init(session: ReplicaSession, answer: AnswerState) {
        self.session = session
        outcome = Outcome(answer: answer)
    }

    mutating func apply(_ items: [ReplicaItem]) throws {
        for item in items {
            switch item {
            case .conversation(let line): try take(line)
            case .block(let id, let block): try take(block, of: id)
            case .damaged(let id, let name, let range): try take(range, of: id, named: name)
            case .gone(let id, _, let reason): try take(gone: id, reason: reason)
            case .read(let id, let seq): try take(read: seq, of: id)
            case .end(let line): outcome.end = line
            }
        }
        if let end = outcome.end {
            // What was left out comes with the next answer, which begins where this one did or further on.
            if outcome.answer.isOutdated { outcome.end = SyncEnd(cursor: end.cursor, more: true) }
            try compareHeads()
        }
        try record()
    }

    // MARK: Lines

    private mutating func take(_ line: SyncedConversation) throws {
        if outcome.answer.findsMissing { outcome.answer.named.insert(line.id) }
        guard !outcome.answer.ignored.contains(line.id) else { return }
        let conversation = try session.conversation(for: line)
        if try isDiverged(conversation, line) { return try setAside(conversation) }
        try set(conversation, kind: line.kind, name: line.name, gone: nil)
        if line.head >= conversation.serverHead {
            (conversation.serverHead, conversation.serverHash) = (line.head, line.hash)
            conversation.unread = line.unread
        }
        conversation.read = max(conversation.read, line.read)
        guard line.first > conversation.head.next else { return }
        // What the server no longer keeps: before our first message it is not missed, after it it is a hole.
        if conversation.head == .zero {
            conversation.first = line.first
            (conversation.head, conversation.headHash) = (line.first.previous, nil)
            if conversation.head == line.head { conversation.headHash = line.hash }
            (conversation.sealedSeq, conversation.sealedHash) = (conversation.head, conversation.headHash)
        } else {
            try addGap(conversation.head.next...line.first.previous, to: conversation)
        }
    }

    /// Whether what is here is not a beginning of what the server has, as far as can be told without its blocks.
    ///
    /// More messages than the server has are those of a history that it lost, unless another process has brought them from
    /// an answer newer than this one.
    private func isDiverged(_ conversation: WritableConversation, _ line: SyncedConversation) throws -> Bool {
        if line.head == conversation.head { return conversation.headHash ?? line.hash != line.hash }
        guard line.head < conversation.head else { return false }
        if let stored = try session.replica.conversation(conversation.id),
            let hash = try session.replica.hash(at: line.head, of: stored), hash != line.hash
        {
            return true
        }
        return try isCurrent()
    }

    /// Whether nobody else has recorded anything since the request.
    private func isCurrent() throws -> Bool {
        try ReplicaMeta.number("portions", on: session.connection) == outcome.answer.portions
    }

    private mutating func take(_ range: ClosedRange<Seq>, of id: ConversationID, named name: String) throws {
        guard let conversation = try open(id), range.upperBound > conversation.head else { return }
        guard range.lowerBound <= conversation.head.next else { return try miss(range.lowerBound, conversation) }
        let missing = max(range.lowerBound, conversation.head.next)...range.upperBound
        try addGap(missing, to: conversation)
        outcome.report.damaged.append(SyncReport.Damage(name: name, range: missing))
    }

    private mutating func take(gone id: ConversationID, reason: String) throws {
        guard let conversation = try session.conversation(id) else { return }
        guard try set(conversation, kind: conversation.kind, name: conversation.name, gone: reason) else { return }
        // By the name that its reader knows.
        outcome.report.gone.append(SyncReport.Gone(name: conversation.name, id: id, reason: reason))
    }

    /// Sets what has no order of its own, unlike seqs, so that only the newest answer may.
    ///
    /// - Returns: false where another process may have recorded something newer.
    @discardableResult
    private mutating func set(
        _ conversation: WritableConversation, kind: ConversationKind, name: String, gone: String?
    ) throws -> Bool {
        let isSame = (conversation.kind, conversation.name, conversation.gone) == (kind, name, gone)
        if !isSame, !conversation.isNew, try !isCurrent() {
            outcome.answer.isOutdated = true
            return false
        }
        (conversation.kind, conversation.name, conversation.gone) = (kind, name, gone)
        return true
    }

    private mutating func take(read seq: Seq, of id: ConversationID) throws {
        guard let conversation = try session.conversation(id), seq > conversation.read else { return }
        conversation.read = seq
        conversation.unread = 0
        guard seq < conversation.head, let stored = try session.replica.conversation(id) else { return }
        var filter = MessageFilter(after: seq)
        filter.excludedSender = session.location.user
        try session.replica.forward(stored, filter) { piece in
            if case .messages(let run) = piece { conversation.unread += UInt64(run.positions.count) }
            return true
        }
    }

    // MARK: Blocks

    /// The conversation, looked after once; nil where nothing is taken for it.
    private mutating func open(_ id: ConversationID) throws -> WritableConversation? {
        guard !outcome.answer.ignored.contains(id) else { return nil }
        guard let conversation = try session.conversation(id) else {
            throw FormatViolation("a conversation was not named before")
        }
        let former = conversation.head
        do { try session.prepare(conversation) } catch is TailDamage { rewind(conversation) }
        // Log files that no row names, of more messages than the server has: those of a history that was set aside, in a
        // process that was killed before it moved them.
        if former < conversation.first, conversation.head > conversation.serverHead { try setAside(conversation) }
        return conversation.isClosed ? nil : conversation
    }

    private mutating func take(_ block: Block, of id: ConversationID) throws {
        let header = block.header
        guard header.lastSeq.rawValue < UInt64(Int64.max) else {
            throw FormatViolation("a block's seqs are out of range")
        }
        guard let conversation = try open(id), header.lastSeq > conversation.head else { return }
        guard header.firstSeq <= conversation.head.next else { return try miss(header.firstSeq, conversation) }
        do {
            if header.firstSeq == conversation.head.next {
                guard conversation.headHash == nil || conversation.headHash == header.hashBefore else {
                    return try setAside(conversation)
                }
                let isSmall = header.rawLength + conversation.tailBytes < ReplicaApplier.leastLogBytes
                if header.isProvisional || isSmall {
                    try addToTail(block, conversation)
                } else {
                    try addToLog(block, conversation)
                }
            } else {
                try addRest(of: block, conversation)
            }
            if conversation.tailBytes >= Block.targetRawBytes { try session.sealTail(conversation) }
        } catch is TailDamage {
            rewind(conversation)
        }
    }

    private func addToLog(_ block: Block, _ conversation: WritableConversation) throws {
        try session.sealTail(conversation)
        let dictionary = block.header.dictionary
        let isOther = conversation.waiting.contains {
            $0.header.dictionary != .none && $0.header.dictionary != dictionary
        }
        if dictionary != .none, isOther { try session.writeWaiting(conversation) }
        conversation.waiting.append(block)
        conversation.advance(
            to: block.header.lastSeq, hash: block.header.hashAfter, highTime: block.header.highestTime, isSealed: true)
    }

    private func addToTail(_ block: Block, _ conversation: WritableConversation) throws {
        var row = block
        if block.header.isProvisional || block.header.dictionary != .none {
            let records = try session.open(block)
            // What was made for us alone is not in the server's log, so nobody else ever looks at its chain.
            guard HashChain.advance(block.header.hashBefore, over: records) == block.header.hashAfter else {
                throw FormatViolation("the hash chain of a block differs")
            }
            if block.header.dictionary != .none {
                row = Block(
                    sealing: records, of: conversation.id, hashBefore: block.header.hashBefore,
                    hashAfter: block.header.hashAfter, dictionary: .none, isProvisional: true, effort: .light)
            }
        }
        add(row, toTailOf: conversation)
    }

    /// Takes the part of a block that is not here yet.
    private mutating func addRest(of block: Block, _ conversation: WritableConversation) throws {
        let records = try session.open(block)
        let known = records.count - block.header.lastSeq.distance(after: conversation.head)
        let hash = HashChain.advance(block.header.hashBefore, over: records, 0..<known)
        guard conversation.headHash == nil || conversation.headHash == hash else {
            return try setAside(conversation)
        }
        let rest = Block(
            sealing: records, known..<records.count, of: conversation.id, hashBefore: hash, dictionary: .none,
            isProvisional: true, effort: .light)
        guard rest.header.hashAfter == block.header.hashAfter else {
            throw FormatViolation("the hash chain of a block differs")
        }
        add(rest, toTailOf: conversation)
    }

    private func add(_ block: Block, toTailOf conversation: WritableConversation) {
        conversation.newTail.append(TailRow(block, conversation: conversation.number))
        conversation.tailBytes += block.header.rawLength
        conversation.advance(
            to: block.header.lastSeq, hash: block.header.hashAfter, highTime: block.header.highestTime,
            isSealed: false)
    }

    private mutating func addGap(_ gap: ClosedRange<Seq>, to conversation: WritableConversation) throws {
        do {
            try session.prepare(conversation)
            try session.sealTail(conversation)
        } catch is TailDamage {
            return rewind(conversation)
        }
        try session.writeWaiting(conversation)
        // Blocks of one file follow each other without a hole.
        if var segment = conversation.lastSegment, !segment.isClosed {
            segment.isClosed = true
            conversation.lastSegment = segment
            conversation.segmentUpdates.append(segment)
        }
        conversation.newGaps.append(gap)
        (conversation.head, conversation.headHash) = (gap.upperBound, nil)
        (conversation.sealedSeq, conversation.sealedHash) = (gap.upperBound, nil)
    }

    // MARK: What does not fit

    /// Messages were left out. Perhaps what is here went back, by a dropped tail, after this answer was asked for: then a
    /// whole answer has them.
    private mutating func miss(_ seq: Seq, _ conversation: WritableConversation) throws {
        guard !outcome.answer.isWhole else {
            throw ReplicaError.hole(
                conversation: conversation.name, from: conversation.head.next, to: seq.previous)
        }
        close(conversation)
    }

    private mutating func close(_ conversation: WritableConversation) {
        conversation.isClosed = true
        outcome.answer.ignored.insert(conversation.id)
        outcome.mustRestart = true
    }

    /// Forgets a tail that can't be read, to fetch it again.
    private mutating func rewind(_ conversation: WritableConversation) {
        (conversation.head, conversation.headHash) = (conversation.sealedSeq, conversation.sealedHash)
        conversation.dropsStoredTail = true
        conversation.newTail = []
        conversation.tailBytes = 0
        close(conversation)
    }

    /// Moves a conversation aside whose history is not the server's.
    private mutating func setAside(_ conversation: WritableConversation) throws {
        let aside = try ReplicaAside(conversation, session: session)
        outcome.report.diverged.append(aside.report)
        asides.append(aside)
        session.forget(conversation.id)
        close(conversation)
    }

    // MARK: The end

    static let missing = "missing"

    /// Where both sides have the same head, both must have the same chain.
    private mutating func compareHeads() throws {
        for conversation in Array(session.conversations.values) where !conversation.isClosed {
            if conversation.head == conversation.serverHead, let own = conversation.headHash,
                let server = conversation.serverHash, own != server
            {
                try setAside(conversation)
            }
        }
        guard outcome.answer.isWhole, outcome.answer.findsMissing, outcome.end?.more == false, !outcome.mustRestart
        else { return }
        // What another process has brought since the request may be newer than the answer.
        guard try isCurrent() else { return }
        // Those that a whole answer leaves out are not there any more, or lost all that they had.
        for known in try session.replica.conversations() where !outcome.answer.named.contains(known.id) {
            guard known.head > .zero, let conversation = try session.conversation(known.id) else { continue }
            conversation.gone = ReplicaApplier.missing
            outcome.report.gone.append(
                SyncReport.Gone(name: known.name, id: known.id, reason: ReplicaApplier.missing))
        }
    }

    private mutating func record() throws {
        for conversation in session.conversations.values {
            outcome.report.add(conversation.newCount, to: conversation.id, named: conversation.name)
        }
        for aside in asides { try aside.keepTail() }
        if !asides.isEmpty { try ReplicaIndexing.discard(at: session.location, disk: session.disk) }
        let (answer, end, restarts) = (outcome.answer, outcome.end, outcome.mustRestart)
        let connection = session.connection
        try session.commit {
            for aside in asides { try aside.erase(on: connection) }
            let portions = try ReplicaMeta.number("portions", on: connection)
            let resets = try ReplicaMeta.number("resets", on: connection)
            try ReplicaMeta.set("portions", "\(portions &+ 1)", on: connection)
            if portions == 0, let earliest = answer.start.earliest {
                try ReplicaMeta.set("earliest", "\(earliest.milliseconds)", on: connection)
            }
            if restarts {
                try ReplicaMeta.set("resets", "\(resets &+ 1)", on: connection)
                try ReplicaMeta.set("cursor", nil, on: connection)
            } else if let end, !answer.isOutdated, resets == answer.start.resets,
                try ReplicaMeta.text("cursor", on: connection) == answer.start.cursor
            {
                try ReplicaMeta.set("cursor", end.cursor, on: connection)
            }
        }
        // Only as long as nobody else comes between: then the numbers differ from here on.
        outcome.answer.portions &+= 1
        for aside in asides { try aside.moveLogs() }
        guard let end else { return }
        outcome.answer.endCursor = end.cursor
        if !end.more { outcome.answer.isWhole = false }
    }
}
