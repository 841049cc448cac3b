internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterLog
internal import NatterProtocol

/// Records one portion of an answer while the lock is held. It skips what another process has recorded meanwhile.
struct PortionWriter {
    /// A smaller sealed block goes to the tail as long as the tail is small too. A file for each small conversation
    /// would cost three syncs.
    static let leastLogBytes = 16 << 10
    /// The reason of a group that a whole answer did not name.
    static let missing = "missing"

    let session: ReplicaSession
    private(set) var state: SyncState
    /// Whether something in this portion must be fetched again from the beginning.
    private var restarts = false
    /// Conversations whose history differs from the server's. They move to `diverged/`.
    private var diverged: [DivergedConversation] = []

    init(session: ReplicaSession, state: SyncState) { (self.session, self.state) = (session, state) }

    mutating func apply(_ items: [SyncItem]) throws {
        for item in items {
            switch item {
            case .conversation(let line): try apply(line)
            case .block(let id, let block): try apply(block, of: id)
            case .damaged(let id, let name, let range): try apply(range, of: id, named: name)
            case .gone(let id, let reason): try apply(gone: id, reason: reason)
            case .read(let id, let seq, let unread): try apply(read: seq, unread: unread, of: id)
            case .erased(let id, let seqs): try apply(erased: seqs, of: id)
            case .end(let line): state.end = line
            case .unknown: break
            }
        }
        if let end = state.end {
            // The next answer contains what was skipped here, because it begins where this one began or later.
            if state.isOutdated { state.end = SyncEnd(cursor: end.cursor, more: true) }
            try compareHeads()
        }
        try record()
        if restarts { state.mustRestart = true }
    }

    // MARK: Lines

    private mutating func apply(_ line: SyncedConversation) throws {
        if state.findsMissing { state.named.insert(line.id) }
        guard !state.ignored.contains(line.id) else { return }
        let conversation = try session.conversation(for: line)
        if try isDiverged(conversation, line) { return try setAside(conversation) }
        try set(conversation, kind: line.kind, name: line.name, gone: nil)
        // A server that was restored from a backup knows an earlier mark.
        if try line.read > conversation.read || isCurrent() && (state.findsMissing || isUntouched()) {
            conversation.read = line.read
        }
        if line.head >= conversation.serverHead {
            (conversation.serverHead, conversation.serverHash) = (line.head, line.hash)
            conversation.topic = line.topic
            // It counts behind the server's mark.
            if line.read == conversation.read { conversation.unread = line.unread }
        }
        let hasNone = conversation.head < conversation.first
        // To a replica that begins late, the server names the first message that the replica gets.
        let isServers = state.start.earliest == nil || !hasNone && line.first > conversation.first
        // The newest line corrects a mark of a history that was restored.
        if line.first > conversation.serverFirst ? isServers : line.head == conversation.serverHead {
            conversation.serverFirst = line.first
        }
        guard line.first > conversation.head.next else { return }
        // The server no longer has these messages. After the replica's first message this is a gap, before it is not.
        if hasNone {
            conversation.first = line.first
            conversation.skip(to: line.first.previous)
        } else {
            try addGap(conversation.head.next...line.first.previous, to: conversation)
        }
        // Nothing behind them is there yet, so only the line has the chain.
        if conversation.head == line.head { (conversation.headHash, conversation.sealedHash) = (line.hash, line.hash) }
    }

    /// Whether the replica's history is no prefix of the server's, as far as heads and hashes show.
    ///
    /// If the replica has more messages than the server, the server lost them, unless another process recorded them from a
    /// newer answer than this one.
    private func isDiverged(_ conversation: ConversationChange, _ line: SyncedConversation) throws -> Bool {
        if line.head == conversation.head { return conversation.headHash ?? line.hash != line.hash }
        guard line.head < conversation.head else { return false }
        if let stored = try session.replica.conversation(conversation.id),
            let hash = try session.replica.hash(at: line.head, of: stored), hash != line.hash
        {
            return true
        }
        return try isCurrent()
    }

    /// Whether no other process has recorded anything since the request.
    private func isCurrent() throws -> Bool {
        try ReplicaMeta.number("portions", on: session.connection) == state.portions
    }

    /// Whether no other process has changed anything, not even a mark.
    private func isUntouched() throws -> Bool {
        try ReplicaMeta.number(ReplicaSession.commitsKey, on: session.connection) == state.start.commits
    }

