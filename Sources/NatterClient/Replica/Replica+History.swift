internal import NatterArchive
public import NatterCrypto
internal import NatterSQLite
internal import NatterLog
public import NatterModel

/// What a message cursor is to a replica.
public enum CursorStanding: Sendable, Equatable {
    /// It names this message of this history.
    case good(Seq)
    /// It is of another conversation, or of a former one of the same name.
    case foreign
    /// It is beyond what the replica has; a sync may bring it.
    case ahead(Seq)
    /// At its seq this history has another message: that of a server that was put back.
    case diverged(Seq)
    /// The message at its seq is not here, so nothing can be said.
    case unknown(Seq)
}

extension Replica {
    /// The hash chain after a message, 0 for the start; nil if that can't be told because messages are missing there.
    public func hash(at seq: Seq, of conversation: ReplicaConversation) throws(ReplicaError) -> Digest? {
        if seq == .zero { return HashChain.start(of: conversation.id) }
        if seq == conversation.head { return conversation.hash }
        guard seq < conversation.head else { return nil }
        do {
            if let block = try block(containing: seq, of: conversation),
                let index = block.records.index(of: seq)
            {
                return HashChain.advance(block.hashBefore, over: block.records, 0..<index + 1)
            }
            // The one before a hole's end is known to the block that follows.
            guard let next = try block(containing: seq.next, of: conversation), next.records.firstSeq == seq.next else {
                return nil
            }
            return next.hashBefore
        } catch ArchiveError.damaged {
            return nil
        } catch {
            throw ReplicaError(error)
        }
    }

    /// The cursor that stands for "everything up to here has been seen"; nil where `hash(at:of:)` is.
    public func cursor(at seq: Seq, of conversation: ReplicaConversation) throws(ReplicaError) -> MessageCursor? {
        try hash(at: seq, of: conversation).map {
            MessageCursor(conversation: conversation.id, seq: seq, hashPrefix: $0.prefix)
        }
    }

    /// Whether a reader may go on from a cursor.
    public func standing(
        of cursor: MessageCursor, in conversation: ReplicaConversation
    ) throws(ReplicaError) -> CursorStanding {
        guard cursor.isOf(conversation.id) else { return .foreign }
        guard cursor.seq <= conversation.head else { return .ahead(cursor.seq) }
        guard let hash = try hash(at: cursor.seq, of: conversation) else { return .unknown(cursor.seq) }
        return hash.prefix == cursor.hashPrefix ? .good(cursor.seq) : .diverged(cursor.seq)
    }
}
