internal import Synchronization

/// One request and its reply, as handlers see them. All members are thread-safe.
final class Exchange: Sendable {
    /// The client that sent the request.
    struct Asker: Sendable {
        let owner: JobOwner
        /// The reply if they may have no answer any more, because their session or token has ended; nil while they may.
        let refusal: @Sendable () -> Reply?
    }

    let head: RequestHead
    private let mailbox: Mailbox
    private let hasResponded = Atomic<Bool>(false)
    private let hasEnded = Atomic<Bool>(false)
    private let asker = Mutex<Asker?>(nil)
    private let recorded = Mutex<[(key: String, value: String)]>([])
    /// The connection that sends the reply, or nil after the request has ended. Only the listener's thread may access
    /// it. The compiler cannot check this, and a lock would cost time in every request.
    nonisolated(unsafe) var connection: Connection?

    init(head: RequestHead, mailbox: Mailbox, connection: Connection?) {
        (self.head, self.mailbox, self.connection) = (head, mailbox, connection)
    }

    /// Sends the reply. Call it once. The reply is dropped if the client has disconnected.
    func respond(_ reply: Reply) {
        guard !hasResponded.exchange(true, ordering: .acquiringAndReleasing) else {
            assertionFailure("'\(head.target)' was answered twice")
            return
        }
        if mailbox.isOnLoop, let connection, connection.isDispatching {
            connection.reply = reply
        } else {
            mailbox.post(.reply(self, reply))
        }
    }

    /// Adds a fact to the log entry of this request. It must never be a text, a token or a password.
    func addFact(_ key: String, _ value: String) { recorded.withLock { $0.append((key, value)) } }

    /// Whether the whole request arrived together, so that nothing that somebody saw happened since its head was
    /// read. Only the listener's thread may ask.
    var hasArrivedAtOnce: Bool { connection?.hasArrivedAtOnce ?? false }

    var facts: [(key: String, value: String)] { recorded.withLock { $0 } }

    /// Continues a paused transfer. Either ``BodySink/receive(_:_:)`` paused reading a body, or a ``BodyProducer`` had
    /// no bytes ready.
    func resume() { mailbox.post(.resume(self)) }

    // MARK: The asker, and whether work goes on

    /// Notes who asks, when that is known.
    func note(_ asker: Asker) { self.asker.withLock { $0 = asker } }

    /// The owner of a request whose asker is not known.
    var network: JobOwner { .network(LoginLimiter.network(of: head.remoteAddress)) }
    var owner: JobOwner { asker.withLock { $0?.owner } ?? network }

    /// Whether somebody waits for the answer.
    var isWanted: Bool { !hasEnded.load(ordering: .acquiring) }

    /// The reply instead of an answer that changed nothing; nil while its asker may have it. This is the one place that decides
    /// it: before each job of a worker, when the answer begins, and before each piece of it.
    var refusal: Reply? { asker.withLock { $0 }?.refusal() }

    /// Whether work on the answer may go on. If its asker may not have it any more, they are told, or the answer is cut.
    func mayGoOn() -> Bool {
        guard isWanted else { return false }
        guard let refusal else { return true }
        if hasResponded.exchange(true, ordering: .acquiringAndReleasing) {
            mailbox.post(.cut(self))
        } else {
            mailbox.post(.reply(self, refusal))
        }
        return false
    }

    /// Ends the request, with an answer or without. Only the listener's thread may call it.
    func end() {
        connection = nil
        hasEnded.store(true, ordering: .releasing)
    }
}
