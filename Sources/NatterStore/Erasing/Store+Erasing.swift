internal import NatterConversation
internal import NatterSystem
public import NatterModel
internal import NatterLog
internal import NatterSQLite

extension Store {
    /// The most messages of one request.
    public static let erasureLimit = 1_000_000

    /// Erases messages, their edits and their files: text and sender leave the logs, the journal, dictionaries and the search index.
    /// Messages that are erased already stay so.
    ///
    /// - Parameters:
    ///   - name: `general`, a group, also one that was deleted, or `@alice,@bob`.
    ///   - id: of the conversation that is meant, whatever is called `name` now; nil for the one of that name.
    ///   - principal: the admin who asks; nil for the operator.
    ///   - completion: gets how many messages were erased that were not before.
    public func erase(
        _ ranges: [ClosedRange<Seq>], in name: String, id: ConversationID? = nil, by actor: String,
        asking principal: Principal? = nil, _ completion: @escaping Completion<Int>
    ) {
        do throws(StoreError) {
            let (identity, name, seqs) = try erasable(ranges, in: name, id: id)
            let subject = "\(name) \(ranges.map { Store.text(of: $0) }.joined(separator: " "))"
            let isTaken = sealer.submit { [self] writer in
                let result = Result {
                    // It may have waited behind other work of the sealer.
                    let now = clock.now()
                    try state.withLock { try Authority.checkAdmin(principal, at: now, $0) }
                    return try erase(seqs, of: identity, writer) {
                        $0.audited(actor, "messages_erased", String(subject.prefix(200)))
                    }
                }
                completion(result.mapError { StoreError($0) })
            }
            if !isTaken { completion(.failure(.busy)) }
        } catch {
            completion(.failure(error))
        }
    }

    private static func text(of range: ClosedRange<Seq>) -> String {
        range.lowerBound == range.upperBound ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
    }

    /// - Returns: what is meant, by its id too, under the name that the audit trail has for it.
    private func erasable(
        _ ranges: [ClosedRange<Seq>], in name: String, id: ConversationID?
    ) throws(StoreError) -> (ConversationIdentity, name: String, Set<Seq>) {
        let (identity, name, head) = try state.withLock { state throws(StoreError) in
            guard let id else {
                guard let found = try StoreExporter.find(name, in: state, takesDeleted: true) else {
                    throw .noSuchConversation(name)
                }
                return (found.identity, name, found.head)
            }
            guard let found = state.conversation(id) else { throw .noSuchConversation(name) }
            let isGroup = found.identity.kind == .group
            return (found.identity, isGroup ? found.name : CheckedConversation.label(of: found.identity), found.head)
        }
        var count = 0
        for range in ranges {
            guard range.lowerBound > .zero, range.upperBound <= head else {
                throw .noSuchMessage(range.lowerBound > .zero ? range.upperBound : .zero, conversation: name)
            }
            count += range.upperBound.distance(after: range.lowerBound) + 1
            if count > Store.erasureLimit {
                throw .failed("at most \(Store.erasureLimit) messages can be erased at once")
            }
        }
        var seqs: Set<Seq> = []
        for range in ranges {
            for seq in range.lowerBound.rawValue...range.upperBound.rawValue { seqs.insert(Seq(seq)) }
        }
        return (identity, name, seqs)
    }

    /// Erases messages, their edits and their files.
    private func erase(
        _ seqs: Set<Seq>, of identity: ConversationIdentity, _ writer: ArchiveWriter,
        audit: @escaping @Sendable (BatchBuilder) -> Change
    ) throws -> Int {
        let eraser = Eraser(store: self, writer: writer, identity: identity)
        defer { finishErasing([identity.id], hasErased: eraser.hasFoundErased) }
        var (done, count): (Set<Seq>, Int) = ([], 0)
        // An edit that was acknowledged meanwhile shows the text, too. After the first round there are no more, because an erased
        // message can't be edited.
        while case let rest = try eraser.withParts(seqs).subtracting(done), !rest.isEmpty {
            count += try eraser.erase(rest, audit: done.isEmpty ? audit : nil)
            done.formUnion(rest)
        }
        return count
    }

    /// Where the newest erasure may have left a text, and for how long; nil if nowhere.
    public var remainsOfErasure: Phrase? { erasureRemains.withLock { $0 } }

    // MARK: Again

    /// Notes in `DIR/erased` what is about to be erased.
    func remember(_ entries: [RememberedErasures.Entry]) throws {
        do { try remembered.append(entries) } catch {
            stopIfDiskFailed(error)
            throw error
        }
    }

    /// Notes what another server has erased. After a recovery of the database to an earlier state, that server's directory may be
    /// gone, too.
    func remember(erasedByOthers entries: [RememberedErasures.Entry]) {
        guard !entries.isEmpty else { return }
        _ = sealer.submit { [self] _ in
            do { try remembered.add(entries) } catch {
                report("cannot note what was erased: \(StoreError(error).cause)")
            }
        }
    }

