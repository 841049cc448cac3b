internal import NatterSystem
internal import NatterModel
package import NatterStore
package import NatterProtocol

/// Waits for the value that a call passes to its completion.
package func answer<Value: Sendable>(_ ask: (@escaping @Sendable (Value) -> Void) throws -> Void) rethrows -> Value {
    let result = Monitor<Value?>(nil)
    try ask { value in result.signal { $0 = value } }
    while true { if let value = result.wait(until: { $0 }) { return value } }
}

extension SyncAnswer {
    /// All frames of an answer, as the server's handler encodes them.
    package func frames() throws -> [SyncFrame] {
        var frames: [SyncFrame] = []
        while let chunks = try next() { frames += chunks.map(SyncFrame.of) }
        return frames + [SyncFrame(.line, WireJSON.encode(SyncEnd(cursor: cursor.description, more: more)))]
    }
}

extension SyncFrame {
    fileprivate static func of(_ chunk: SyncAnswer.Chunk) -> SyncFrame {
        switch chunk {
        case .conversation(let view):
            let object = ConversationObject(
                name: view.name, id: view.id.description, kind: view.kind.name, first: view.first.rawValue,
                head: view.head.rawValue, hash: view.hash.description, read: view.read.rawValue, unread: view.unread,
                topic: .some(view.topic), last: nil, type: "conversation")
            return SyncFrame(.line, WireJSON.encode(object))
        // An answer in blocks has none.
        case .messages: return SyncFrame(.line, [])
        case .erased(let id, let seqs):
            return SyncFrame(
                .line, WireJSON.encode(SyncErased(conversationID: id.description, seqs: seqs.map(\.rawValue))))
        case .dictionary(let record): return SyncFrame(.dictionary, record)
        case .block(let block): return SyncFrame(.block, block)
        case .provisional(let block): return SyncFrame(.provisional, block)
        case .read(let name, let id, let seq, let unread):
            return SyncFrame(
                .line,
                WireJSON.encode(
                    SyncRead(
                        conversation: name, conversationID: id.description, read: seq.rawValue, unread: unread)))
        case .gone(let name, let id, let reason):
            return SyncFrame(
                .line, WireJSON.encode(SyncGone(conversation: name, conversationID: id.description, reason: reason)))
        case .contacts: return SyncFrame(.line, WireJSON.encode(SyncContacts()))
        case .damaged(let name, let id, let from, let to):
            return SyncFrame(
                .line,
                WireJSON.encode(
                    SyncDamage(
                        conversation: name, conversationID: id.description, from: from.rawValue, to: to.rawValue)))
        }
    }
}
