internal import Synchronization

/// Takes the answer of a request: the listener, or a caller in this process. Any thread may call it.
protocol AnswerPlace: AnyObject, Sendable {
    func receive(_ step: AnswerStep, of request: Exchange)
}

enum AnswerStep: Sendable {
    case reply(Reply)
    /// Continues a paused transfer of the body or of the answer.
    case resume
    /// Ends an answer that its reader may not have any more.
    case cut
}

/// One request and its reply, as handlers see them. All members are thread-safe.
final class Exchange: Sendable {
    /// The client that sent the request.
    struct Asker: Sendable {
        let owner: JobOwner
        /// The reply if they may have no answer any more, because their session or token has ended; nil while they may.
        let refusal: @Sendable () -> Reply?
    }

    let head: RequestHead
    private let place: any AnswerPlace
    private let hasResponded = Atomic<Bool>(false)
    private let hasEnded = Atomic<Bool>(false)
    private let asker = Mutex<Asker?>(nil)
    private let recorded = Mutex<[(key: String, value: String)]>([])
    /// The connection that sends the reply, or nil if there is none or the request has ended. Only the listener's thread may
    /// access it. The compiler cannot check this, and a lock would cost time in every request.
    nonisolated(unsafe) var connection: ClientConnection?

    init(head: RequestHead, answering place: any AnswerPlace, connection: ClientConnection? = nil) {
        (self.head, self.place, self.connection) = (head, place, connection)
    }

    /// Sends the reply. Call it once. The reply is dropped if the client has disconnected.
    func respond(_ reply: Reply) {
        guard !hasResponded.exchange(true, ordering: .acquiringAndReleasing) else {
            assertionFailure("'\(head.target)' was answered twice")
            return
        }
        place.receive(.reply(reply), of: self)
    }

    /// Adds a fact to the log entry of this request. It must never be a text, a token or a password.
    func addFact(_ key: String, _ value: String) { recorded.withLock { $0.append((key, value)) } }

    /// Whether the whole request arrived together, so that nothing that somebody saw happened since its head was
    /// read. Only the listener's thread may ask.
    var hasArrivedAtOnce: Bool { connection?.hasArrivedAtOnce ?? false }

    var facts: [(key: String, value: String)] { recorded.withLock { $0 } }

    /// Continues a paused transfer. Either ``BodySink/receive(_:_:)`` paused reading a body, or a ``BodyProducer`` had
    /// no bytes ready.
    func resume() { place.receive(.resume, of: self) }

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
        let hasResponded = hasResponded.exchange(true, ordering: .acquiringAndReleasing)
        place.receive(hasResponded ? .cut : .reply(refusal), of: self)
        return false
    }

    /// Ends the request, with an answer or without. Only the thread that takes the answer may call it.
    func end() {
        connection = nil
        hasEnded.store(true, ordering: .releasing)
    }
}
