internal import NatterSQLite
internal import NatterModel

/// A stretch of a conversation that lies together, or is missing, with what the database knows of its times.
struct ReplicaSpan {
    let range: ClosedRange<Seq>
    let low: Timestamp
    let high: Timestamp
    /// The highest time of all messages before.
    let highBefore: Timestamp
    let isMissing: Bool

    /// All stretches of a conversation from the first message to the head, lowest first; nothing is unpacked for it.
    static func all(of conversation: ReplicaConversation, in replica: Replica) throws -> [ReplicaSpan] {
        try replica.connection.snapshot {
            let sources: [StaticString] = [
                "SELECT first_seq,count,low_time,high_time FROM block WHERE conversation=? ORDER BY first_seq",
                "SELECT first_seq,count,low_time,high_time FROM tail WHERE conversation=? ORDER BY first_seq",
            ]
            var spans: [ReplicaSpan] = []
            var next = conversation.first
            var high = Timestamp(milliseconds: .min)
            for source in sources {
                let rows = try replica.connection.statement(source)
                try rows.bind(conversation.number)
                while next <= conversation.head, try rows.step() {
                    let first = Seq(rows.uint64(0))
                    let last = min(first.advanced(by: max(1, rows.int(1)) - 1), conversation.head)
                    guard last >= next, first <= conversation.head else { continue }
                    if first > next { spans.append(hole(next...first.previous, after: high)) }
                    let (lowTime, highTime) = (
                        Timestamp(milliseconds: rows.int64(2)), Timestamp(milliseconds: rows.int64(3))
                    )
                    spans.append(
                        ReplicaSpan(
                            range: max(first, next)...last, low: lowTime, high: highTime, highBefore: high,
                            isMissing: false))
                    high = max(high, highTime)
                    next = last.next
                }
            }
            if next <= conversation.head { spans.append(hole(next...conversation.head, after: high)) }
            return spans
        }
    }

    private static func hole(_ range: ClosedRange<Seq>, after high: Timestamp) -> ReplicaSpan {
        ReplicaSpan(range: range, low: high, high: high, highBefore: high, isMissing: true)
    }
}
