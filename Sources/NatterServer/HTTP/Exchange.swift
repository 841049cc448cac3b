internal import Synchronization

/// One request and its answer, as handlers see them. Every member may be called from any thread.
///
/// Unchecked because of `connection`, which only the loop's thread touches.
public final class Exchange: @unchecked Sendable {
    public let head: RequestHead
    private let mailbox: Mailbox
    private let hasAnswered = Atomic<Bool>(false)
    private let told = Mutex<[(key: String, value: String)]>([])
    /// Where the answer goes; nil once the request is over. The loop's thread only.
    var connection: Connection?

    init(head: RequestHead, mailbox: Mailbox, connection: Connection) {
        (self.head, self.mailbox, self.connection) = (head, mailbox, connection)
    }

    /// Gives the answer, once; if the client is gone it is dropped.
    public func respond(_ reply: Reply) {
        guard !hasAnswered.exchange(true, ordering: .acquiringAndReleasing) else {
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

    /// Adds to what the log says of this request, until it is over. Never a text, a token or a password.
    public func tell(_ key: String, _ value: String) { told.withLock { $0.append((key, value)) } }

    /// All that was told.
    var facts: [(key: String, value: String)] { told.withLock { $0 } }

    /// Goes on reading a body that ``BodySink/receive(_:_:)`` has paused.
    public func resumeReading() { mailbox.post(.resume(self)) }

    /// Asks a ``BodyProducer`` again that had to wait.
    public func resumeWriting() { mailbox.post(.resume(self)) }
}
