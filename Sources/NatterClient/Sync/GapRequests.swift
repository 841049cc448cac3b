internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// Asks for messages that the server could not give before; a few requests for each sync.
struct GapRequests {
    /// Requests of one sync, and messages of one request.
    private static let requestLimit = 8

    let api: ServerAPI
    let writer: ReplicaWriter

    func run(until deadline: Int64) throws {
        guard let replica = try Replica.open(at: writer.location, disk: writer.disk) else { return }
        var requests = 0
        for conversation in try replica.conversationsWithGaps() where !conversation.isGone {
            for gap in try replica.gaps(of: conversation) {
                guard requests < GapRequests.requestLimit, MonotonicClock.now() < deadline else { return }
                requests += 1
                try ask(for: gap, of: conversation)
            }
        }
    }

    private func ask(for gap: ClosedRange<Seq>, of conversation: ReplicaConversation) throws {
        let list: MessageList
        do throws(APIError) {
            list = try api.messages(
                of: conversation.name,
                query: [
                    ("after", "\(gap.lowerBound.previous)"), ("before", "\(gap.upperBound.next)"),
                    ("limit", "\(Limits.pageLimit)"),
                ])
        } catch {
            // Still not there, or not now: what is here stays as it is.
            return
        }
        let messages = list.messages.compactMap(\.message)
        guard messages.count == list.messages.count, messages.allSatisfy({ $0.conversationID == conversation.id })
        else {
            return
        }
        let count = try writer.fill(gap, of: conversation, with: messages)
        writer.note { $0.add(count, to: conversation.id, named: conversation.name) }
    }
}
