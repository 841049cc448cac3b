internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

/// Writes an answer of sync while it is sent: one piece ahead of the socket, made by a worker, so that neither the loop waits
/// for a disk nor memory for a slow reader.
final class SyncProducer: BodyProducer {
    private static let pieceBytes = 256 << 10

    private let server: ChatServer
    private let exchange: Exchange
    private let form: SyncAnswer.Form
    private let state: Monitor<State>

    private struct State {
        var source: Source
        /// The piece that is ready.
        var ready: [UInt8]?
        var isBeingMade = false
        /// Who is to be told when it is.
        var waiting: Exchange?
        var isFinished = false
        var hasFailed = false
    }

    /// The answer itself, read by one thread at a time: by whoever set `isBeingMade`.
    private final class Source: @unchecked Sendable {
        let changes: SyncAnswer
        var hasEnded = false
        init(_ changes: SyncAnswer) { self.changes = changes }
    }

    init(_ changes: SyncAnswer, _ form: SyncAnswer.Form, _ call: Call) {
        (self.server, self.exchange, self.form) = (call.server, call.exchange, form)
        state = Monitor(State(source: Source(changes)))
    }

    /// The first piece, where it is all there is; else it is kept for `next`.
    func wholeIfSmall() -> [UInt8]? {
        let source = state.withLock { $0.source }
        guard let piece = try? make(source) else {
            state.withLock { $0.hasFailed = true }
            return nil
        }
        if source.hasEnded { return piece }
        state.withLock { $0.ready = piece }
        return nil
    }

    func next(maximum: Int, _ exchange: Exchange) -> ProducerStep {
        let (step, begin) = state.withLock { state -> (ProducerStep, Bool) in
            if let ready = state.ready {
                state.ready = nil
                let begin = !state.isFinished && !state.source.hasEnded
                state.isBeingMade = begin
                if !begin { state.isFinished = true }
                return (.bytes(ready), begin)
            }
            if state.hasFailed { return (.abort, false) }
            if state.isFinished { return (.end, false) }
            state.waiting = exchange
            return (.wait, false)
        }
        if begin { server.workers.goOn { [self] in makeNext() } }
        return step
    }

    func closed() {}

    private func makeNext() {
        let source = state.withLock { $0.source }
        let piece = try? make(source)
        let waiting = state.withLock { state -> Exchange? in
            state.isBeingMade = false
            if let piece { state.ready = piece } else { state.hasFailed = true }
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resumeWriting()
    }

    /// The next bytes of the answer, about a piece.
    private func make(_ source: Source) throws(StoreError) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < SyncProducer.pieceBytes {
            guard let chunks = try source.changes.next() else {
                let end = SyncEnd(cursor: source.changes.cursor.description, more: source.changes.more)
                append(line: WireJSON.encode(end), to: &bytes)
                source.hasEnded = true
                tell(source)
                break
            }
            for chunk in chunks { append(chunk, to: &bytes) }
        }
        return bytes
    }

    /// For the log.
    private func tell(_ source: Source) {
        var tally = MessageTally()
        for sent in source.changes.sent { tally.add(sent.conversation, sent.first.rawValue, sent.last.rawValue) }
        if !tally.isEmpty { exchange.tell("sent", tally.text) }
    }

    private func append(_ chunk: SyncAnswer.Chunk, to bytes: inout [UInt8]) {
        switch chunk {
        case .conversation(let view):
            append(line: WireJSON.encode(ConversationObject(view, type: "conversation")), to: &bytes)
        case .messages(let messages):
            for message in messages {
                append(line: WireJSON.encode(MessageObject(message, type: "message")), to: &bytes)
            }
        case .dictionary(let record): SyncFrame(.dictionary, record).append(to: &bytes)
        case .block(let block): SyncFrame(.block, block).append(to: &bytes)
        case .provisional(let block): SyncFrame(.provisional, block).append(to: &bytes)
        case .read(let name, let id, let seq):
            append(
                line: WireJSON.encode(
                    SyncRead(conversation: name, conversationID: id.description, read: seq.rawValue)), to: &bytes)
        case .gone(let name, let id, let reason):
            append(
                line: WireJSON.encode(
                    SyncGone(conversation: name, conversationID: id.description, reason: reason)), to: &bytes)
        case .damaged(let name, let id, let from, let to):
            append(
                line: WireJSON.encode(
                    SyncDamage(
                        conversation: name, conversationID: id.description, from: from.rawValue, to: to.rawValue)),
                to: &bytes)
        }
    }

    private func append(line: [UInt8], to bytes: inout [UInt8]) {
        switch form {
        case .messages:
            bytes += line
            bytes.append(UInt8(ascii: "\n"))
        case .blocks: SyncFrame(.line, line).append(to: &bytes)
        }
    }
}
