internal import Synchronization

/// One request and its reply, as handlers see them. All members are thread-safe.
final class Exchange: Sendable {
    let head: RequestHead
    private let mailbox: Mailbox
    private let hasResponded = Atomic<Bool>(false)
    private let recorded = Mutex<[(key: String, value: String)]>([])
    /// The connection that sends the reply, or nil after the request has ended. Only the listener's thread may access
    /// it. The compiler cannot check this, and a lock would cost time in every request.
    nonisolated(unsafe) var connection: Connection?

    init(head: RequestHead, mailbox: Mailbox, connection: Connection) {
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
}
