internal import NatterArchive
internal import NatterLog
public import NatterModel

extension Replica {
    /// Visits the messages that a filter wants, oldest first, a block's worth at a time; holes are visited too.
    ///
    /// - Parameters:
    ///   - conversation: as looked up; what comes after its `head` is not visited.
    ///   - limit: how many messages to visit at most, the oldest of them.
    ///   - visit: false ends the walk.
    /// - Throws: `ReplicaError`, and what `visit` throws.
    public func forward(
        _ conversation: ReplicaConversation, _ filter: MessageFilter, limit: Int = .max,
        visit: (ReplicaPiece) throws -> Bool
    ) throws {
        let last = filter.last(conversation.head)
        var seq = max(filter.after.next, conversation.first)
        var left = limit
        while seq <= last, left > 0 {
            let stretch = try stretch(at: seq, of: conversation, filter)
            let end = min(stretch.range.upperBound, last)
            var piece: ReplicaPiece?
            switch stretch.content {
            case .passedOver: piece = nil
            case .missing(let reason): piece = .missing(conversation, seq...end, reason)
            case .block(let block):
                let positions = Array(filter.positions(in: block.records, seq...end).prefix(left))
                left -= positions.count
                if !positions.isEmpty {
                    piece = .messages(MessageRun(conversation: conversation, block: block, positions: positions))
                }
            }
            if let piece, try !visit(piece) { return }
            seq = end.next
        }
    }

    /// The same, newest first: runs and the positions in each fall.
    public func backward(
        _ conversation: ReplicaConversation, _ filter: MessageFilter, limit: Int = .max,
        visit: (ReplicaPiece) throws -> Bool
    ) throws {
        let first = max(filter.after.next, conversation.first)
        var seq = filter.last(conversation.head)
        var left = limit
        while seq >= first, seq > .zero, left > 0 {
            let stretch = try stretch(at: seq, of: conversation, filter)
            let start = max(stretch.range.lowerBound, first)
            var piece: ReplicaPiece?
            switch stretch.content {
            case .passedOver: piece = nil
            case .missing(let reason): piece = .missing(conversation, start...seq, reason)
            case .block(let block):
                let positions = Array(filter.positions(in: block.records, start...seq).reversed().prefix(left))
                left -= positions.count
                if !positions.isEmpty {
                    piece = .messages(MessageRun(conversation: conversation, block: block, positions: positions))
                }
            }
            if let piece, try !visit(piece) { return }
            seq = start.previous
        }
    }

    /// The seq after which exactly the newest `count` messages that a filter wants come; `filter.after` if there are fewer.
    /// So the newest can be visited oldest first without keeping them.
    public func start(
        ofNewest count: Int, _ conversation: ReplicaConversation, _ filter: MessageFilter
    ) throws(ReplicaError) -> Seq {
        let last = filter.last(conversation.head)
        if filter.isPlain, conversation.gapCount == 0 {
            let start = last.rawValue > UInt64(max(0, count)) ? Seq(last.rawValue - UInt64(max(0, count))) : .zero
            return max(filter.after, start)
        }
        var left = count
        var start = count > 0 ? filter.after : last
        do {
            try backward(conversation, filter) { piece in
                guard case .messages(let run) = piece else { return true }
                if run.positions.count >= left, left > 0 {
                    start = run.records.firstSeq.advanced(by: run.positions[left - 1]).previous
                    left = 0
                    return false
                }
                left -= run.positions.count
                return left > 0
            }
        } catch {
            throw ReplicaError(error)
        }
        return start
    }

    /// What lies around a seq.
    private struct Stretch {
        enum Content {
            case block(OpenBlock)
            /// Its times say that the filter wants none of it.
            case passedOver
            case missing(MissingReason)
        }

        let range: ClosedRange<Seq>
        let content: Content
    }

    private func stretch(
        at seq: Seq, of conversation: ReplicaConversation, _ filter: MessageFilter
    ) throws(ReplicaError) -> Stretch {
        do {
            switch try place(of: seq, in: conversation) {
            case .block(let row):
                let range = row.firstSeq...row.lastSeq
                guard filter.mayMatch(low: row.lowTime, high: row.highTime) else {
                    return Stretch(range: range, content: .passedOver)
                }
                return Stretch(range: range, content: .block(try open(row, of: conversation)))
            case .tail(let row):
                let range = row.firstSeq...row.lastSeq
                guard filter.mayMatch(low: row.lowTime, high: row.highTime) else {
                    return Stretch(range: range, content: .passedOver)
                }
                return Stretch(range: range, content: .block(try row.open(conversation: conversation.id)))
            case .missing(let through):
                return Stretch(range: try firstMissing(seq, conversation)...through, content: .missing(.notSent))
            }
        } catch ArchiveError.damaged(let from, let to, let detail) {
            return Stretch(range: min(from, seq)...max(to, seq), content: .missing(.damaged(detail)))
        } catch {
            throw ReplicaError(error)
        }
    }

    /// Where the hole begins that `seq` lies in.
    private func firstMissing(_ seq: Seq, _ conversation: ReplicaConversation) throws -> Seq {
        for gap in try gaps(of: conversation) where gap.contains(seq) { return gap.lowerBound }
        return seq
    }
}