    private mutating func apply(_ range: ClosedRange<Seq>, of id: ConversationID, named name: String) throws {
        guard let conversation = try open(id), range.upperBound > conversation.head else { return }
        guard range.lowerBound <= conversation.head.next else { return try miss(range.lowerBound, conversation) }
        let missing = max(range.lowerBound, conversation.head.next)...range.upperBound
        try addGap(missing, to: conversation)
        state.report.damaged.append(SyncReport.Damage(name: name, range: missing))
    }

    private mutating func apply(gone id: ConversationID, reason: String) throws {
        guard let conversation = try session.conversation(id) else { return }
        guard try set(conversation, kind: conversation.kind, name: conversation.name, gone: reason) else { return }
        state.report.gone.append(SyncReport.Gone(name: conversation.name, id: id, reason: reason))
    }

    /// Sets kind, name and reason. Unlike seqs they have no order, so only the newest answer may change them.
    ///
    /// - Returns: false if another process may have recorded something newer.
    @discardableResult
    private mutating func set(
        _ conversation: ConversationChange, kind: ConversationKind, name: String, gone: String?
    ) throws -> Bool {
        let isSame = (conversation.kind, conversation.name, conversation.gone) == (kind, name, gone)
        if !isSame, !conversation.isNew, try !isCurrent() {
            state.isOutdated = true
            return false
        }
        (conversation.kind, conversation.name, conversation.gone) = (kind, name, gone)
        return true
    }

    /// - Parameter unread: the server's count. An older server leaves it out.
    private mutating func apply(read seq: Seq, unread: UInt64?, of id: ConversationID) throws {
        guard let conversation = try session.conversation(id), seq >= conversation.read else { return }
        if seq == conversation.read {
            // 'mark' has noted it already, and counted what is in the replica.
            if let unread, try isCurrent() { conversation.unread = unread }
            return
        }
        try session.mark(conversation, read: seq, unread: unread)
    }

    // MARK: Blocks

    /// The conversation, recovered once; nil if this answer can add nothing to it.
    private mutating func open(_ id: ConversationID) throws -> ConversationChange? {
        guard !state.ignored.contains(id) else { return nil }
        guard let conversation = try session.conversation(id) else {
            throw FormatViolation("a conversation was not named before")
        }
        let former = conversation.head
        do { try session.prepare(conversation) } catch is TailDamage { rewind(conversation) }
        // Recovery has adopted files with more messages than the server has. They belong to a diverged history, and the
        // process was killed before it moved them.
        if former < conversation.first, conversation.head > conversation.serverHead { try setAside(conversation) }
        return conversation.isClosed ? nil : conversation
    }

    private mutating func apply(_ block: Block, of id: ConversationID) throws {
        let header = block.header
        guard header.lastSeq.rawValue < UInt64(Int64.max) else {
            throw FormatViolation("a block's seqs are out of range")
        }
        guard let conversation = try open(id) else { return }
        // A provisional one may be a part of a block that was written again.
        if header.revision > 0 || header.isProvisional {
            let records = try session.open(block)
            if records.hasErased { try session.wipeRemains(of: conversation) }
            if header.firstSeq <= conversation.head {
                guard try erase(records, conversation) else { return }
            }
        }
        guard header.lastSeq > conversation.head else { return }
        guard header.firstSeq <= conversation.head.next else { return try miss(header.firstSeq, conversation) }
        let former = conversation.head
        do {
            if header.firstSeq == conversation.head.next {
                guard conversation.headHash == nil || conversation.headHash == header.hashBefore else {
                    return try setAside(conversation)
                }
                let isSmall = header.rawLength + conversation.tailBytes < PortionWriter.leastLogBytes
                if header.isProvisional || isSmall {
                    try addToTail(block, conversation)
                } else {
                    try addToLog(block, conversation)
                }
            } else {
                try addRest(of: block, conversation)
            }
            if header.hasRelations, conversation.head > former {
                let relations = Relation.all(of: try session.open(block))
                conversation.newRelations += relations.filter { $0.seq > former }
            }
            if conversation.tailBytes >= Block.targetRawBytes { try session.sealTail(conversation) }
        } catch is TailDamage {
            rewind(conversation)
        }
    }

    /// Erases what the server has erased in a block that the replica has, in whole or in part.
    ///
    /// - Returns: false if nothing more is to be added to the conversation.
    private mutating func erase(_ records: Records, _ conversation: ConversationChange) throws -> Bool {
        noteNew()
        do {
            if try session.erase(records, of: conversation) { return true }
            try setAside(conversation)
        } catch is TailDamage {
            rewind(conversation)
        }
        return false
    }

