internal import NatterHTTP
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem

/// Sends new messages to the addresses of the hooks, while a server runs. Each hook has a thread, so that one that does
/// not answer delays no other.
final class HookService: Sendable {
    /// For a connection, and for the answer.
    private static let deadlineMilliseconds = 30_000
    private static let answerBytes = 64 << 10
    /// How long the end of the server waits for a request in flight. It is repeated at the next start.
    private static let stopMilliseconds = 2_000

    private struct State {
        var isStopping = false
        /// Rises with each commit and each change of a hook, to wake the threads.
        var news: UInt64 = 0
        /// Rises when an operator asks for something, to end pauses.
        var kicks = 0
        var running: Set<String> = []
    }

    let registry: HookRegistry
    private let store: Store
    private let clock: any WallClock
    private let events: EventSink
    private let state = Monitor(State())

    init(_ registry: HookRegistry, _ store: Store, clock: any WallClock, events: @escaping EventSink) {
        (self.registry, self.store, self.clock, self.events) = (registry, store, clock, events)
    }

    /// Starts a thread for each hook that has none. Call it at the start, and after a hook was added or changed.
    func start() throws {
        for hook in registry.all where hook.parked == nil {
            try rewind(hook)
            let isNew = state.withLock { !$0.isStopping && $0.running.insert(hook.id).inserted }
            guard isNew else { continue }
            do {
                try SystemThread(name: "natter-hook") { [self] in
                    run(hook.id)
                    state.signal { _ = $0.running.remove(hook.id) }
                    // If an operator asked for another attempt while this thread ended, `start` still saw it.
                    if let hook = try? registry.hook(hook.id), hook.parked == nil { restart() }
                }.detach()
            } catch {
                state.withLock { _ = $0.running.remove(hook.id) }
                throw error
            }
        }
        state.withLock { $0.kicks &+= 1 }
        wake()
    }

    /// If somebody has put an older log in place by hand, a hook may have delivered more than the log has now. Without
    /// this, the next messages with these numbers would never be sent.
    private func rewind(_ hook: Hook) throws {
        guard let id = ConversationID(hex: hook.conversationID), let head = store.hookHead(of: id),
            head.rawValue < hook.seq
        else { return }
        let reason = "messages up to \(hook.seq) were delivered, but the log ends at \(head); it goes on from there"
        try registry.update(hook.id) { $0.rewound(to: head.rawValue, reason, at: clock.now()) }
        events(Event(.warning, "hook_rewound", [("hook", hook.id), ("reason", reason)]))
    }

    private func restart() {
        do { try start() } catch { events(Event(.error, "hook_failed", [("reason", "\(error)")])) }
    }

    /// There may be new messages. Costs little if there are no hooks.
    func wake() {
        let hasHooks = state.withLock { state in
            state.news &+= 1
            return !state.running.isEmpty
        }
        if hasHooks { state.signal { _ in } }
    }

    /// Ends all threads, except those that wait for an answer too long.
    func stop() {
        state.signal { $0.isStopping = true }
        state.wait(timeoutMilliseconds: HookService.stopMilliseconds) { $0.running.isEmpty }
    }

    // MARK: One hook

    private func run(_ id: String) {
        var client: HTTPClient?
        while true {
            // From now on, news and a change of the hook end a pause.
            let seen = state.withLock { $0.isStopping ? nil : (news: $0.news, kicks: $0.kicks) }
            guard let seen, let hook = try? registry.hook(id), hook.parked == nil else { return }
            do {
                guard let page = try messages(of: hook) else {
                    try registry.update(id) { $0.parked = "the conversation was deleted" }
                    return events(Event(.warning, "hook_parked", [("hook", id), ("reason", "conversation deleted")]))
                }
                registry.note(id, readable: nil, at: clock.now())
                if let gone = page.gone {
                    let seqs = gone.lowerBound.rawValue...gone.upperBound.rawValue
                    try registry.update(id) { $0.passedOver(seqs, at: clock.now()) }
                }
                if try deliver(page, hook, &client, since: seen) { continue }
                if page.last.rawValue > hook.seq { continue }
            } catch {
                // The disk or the history is damaged. Others report it, too.
                events(Event(.error, "hook_failed", [("hook", id), ("reason", "\(error)")]))
                if error is StoreError { registry.note(id, readable: "\(error)", at: clock.now()) }
                pause(HookService.deadlineMilliseconds, since: seen.kicks)
                continue
            }
            state.wait { $0.isStopping || $0.news != seen.news }
        }
    }

