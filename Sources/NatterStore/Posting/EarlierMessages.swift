internal import NatterConversation
internal import NatterModel
internal import NatterLog
internal import NatterSystem

/// The thread that finds the messages of repeated ids, so that new messages do not wait for that.
final class EarlierMessages: Sendable {
    private struct Queue {
        var jobs: [@Sendable () -> Void] = []
        var isStopping = false
    }

    private let queue = Monitor(Queue())

    func submit(_ job: @escaping @Sendable () -> Void) { queue.signal { $0.jobs.append(job) } }

    /// Ends the thread after everything submitted is done.
    func stop() { queue.signal { $0.isStopping = true } }

    func run() {
        func take(_ queue: inout Queue) -> [@Sendable () -> Void]? {
            defer { queue.jobs = [] }
            return queue.jobs.isEmpty ? nil : queue.jobs
        }
        while let jobs = queue.next(take, unless: { $0.isStopping }) {
            for job in jobs { job() }
        }
    }
}

/// Finds the earlier messages of one request. A client that repeats a batch asks for neighbours, so the last block is
/// kept.
struct EarlierMessageReader {
    private let store: Store
    private var tails: [Int64: Tail] = [:]
    private var last: (conversation: Int64, block: OpenBlock)?

    init(_ store: Store) { self.store = store }

    /// - Parameter given: the message that was sent with the same id now.
    mutating func message(
        _ seq: Seq, of conversation: ConversationIdentity, named name: String, again given: NewMessage
    ) -> PostOutcome {
        do {
            if let tail = tail(of: conversation, upTo: seq), seq < tail.first {
                return .repeated(EarlierMessageReader.gone(seq, of: conversation, named: name))
            }
            if last?.conversation != conversation.number || last?.block.records.index(of: seq) == nil {
                last = try load(seq, conversation, name)
            }
            guard let last, let index = last.block.records.index(of: seq) else {
                return .refused(.failed("message \(seq) of '\(name)' is missing"))
            }
            let message = Message(
                last.block.records[index], hash: last.block.hash(after: index), of: conversation.id, named: name)
            // The text of an erased message is gone, but the log still has its kind and the message that it is about.
            if message.isErased, message.kind != given.kind || message.about != given.about, let key = given.key {
                return .refused(.idReused(key.text))
            }
            guard let tail = tails[conversation.number] else { return .repeated(message) }
            return .repeated(
                try store.withReader { archive in
                    let reader = LogReader(tail.log(of: conversation, named: name), archive)
                    return try MessageFolder(reader, folds: false).applied(to: message)
                })
        } catch {
            return .refused(StoreError(error))
        }
    }

    /// A message that is not kept any more, as an erased one whose time nobody knows. It was sent, so it must not be sent again.
    private static func gone(_ seq: Seq, of conversation: ConversationIdentity, named name: String) -> Message {
        Message(
            conversation: name, conversationID: conversation.id, seq: seq,
            cursor: MessageCursor(conversation: conversation.id, seq: seq, hashPrefix: 0), time: .zero, sender: "",
            text: "", isErased: true)
    }

    private mutating func tail(of conversation: ConversationIdentity, upTo seq: Seq) -> Tail? {
        if tails[conversation.number].map({ seq > $0.head }) ?? true {
            tails[conversation.number] = store.state.withLock { state in
                state.conversations[conversation.number].map { Tail($0) }
            }
        }
        return tails[conversation.number]
    }

    private mutating func load(
        _ seq: Seq, _ conversation: ConversationIdentity, _ name: String
    ) throws -> (Int64, OpenBlock)? {
        guard let tail = tail(of: conversation, upTo: seq), seq <= tail.head else { return nil }
        return try store.withReader { archive in
            let reader = LogReader(tail.log(of: conversation, named: name), archive)
            return (conversation.number, try reader.storedBlock(containing: seq))
        }
    }
}