    private mutating func apply(erased seqs: [Seq], of id: ConversationID) throws {
        guard let conversation = try open(id) else { return }
        noteNew()
        do {
            try session.wipeRemains(of: conversation)
            try session.erase(seqs, of: conversation)
        } catch is TailDamage {
            rewind(conversation)
        }
    }

    private func addToLog(_ block: Block, _ conversation: ConversationChange) throws {
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

    private func addToTail(_ block: Block, _ conversation: ConversationChange) throws {
        var row = block
        if block.header.isProvisional || block.header.dictionary != .none {
            let records = try session.open(block)
            // A provisional block was made for this client alone and is in no log, so only this check sees its chain.
            guard HashChain.advance(block.header.hashBefore, over: records) == block.header.hashAfter else {
                throw FormatViolation("the hash chain of a block differs")
            }
            if block.header.dictionary != .none {
                row = try Block(
                    sealing: records, of: conversation.id, hashBefore: block.header.hashBefore,
                    hashAfter: block.header.hashAfter, dictionary: .none, isProvisional: true, effort: .light)
            }
        }
        add(row, toTailOf: conversation)
    }

    /// Takes the part of a block that the replica does not have yet.
    private mutating func addRest(of block: Block, _ conversation: ConversationChange) throws {
        let records = try session.open(block)
        let known = records.count - block.header.lastSeq.distance(after: conversation.head)
        let hash = HashChain.advance(block.header.hashBefore, over: records, 0..<known)
        guard conversation.headHash == nil || conversation.headHash == hash else {
            return try setAside(conversation)
        }
        let rest = try Block(
            sealing: records, known..<records.count, of: conversation.id, hashBefore: hash, dictionary: .none,
            isProvisional: true, effort: .light)
        guard rest.header.hashAfter == block.header.hashAfter else {
            throw FormatViolation("the hash chain of a block differs")
        }
        add(rest, toTailOf: conversation)
    }

    private func add(_ block: Block, toTailOf conversation: ConversationChange) {
        conversation.newTail.append(TailRow(block, conversation: conversation.number))
        conversation.tailBytes += block.header.rawLength
        conversation.advance(
            to: block.header.lastSeq, hash: block.header.hashAfter, highTime: block.header.highestTime,
            isSealed: false)
    }

    private mutating func addGap(_ gap: ClosedRange<Seq>, to conversation: ConversationChange) throws {
        do {
            try session.prepare(conversation)
            try session.sealTail(conversation)
        } catch is TailDamage {
            return rewind(conversation)
        }
        try session.writeWaiting(conversation)
        conversation.closeLastSegment()
        conversation.newGaps.append(gap)
        conversation.skip(to: gap.upperBound)
    }

    // MARK: Answers that do not fit

    /// Messages were left out. Perhaps the replica dropped a damaged tail after it sent the request. Then a whole
    /// answer contains them.
    private mutating func miss(_ seq: Seq, _ conversation: ConversationChange) throws {
        guard !state.isWhole else {
            throw ReplicaError.hole(
                conversation: conversation.name, from: conversation.head.next, to: seq.previous)
        }
        close(conversation)
    }

    private mutating func close(_ conversation: ConversationChange) {
        conversation.isClosed = true
        state.ignored.insert(conversation.id)
        restarts = true
    }

    /// Drops a tail that cannot be read, so that it is fetched again.
    private mutating func rewind(_ conversation: ConversationChange) {
        (conversation.head, conversation.headHash) = (conversation.sealedSeq, conversation.sealedHash)
        conversation.dropTail()
        close(conversation)
    }

    /// Moves a conversation aside whose history differs from the server's.
    private mutating func setAside(_ conversation: ConversationChange) throws {
        let aside = try DivergedConversation(conversation, session: session)
        state.report.diverged.append(aside.report)
        diverged.append(aside)
        session.forget(conversation.id)
        close(conversation)
    }

    /// Moves a conversation aside of which the server has no message. An empty one stays, because every personal
    /// conversation exists from the beginning.
    private mutating func empty(_ conversation: ConversationChange) throws {
        try setAside(conversation)
        _ = try session.add(conversation.id, conversation.kind, conversation.name)
    }

    // MARK: The end

    /// If both sides have the same head, both must have the same chain.
    private mutating func compareHeads() throws {
        for conversation in Array(session.conversations.values) where !conversation.isClosed {
            if conversation.head == conversation.serverHead, let own = conversation.headHash,
                let server = conversation.serverHash, own != server
            {
                try setAside(conversation)
            }
        }
        guard state.looksForMissing, state.end?.more == false, !restarts else { return }
        // If another process has recorded something, that may be newer than this answer, and part of it may have been named there.
        guard try state.findsMissing && isCurrent() else { return restarts = true }
        // A conversation that a whole answer does not name no longer exists on the server, or lost all its messages.
        for known in try session.replica.conversations() where !state.named.contains(known.id) {
            guard let conversation = try session.conversation(known.id) else { continue }
            if known.kind != .group {
                // It can't be deleted, so the server lost its messages. If a process was killed before it moved the
                // log files, they are still there.
                if known.head == .zero { try session.prepare(conversation) }
                if conversation.head > .zero { try empty(conversation) }
                continue
            }
            guard known.head > .zero else { continue }
            conversation.gone = PortionWriter.missing
            state.report.gone.append(
                SyncReport.Gone(name: known.name, id: known.id, reason: PortionWriter.missing))
        }
    }

    /// Adds to the report what the next commit records.
    private mutating func noteNew() {
        for conversation in session.conversations.values {
            state.report.add(conversation.newCount, to: conversation.id, named: conversation.name)
            conversation.didReport()
        }
    }

    private mutating func record() throws {
        noteNew()
        for conversation in diverged { try conversation.keepTail() }
        if !diverged.isEmpty { try ReplicaIndexing.discard(at: session.location, disk: session.disk) }
        let connection = session.connection
        try session.commit(erasing: diverged.map(\.number)) {
            let portions = try ReplicaMeta.number("portions", on: connection)
            let resets = try ReplicaMeta.number("resets", on: connection)
            try ReplicaMeta.set("portions", "\(portions &+ 1)", on: connection)
            if portions == 0, let earliest = state.start.earliest {
                try ReplicaMeta.set("earliest", "\(earliest.milliseconds)", on: connection)
            }
            if restarts {
                try ReplicaMeta.set("resets", "\(resets &+ 1)", on: connection)
                try ReplicaMeta.set("cursor", nil, on: connection)
            } else if let end = state.end, !state.isOutdated, resets == state.start.resets,
                try ReplicaMeta.text("cursor", on: connection) == state.start.cursor
            {
                try ReplicaMeta.set("cursor", end.cursor, on: connection)
            }
        }
        // Correct only if no other process has recorded a portion in between. Otherwise the numbers differ from now
        // on.
        state.portions &+= 1
        for conversation in diverged { try conversation.moveLogs() }
        guard let end = state.end else { return }
        state.endCursor = end.cursor
        if !end.more { state.isWhole = false }
    }
}

/// A conversation on its way to `diverged/<id>-<time>/`: its log files unchanged, and its tail as a sequence of
/// blocks.
///
/// The tail is copied first, then the rows are erased together with the cursor, then the files are moved. A crash before the
/// last step leaves files that no row names. The next sync adopts them, finds that they diverge, and begins again.
private struct DivergedConversation {
    let report: SyncReport.Diverged
    let number: Int64
    private let tail: [TailRow]
    private let session: ReplicaSession

    init(_ conversation: ConversationChange, session: ReplicaSession) throws {
        (number, self.session) = (conversation.number, session)
        tail = try conversation.tailRows(on: session.connection)
        let name = "\(conversation.id)-\(session.clock.now().milliseconds)"
        let directory = try session.disk.freePath(name, in: session.location.divergedDirectory)
        report = SyncReport.Diverged(
            name: conversation.name, id: conversation.id, head: conversation.head, directory: directory)
    }

    func keepTail() throws {
        try session.disk.makeDirectories(report.directory)
        guard !tail.isEmpty else { return }
        let file = try session.disk.open(report.directory + "/tail.blocks", .create)
        try file.write(tail.flatMap(\.data), at: 0)
        try file.sync()
        try session.disk.syncDirectory(report.directory)
    }

    func moveLogs() throws {
        let logs = session.location.directory + "/" + Segment.directory(of: report.id)
        guard try session.disk.information(logs) != nil else { return }
        try session.disk.rename(logs, to: report.directory + "/logs")
        try session.disk.syncDirectory(report.directory)
        try session.disk.syncDirectory(Path.directory(of: logs))
    }
}