    private func messages(of hook: Hook) throws -> Store.HookPage? {
        guard let id = ConversationID(hex: hook.conversationID) else { return nil }
        return try store.hookMessages(of: id, named: hook.name(in: store), after: Seq(hook.seq))
    }

    /// Sends the messages of a page in order, until one fails.
    ///
    /// - Returns: whether to look again at once.
    private func deliver(
        _ page: Store.HookPage, _ hook: Hook, _ client: inout HTTPClient?, since seen: (news: UInt64, kicks: Int)
    ) throws -> Bool {
        let address = try HookAddress(hook.url)
        var isFirst = true
        for message in page.messages where hook.wants(message) {
            // The page is read again after news, so that messages deleted or erased meanwhile are not sent.
            if state.withLock({ $0.isStopping || (!isFirst && $0.news != seen.news) }) { return true }
            isFirst = false
            let connection = client ?? HookService.client(address, hook)
            client = connection
            var (status, reason): (Int?, String) = (nil, "")
            do throws(TransportError) {
                let answer = try connection.perform(
                    hook.request(message, to: address), deadlineMilliseconds: HookService.deadlineMilliseconds,
                    bodyLimit: HookService.answerBytes, statusSuffices: true)
                status = answer.status
                reason = "the answer was \(answer.status)"
            } catch {
                reason = error.phrase.english
            }
            // The server has ended meanwhile. The message is sent again at the next start.
            if state.withLock({ $0.isStopping }), status == nil { return true }
            let now = clock.now()
            if let status, (200...299).contains(status) {
                guard
                    try registry.update(
                        hook.id, isDelivery: true, { $0.delivered(message.seq.rawValue, status: status, at: now) })
                        != nil
                else { return true }
                continue
            }
            client = nil
            var next: Int64?
            let updated = try registry.update(hook.id) {
                next = $0.failed(message.seq.rawValue, status: status, reason, at: now)
            }
            guard updated != nil else { return true }
            guard let next else {
                events(Event(.warning, "hook_parked", [("hook", hook.id), ("reason", reason)]))
                return true
            }
            pause(Int(next), since: seen.kicks)
            return true
        }
        // Messages that the hook does not want are passed over.
        if let current = try? registry.hook(hook.id), current.seq < page.last.rawValue {
            try registry.update(hook.id) { $0.seq = max($0.seq, page.last.rawValue) }
            return true
        }
        return false
    }

    private static func client(_ address: HookAddress, _ hook: Hook) -> HTTPClient {
        let allows: ((String) -> Bool)? = hook.allowPrivate ? nil : { PublicAddress.isPublic($0) == true }
        return HTTPClient(
            address: address.server, timeoutMilliseconds: deadlineMilliseconds, caFile: nil,
            userAgent: "natterd/\(Release.version)", allows: allows)
    }

    /// - Parameter kicks: what the operator had asked for before the attempt.
    private func pause(_ milliseconds: Int, since kicks: Int) {
        state.wait(timeoutMilliseconds: milliseconds) { $0.isStopping || $0.kicks != kicks }
    }
}

extension Hook {
    /// The conversation's name. A group may have another one than when the hook was added.
    func name(in store: Store) -> String {
        ConversationID(hex: conversationID).flatMap { store.hookName(of: $0) } ?? conversation
    }

    /// Texts that users wrote. Everything else only if the hook wants events; what an operator imports is never news.
    fileprivate func wants(_ message: Message) -> Bool {
        if message.isImported || message.isErased { return false }
        return events || (message.kind == .text && !message.isDeleted)
    }
}
