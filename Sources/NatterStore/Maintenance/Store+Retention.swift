internal import NatterConversation
public import NatterModel
internal import NatterSystem

extension StoreState {
    /// How long messages of a conversation are kept: at most as long as the store keeps any.
    func retention(of conversation: ConversationState) -> Retention { .shorter(conversation.retention, retention) }
}

extension Store {
    /// Whether messages up to a time are not kept any more.
    func isDue(_ time: Timestamp, in number: Int64) -> Bool {
        let now = clock.now()
        return state.withLock { state in
            let cutoff = state.conversations[number].flatMap { state.retention(of: $0).cutoff(at: now) }
            return cutoff.map { time <= $0 } ?? false
        }
    }

    /// How long the store keeps messages at most.
    public var retention: Retention { state.withLock { $0.retention } }

    public func use(_ retention: Retention) { state.withLock { $0.retention = retention } }

    /// Drops the messages of all conversations that are due, in the background.
    public func dropDueMessages() {
        let numbers = state.withLock { state in
            state.conversations.values.filter { state.retention(of: $0).days != nil }.map(\.identity.number).sorted()
        }
        dropDueMessages(of: numbers)
    }

    func dropDueMessages(of id: ConversationID) {
        guard let number = state.withLock({ $0.conversation(id)?.identity.number }) else { return }
        dropDueMessages(of: [number])
    }

    /// - Parameter completion: gets the last error.
    func dropDueMessages(
        of numbers: [Int64], _ completion: @escaping @Sendable (StoreError?) -> Void = { _ in }
    ) {
        guard engine.sealsTails, !numbers.isEmpty else { return completion(nil) }
        let isTaken = sealer.submit { [self] writer in
            var failure: StoreError?
            defer { completion(failure) }
            var dropped: [ConversationID] = []
            func each(_ numbers: [Int64], _ body: (Int64) throws -> Void) {
                for number in numbers where !isFailed && sealer.keepUp(self, writer) {
                    do { try body(number) } catch {
                        failure = StoreError(error)
                        report("cannot drop old messages of conversation \(number): \(error)")
                        stopIfDiskFailed(error)
                    }
                }
            }
            let run = RetentionRun(self, writer)
            // Once for all conversations, because it may move the tails of all. On a full disk it can't be helped if something stays
            // in the journal: what goes makes room.
            var (due, cleared): ([Int64], Commit) = ([], .zero)
            each(numbers) { number in
                guard let last = try tryingAgain({ try run.prepare(number) }) else { return }
                due.append(number)
                cleared = max(cleared, last)
            }
            if !due.isEmpty { sealer.clearJournal(upTo: cleared, self, writer) }
            each(due) { number in
                guard try tryingAgain({ try run.run(number, cleared: cleared) }) else { return }
                dropped += state.withLock { [$0.conversations[number]?.identity.id].compactMap { $0 } }
            }
            // The search index holds words of what is gone, and the write-ahead log its blocks' texts. A step that failed, as at a
            // damaged block, may have left a new file, and so may each run after it.
            if !dropped.isEmpty || failure != nil {
                finishErasing(isShared ? dropped : [], hasErased: !dropped.isEmpty)
            }
        }
        if !isTaken { completion(.busy) }
    }

    /// Sets how long the messages of a conversation are kept, and drops what is due.
    ///
    /// - Parameters:
    ///   - name: as an operator calls it: `general`, a group's name, `@alice,@bob`.
    ///   - principal: the admin who asks; nil for the operator.
    public func setRetention(
        _ retention: Retention, of name: String, by actor: String, asking principal: Principal? = nil,
        _ completion: @escaping Completion<RetentionView>
    ) {
        let dropping: Completion<Int64> = { [self] result in
            let number: Int64
            do throws(StoreError) { number = try result.get() } catch { return completion(.failure(error)) }
            dropDueMessages(of: [number]) { [self] failure in
                switch failure {
                case .diskFull: return completion(.failure(.notDropped(name)))
                // The next time that old messages are looked for, in an hour or at a start, they go.
                case nil, .busy: break
                case let failure?:
                    return completion(
                        .failure(
                            .failed(
                                "the time is set, but old messages of '\(name)' are still there: \(failure.phrase); run 'natterd fsck'"
                            )))
                }
                let view = state.withLock { state in
                    state.conversations[number].map {
                        RetentionView(conversation: name, retention: state.retention(of: $0), first: $0.first)
                    }
                }
                completion(view.map { .success($0) } ?? .failure(.noSuchConversation(name)))
            }
        }
        // Somebody who shortens the time may need space on the disk.
        change(room: .kept, answering: dropping) { [self] state, builder throws(StoreError) in
            try Authority.checkAdmin(principal, at: builder.now, state)
            guard let conversation = try StoreExporter.find(name, in: state) else {
                throw .noSuchConversation(name)
            }
            let number = conversation.identity.number
            guard var decision = try decide(retention, for: conversation, state) else { return (.nothing, number) }
            decision.append(builder.audited(actor, "retention_set", "\(name) \(retention)"))
            return (decision, number)
        }
    }

    /// - Returns: nil if nothing changes.
    /// - Throws: if the store keeps messages for a shorter time.
    func decide(
        _ retention: Retention, for conversation: ConversationState, _ state: StoreState
    ) throws(StoreError) -> Decision? {
        if retention.days != nil, Retention.shorter(retention, state.retention) != retention {
            throw .forbidden("this server keeps messages for \(state.retention.days ?? 0) days at most")
        }
        guard retention != conversation.retention else { return nil }
        return Decision(.retentionSet(conversation.identity.number, retention))
    }
}

/// How long the messages of a conversation are kept, and the first one that is.
public struct RetentionView: Sendable, Equatable {
    public let conversation: String
    public let retention: Retention
    public let first: Seq
}
