internal import NatterModel
internal import NatterStore
internal import NatterProtocol

/// Sealed blocks. The content at an address never changes, so any cache may keep it.
enum BlockRoutes {
    struct Address {
        let conversation: ConversationID
        let first: Seq
        let revision: UInt32
    }

    /// `CONVERSATION_ID/FIRST-REVISION`, the last two in decimal.
    static func address(_ call: Call) throws(APIError) -> Address {
        let parts = call.parameters[1].asWord.split(separator: "-", omittingEmptySubsequences: false)
        guard let id = ConversationID(hex: call.parameters[0]), parts.count == 2, let first = UInt64(digits: parts[0]),
            (1...UInt64(Int64.max)).contains(first), let revision = UInt32(digits: parts[1])
        else { throw APIError(.badRequest, "a block's path is CONVERSATION_ID/FIRST-REVISION") }
        return Address(conversation: id, first: Seq(first), revision: revision)
    }

    static func block(_ call: TypedCall<[UInt8]>, _ principal: Principal, _ address: Address) throws(APIError) {
        let found = try translate(
            call.store.block(
                of: address.conversation, firstSeq: address.first, revision: address.revision, for: principal))
        guard let found else { throw APIError(.notFound, "no sealed block begins at message \(address.first)") }
        let tag = "\"\(found.tag)\""
        var reply = Reply(status: 200, headers: [("ETag", tag)], body: .bytes(found.bytes))
        // A browser would serve its copy after the logout, too. Without a cookie, only a program has the copy.
        if call.head.header("authorization") != nil {
            reply.headers += [("Cache-Control", "private, immutable, max-age=31536000"), ("Vary", "Authorization")]
        }
        if call.head.hasCopy(tag) {
            reply.status = 304
        } else {
            reply.headers.append(("Content-Type", "application/octet-stream"))
        }
        call.respond(reply)
    }
}
