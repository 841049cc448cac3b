internal import NatterHTTP
internal import NatterLanguage
public import NatterModel
public import NatterWire

/// Requests about accounts, groups, contacts, tokens and administration.
extension ServerAPI {
    // MARK: - Accounts

    /// Sets another password and ends all other sessions.
    public func changePassword(old: String, new: String) throws(APIError) {
        _ = try post("/v1/password", WireJSON.encode(PasswordRequest(old: old, new: new)))
    }

    // MARK: - Conversations

    /// A conversation as the server has it now.
    public func conversation(_ name: String) throws(APIError) -> ConversationObject {
        try decode(try get("/v1/conversations/" + HTTPRequest.encodeSegment(name)))
    }

    /// All conversations that the user sees, in the server's order.
    public func conversations() throws(APIError) -> [ConversationObject] {
        var conversations: [ConversationObject] = []
        var after: String?
        while true {
            var query = [(name: "limit", value: "\(Limits.pageLimit)")]
            if let after { query.append(("after", after)) }
            let page: ConversationList = try decode(try get("/v1/conversations" + HTTPRequest.encodeQuery(query)))
            conversations += page.conversations
            guard page.more else { return conversations }
            guard let next = page.next, next != after, !page.conversations.isEmpty else {
                throw foreign("its list of conversations does not go on")
            }
            after = next
        }
    }

    /// Marks as read up to a seq.
    /// - Returns: the mark that stands then; it never falls.
    public func markRead(_ conversation: String, upTo seq: Seq) throws(APIError) -> Seq {
        let path = "/v1/conversations/\(HTTPRequest.encodeSegment(conversation))/read"
        let answer: ReadAnswer = try decode(try send(.put, path, WireJSON.encode(ReadRequest(seq: seq.rawValue))))
        return Seq(answer.read)
    }

    // MARK: - Any

    /// A change: a request with a JSON body.
    func send(_ method: HTTPMethod, _ path: String, _ body: [UInt8] = Array("{}".utf8)) throws(APIError) -> HTTPResponse
    {
        try perform(HTTPRequest(method, path, headers: [(name: "Content-Type", value: "application/json")], body: body))
    }
}
