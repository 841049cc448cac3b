internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterWire

/// Sending one message. Many at once come as a stream: see `BulkPosting`.
enum MessageRoutes {
    static let posting = Route("POST", "v1/messages", on: .loop, post)
    static let all = [posting]

    private static func post(_ call: Call) throws(APIError) {
        // Of no use to one message, but a wrong one is wrong.
        _ = try call.query.flag("stop")
        let request = try request(from: call.body)
        let principal = try call.principal(.send(conversation: Normalization.formC(request.conversation)))
        let message = try newMessage(request)
        call.store.post([message], by: principal, stopAtRefusal: false) { outcomes in
            switch outcomes.first {
            case .posted(let message):
                call.exchange.tell("accepted", "\(message.conversation)/\(message.seq)")
                call.respond(reply(message, status: 201, call, principal))
            case .repeated(let message): call.respond(reply(message, status: 200, call, principal))
            case .refused(let error): call.respond(APIError(error).reply(note: principal.name.text))
            case nil: call.respond(APIError(StoreError.failed("no outcome")).reply())
            }
        }
    }

    /// The message; and of a personal one whether its recipient is there, so that its sender need not ask.
    private static func reply(_ message: Message, status: Int, _ call: Call, _ principal: Principal) -> Reply {
        var reply = Reply.json(MessageObject(message), status: status, note: principal.name.text)
        let peer = String(message.conversation.dropFirst())
        if message.conversation.first == "@", peer != principal.name.text, let isOnline = call.store.isOnline(peer) {
            reply.headers.append((RecipientHeader.name, isOnline ? RecipientHeader.online : RecipientHeader.offline))
        }
        return reply
    }

    static func request(from bytes: some Collection<UInt8>) throws(APIError) -> SendRequest {
        do throws(WireJSON.Failure) { return try WireJSON.decode(SendRequest.self, from: bytes) } catch {
            throw Call.describe(error)
        }
    }

    /// Makes a message for the store, which checks its text and whether it may be sent.
    static func newMessage(_ request: SendRequest) throws(APIError) -> NewMessage {
        var key: IdempotencyKey?
        if let id = request.id {
            key = IdempotencyKey(id)
            if key == nil { throw APIError(.badID, "an id has 1 to 64 printable ASCII bytes") }
        }
        return NewMessage(conversation: request.conversation, text: request.text, key: key)
    }
}
