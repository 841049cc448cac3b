internal import Synchronization

/// One request and its reply, as handlers see them. Call any public member from any thread.
public final class Exchange: Sendable {
    public let head: RequestHead
    private let mailbox: Mailbox
    private let hasResponded = Atomic<Bool>(false)
    private let recorded = Mutex<[(key: String, value: String)]>([])
    /// The connection that sends the reply; nil once the request is over. Only the listener's thread may touch it, which the
    /// compiler cannot check; a lock here would cost every request.
    nonisolated(unsafe) var connection: Connection?

    init(head: RequestHead, mailbox: Mailbox, connection: Connection) {
        (self.head, self.mailbox, self.connection) = (head, mailbox, connection)
    }

    /// Gives the reply, once. It is dropped if the client has gone.
    public func respond(_ reply: Reply) {
        guard !hasResponded.exchange(true, ordering: .acquiringAndReleasing) else {
            assertionFailure("'\(head.target)' was answered twice")
            reply.discard()
            return
        }
        if mailbox.isOnLoop, let connection, connection.isDispatching {
            connection.reply = reply
        } else if !mailbox.post(.reply(self, reply)) {
            reply.discard()
        }
    }

    /// Adds a fact to the log entry of this request. Never a text, a token or a password.
    public func addFact(_ key: String, _ value: String) { recorded.withLock { $0.append((key, value)) } }

    var facts: [(key: String, value: String)] { recorded.withLock { $0 } }

    /// Continues a transfer that waits: reading a body that ``BodySink/receive(_:_:)`` paused, or asking a ``BodyProducer``
    /// for more.
    public func resume() { mailbox.post(.resume(self)) }
}
