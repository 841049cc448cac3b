internal import NatterModel
internal import NatterStore
internal import NatterProtocol

/// Makes the pieces of a sync answer.
final class SyncProducer: Sendable {
    private let call: TypedCall<[UInt8]>
    private let form: SyncAnswer.Form
    private let changes: SyncAnswer
    private let cursor: String

    /// - Parameter cursor: that of `changes`, as text.
    init(_ changes: SyncAnswer, _ form: SyncAnswer.Form, cursor: String, _ call: TypedCall<[UInt8]>) {
        (self.changes, self.form, self.cursor, self.call) = (changes, form, cursor, call)
    }

    func body() -> ReplyBody {
        PieceProducer(call.server.workers, call.exchange, sourceBytes: changes.heldBytes) { [self] in try? makePiece() }
            .body()
    }

    private func makePiece() throws(StoreError) -> Piece {
        var piece = Piece()
        while piece.bytes.count < Piece.bytes {
            guard let chunks = try changes.next() else {
                let end = SyncEnd(cursor: cursor, more: changes.more)
                append(line: WireJSON.encode(end), to: &piece.bytes)
                piece.isLast = true
                call.addFact("sent", MessageTally(changes))
                break
            }
            for chunk in chunks { append(chunk, to: &piece.bytes) }
        }
        piece.keptBytes = changes.restBytes
        return piece
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
        case .read(let name, let id, let seq, let unread):
            let line = SyncRead(
                conversation: name, conversationID: id.description, read: seq.rawValue, unread: unread)
            append(line: WireJSON.encode(line), to: &bytes)
        case .gone(let name, let id, let reason):
            let line = SyncGone(conversation: name, conversationID: id.description, reason: reason)
            append(line: WireJSON.encode(line), to: &bytes)
        case .contacts: append(line: WireJSON.encode(SyncContacts()), to: &bytes)
        case .erased(let id, let seqs):
            let line = SyncErased(conversationID: id.description, seqs: seqs.map(\.rawValue))
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

extension MessageTally {
    /// The messages of an answer that is complete.
    init(_ changes: SyncAnswer) {
        self.init()
        for sent in changes.sent { add(sent.conversation, sent.first.rawValue, sent.last.rawValue) }
    }
}