    /// Does the erasures again that the file `erased` remembers and the database does not know.
    func repeatErasures(_ completion: @escaping @Sendable () -> Void = {}) {
        let isTaken = sealer.submit { [self] writer in
            // A block that can't be read must not keep the rest from being served.
            do { try repeatErasures(writer) } catch StoreError.stoppedErasing {
                // The next start does it.
            } catch {
                report("what was erased before could not be erased again: \(StoreError(error).cause)")
                stopIfDiskFailed(error)
            }
            completion()
        }
        if !isTaken { completion() }
    }

    private func repeatErasures(_ writer: ArchiveWriter) throws {
        // There is none after a copy, or in the rows that a server of a shared store copies at its start.
        let stamp = try withReader { try Store.rememberedStamp(on: $0.connection) }
        guard try stamp == nil || remembered.stamp() != stamp else { return }
        let distrusts = stamp == Store.unknownStamp
        let damages = try remembered.damages()
        for damage in damages { report("'\(damage.file)': \(damage.problem); run 'natterd fsck --repair'") }
        try writeRemembered()
        var failure: StoreError?
        for account in try remembered.accounts() {
            attempt(&failure) { try repeatErasure(of: account, writer) }
        }
        var missing: [ConversationID: Set<Seq>] = [:]
        try remembered.forEach { entry in
            guard case .message(let message) = entry else { return }
            // A block that can't be read is not served.
            attempt(&failure) {
                guard try isMissing(message, distrusts: distrusts) else { return }
                missing[message.conversation, default: []].insert(message.seq)
            }
        }
        for (id, seqs) in missing where failure != .stoppedErasing {
            let found = state.withLock { $0.conversation(id)?.identity }
            guard let found else { continue }
            attempt(&failure) {
                let eraser = Eraser(store: self, writer: writer, identity: found, isAgain: true)
                defer { finishErasing([id], hasErased: eraser.hasFoundErased) }
                let count = try eraser.erase(seqs)
                guard count > 0 else { return }
                report("erased \(count) messages again, of which this database still had the texts")
            }
        }
        if let failure { throw failure }
        // Each start reports it until it is repaired.
        if damages.isEmpty { try noteStamp() }
    }

    /// Runs `body`. One text or account that can't be erased does not keep the others from being erased.
    func attempt(_ failure: inout StoreError?, _ body: () throws -> Void) {
        do {
            guard !isFailed else { throw StoreError.outcomeUnknown }
            try body()
        } catch {
            failure = failure ?? StoreError(error)
            stopIfDiskFailed(error)
        }
    }

    /// Whether a message of this history is not erased in the database. A number can be another message after a restore.
    ///
    /// - Parameter distrusts: whether the log may still have what the database takes for erased.
    private func isMissing(_ entry: RememberedErasures.Message, distrusts: Bool) throws -> Bool {
        let found = state.withLock { state in
            state.conversation(entry.conversation).map { ($0.identity, Tail($0)) }
        }
        guard let (identity, tail) = found, entry.seq <= tail.head else { return false }
        return try withReader { archive in
            if try !distrusts && ErasedTexts.has(entry.seq, in: identity.number, archive.connection) { return false }
            let reader = LogReader(tail.log(of: identity, named: identity.name), archive)
            return try reader.block(containing: entry.seq)?.records.digest(of: entry.seq) == entry.digest
        }
    }

    /// Adds what the database knows.
    private func writeRemembered() throws {
        let (ids, accounts) = state.withLock { state in
            (state.conversations.mapValues(\.identity.id), state.accounts.values.filter(\.isErased).map(\.remembered))
        }
        try remembered.add(accounts.map { .account($0) })
        try withReader { reader in
            let rows = try reader.connection.statement("SELECT conversation,seq,hash FROM erasure")
            try remembered.add { add in
                while try rows.step() {
                    guard let id = ids[rows.int64(0)], let digest = Digest(bytes: rows.blob(2)), digest != .zero else {
                        continue
                    }
                    try add(.message(.init(conversation: id, seq: Seq(rows.uint64(1)), digest: digest)))
                }
            }
        }
    }

    /// After a repair. Another stamp than any of a file.
    static let unknownStamp = "?"

    /// The stamp of the file whose entries the database all knows; nil if there was none.
    private static func rememberedStamp(on connection: Connection) throws -> String? {
        try connection.meta(.erasedFile) { $0.text(0) }
    }

    private func noteStamp() throws {
        guard let stamp = try remembered.stamp() else { return }
        try upkeep { core in
            try core.engine.changeFiles { connection in
                try connection.setMeta(.erasedFile, stamp)
            }
        }
    }
}

extension StoreState {
    /// The entries that `DIR/erased` has of a change that was applied.
    func remembered(_ change: Change) -> [RememberedErasures.Entry] {
        switch change {
        case .erased(let messages, let number):
            guard let id = conversations[number]?.identity.id else { return [] }
            return messages.filter { $0.digest != .zero }.map {
                .message(.init(conversation: id, seq: $0.seq, digest: $0.digest))
            }
        case .accountChanged(let id, _, _, password: _?):
            return accounts[id].flatMap { $0.isErased ? [.account($0.remembered)] : nil } ?? []
        default: return []
        }
    }
}
