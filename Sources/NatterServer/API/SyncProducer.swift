internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

/// Produces a sync answer while it is sent. A worker makes one piece ahead of the socket, so the listener's thread
/// never waits for a disk, and a slow reader costs little memory.
final class SyncProducer: BodyProducer {
    private static let pieceBytes = 256 << 10

    private let call: Call
    private let form: SyncAnswer.Form
    /// Only one worker at a time reads it, because the next piece is made only after the last one was taken.
    private let changes: SyncAnswer
    private let state = Monitor(State())

    private struct State {
        /// The next piece, or nil if it is not ready.
        var ready: Piece?
        /// The exchange to resume when the next piece is ready.
        var waiting: Exchange?
        var isFinished = false
        var hasFailed = false
    }

    private struct Piece {
        var bytes: [UInt8] = []
        var isLast = false
    }

    init(_ changes: SyncAnswer, _ form: SyncAnswer.Form, _ call: Call) {
        (self.changes, self.form, self.call) = (changes, form, call)
    }

    /// Returns the whole answer if it fits into one piece. Otherwise the piece is kept for `next`.
    func wholeIfSmall() -> [UInt8]? {
        makeNext()
        return state.withLock { $0.ready?.isLast == true ? $0.ready?.bytes : nil }
    }

    func next(maximum: Int, _ exchange: Exchange) -> ProducerStep {
        let (step, hasMore) = state.withLock { state -> (ProducerStep, Bool) in
            if let ready = state.ready {
                state.ready = nil
                state.isFinished = ready.isLast
                return (.bytes(ready.bytes), !ready.isLast)
            }
            if state.hasFailed { return (.abort, false) }
            if state.isFinished { return (.end, false) }
            state.waiting = exchange
            return (.wait, false)
        }
        if hasMore { call.server.workers.submitAlways { [self] in makeNext() } }
        return step
    }

    func closed() {}

    private func makeNext() {
        let piece = try? makePiece()
        let waiting = state.withLock { state -> Exchange? in
            state.ready = piece
            state.hasFailed = piece == nil
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume()
    }

    private func makePiece() throws(StoreError) -> Piece {
        var piece = Piece()
        while piece.bytes.count < SyncProducer.pieceBytes {
            guard let chunks = try changes.next() else {
                let end = SyncEnd(cursor: changes.cursor.description, more: changes.more)
                append(line: WireJSON.encode(end), to: &piece.bytes)
                piece.isLast = true
                addFact()
                break
            }
            for chunk in chunks { append(chunk, to: &piece.bytes) }
        }
        return piece
    }

    private func addFact() {
        var tally = MessageTally()
        for sent in changes.sent { tally.add(sent.conversation, sent.first.rawValue, sent.last.rawValue) }
        call.addFact("sent", tally)
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
            let line = SyncRead(conversation: name, conversationID: id.description, read: seq.rawValue)
            append(line: WireJSON.encode(line), to: &bytes)
        case .gone(let name, let id, let reason):
            let line = SyncGone(conversation: name, conversationID: id.description, reason: reason)
            append(line: WireJSON.encode(line), to: &bytes)
        case .damaged(let name, let id, let from, let to):
            let line = SyncDamage(
                conversation: name, conversationID: id.description, from: from.rawValue, to: to.rawValue)
            append(line: WireJSON.encode(line), to: &bytes)
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
