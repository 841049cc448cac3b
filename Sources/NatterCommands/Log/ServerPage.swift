internal import NatterConversation
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// The newest messages of one conversation, fetched from the server page by page and not stored.
struct ServerPage {
    let api: ServerAPI
    let conversation: String
    let filter: MessageFilter

    /// How many pages in a row may have no message. In each of them a server has looked at thousands.
    private static let emptyLimit = 10_000

    /// The newest messages that pass the filter, oldest first.
    func newest(_ count: Int) throws -> [Message] {
        var pages: [[Message]] = []
        var (left, empty) = (count, 0)
        // A page without a selector has the newest messages by time. With one, `next` says how far back the server has
        // searched.
        let isOnePage = filter.isPlain && filter.before == nil && count <= Limits.pageLimit
        var before = isOnePage ? nil : filter.before?.rawValue ?? UInt64(Int64.max)
        while left > 0 {
            let limit = min(left, Limits.pageLimit)
            let list = try api.perform(API.messages, conversation, query: query(before: before, limit: limit))
            empty = list.messages.isEmpty ? empty + 1 : 0
            guard list.messages.count <= limit, empty <= ServerPage.emptyLimit else {
                throw RequestError.foreign(
                    "'\(api.address)' does not answer like a natter server: its pages do not end")
            }
            pages.append(try list.messages.map(message))
            left -= list.messages.count
            guard list.more, let last = before, list.next < last else { break }
            before = list.next
        }
        return pages.reversed().flatMap { $0 }
    }

    /// The conversation's id and newest message, or nil if it is empty.
    func head() throws -> (conversation: ConversationID, seq: Seq)? {
        let list = try api.perform(API.messages, conversation, query: [("limit", "1")])
        return try list.messages.last.map(message).map { ($0.conversationID, $0.seq) }
    }

    private func query(before: UInt64?, limit: Int) -> [(name: String, value: String)] {
        var query = [(name: "limit", value: "\(limit)"), ("fold", "1")]
        if let before { query.append(("before", "\(before)")) }
        if let until = filter.until { query.append(("until", until.rfc3339)) }
        for sender in filter.senders { query.append(("from", sender)) }
        return query
    }

    private func message(_ object: MessageObject) throws -> Message {
        guard let message = object.message else {
            throw RequestError.foreign(
                "'\(api.address)' does not answer like a natter server: it sent an invalid message")
        }
        return message
    }
}
