internal import NatterModel
internal import NatterStore
internal import NatterProtocol

/// Sends one message. ``BulkPosting`` takes streams of many messages.
enum MessageRoutes {
    static func post(_ call: TypedCall<MessageObject>, _ principal: Principal, _ request: SendRequest) throws(APIError)
    {
        let message = try newMessage(request)
        guard message.about == nil else {
            // The store reads the message that it is about, which may be on disk.
            return call.server.workers.proceed(call.exchange) { post(message, call, principal) }
        }
        post(message, call, principal)
    }

    private static func post(_ message: NewMessage, _ call: TypedCall<MessageObject>, _ principal: Principal) {
        call.store.post([message], by: principal, stopAtRefusal: false) { outcomes in
            switch outcomes.first {
            case .posted(let message):
                call.exchange.addFact("accepted", "\(message.conversation)/\(message.seq)")
                call.respond(reply(message, status: 201, call, principal))
            case .repeated(let message): call.respond(reply(message, status: 200, call, principal))
            case .refused(let error): call.respond(APIError(error))
            case nil: call.respond(APIError(StoreError.failed("no outcome")))
            }
        }
    }

    /// The reply to a message. For a personal message it also says whether the recipient is online, so that the sender
    /// need not ask.
    private static func reply(
        _ message: Message, status: Int, _ call: TypedCall<MessageObject>, _ principal: Principal
    ) -> Reply {
        var reply = call.reply(MessageObject(message), status: status)
        guard message.conversation.utf8.first == UInt8(ascii: "@") else { return reply }
        let peer = String(message.conversation.dropFirst())
        if peer != principal.name.text, let isOnline = call.store.isOnline(peer) {
            reply.headers.append((RecipientHeader.name, isOnline ? RecipientHeader.online : RecipientHeader.offline))
        }
        return reply
    }

    /// Decodes a message to send, and normalizes the conversation's name.
    static func request(from bytes: some Collection<UInt8>) throws(APIError) -> SendRequest {
        do throws(WireJSON.Failure) {
            var request = try WireJSON.decode(SendRequest.self, from: bytes)
            request.conversation = Normalization.formC(request.conversation)
            return request
        } catch {
            throw APIError(error)
        }
    }

    /// Makes a message for the store. The store checks its text and whether the user may send it.
    static func newMessage(_ request: SendRequest) throws(APIError) -> NewMessage {
        let kind: MessageKind
        switch request.kind {
        case nil, "text": kind = .text
        case "edit": kind = .edit
        case "delete": kind = .delete
        default: throw APIError(.badRequest, "'kind' must be 'text', 'edit' or 'delete'")
        }
        var key: IdempotencyKey?
        if let id = request.id {
            key = IdempotencyKey(id)
            if key == nil { throw APIError(.badID, "an id has 1 to 64 printable ASCII bytes") }
        }
        var message = NewMessage(
            conversation: request.conversation, conversationID: request.conversationID, text: request.text, key: key,
            kind: kind, about: request.about.map { Seq($0) },
            written: request.written.map { Timestamp(milliseconds: $0) })
        message.uploads = request.files ?? []
        return message
    }
}
