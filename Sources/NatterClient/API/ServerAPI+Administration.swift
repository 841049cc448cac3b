internal import NatterHTTP
internal import NatterLanguage
public import NatterWire

/// What only an admin of the server may ask for.
extension ServerAPI {
    /// All accounts, the one seen last first.
    public func accounts() throws(APIError) -> [AdminUserObject] {
        let list: AdminUserList = try decode(try get("/v1/admin/users"))
        return list.users
    }

    public func addAccount(_ request: AccountRequest) throws(APIError) -> AdminUserObject {
        try decode(try send(.post, "/v1/admin/users", WireJSON.encode(request)))
    }

    /// Changes an account; fields that are nil stay as they are.
    public func changeAccount(_ name: String, _ change: AccountChangeRequest) throws(APIError) -> AdminUserObject {
        try decode(
            try send(.patch, "/v1/admin/users/" + HTTPRequest.encodeSegment(name), WireJSON.encode(change)))
    }

    /// Everybody's sessions, oldest first.
    public func allSessions() throws(APIError) -> [TokenObject] {
        let list: TokenList = try decode(try get("/v1/admin/sessions"))
        guard let sessions = list.sessions else { throw foreign("its answer has no list") }
        return sessions
    }

    public func statistics() throws(APIError) -> StatisticsObject { try decode(try get("/v1/admin/stats")) }

    /// Makes a code with which one person can register.
    ///
    /// - Parameter expires: RFC 3339; nil for the server's choice.
    public func createInvite(expires: String?) throws(APIError) -> InviteAnswer {
        try decode(try send(.post, "/v1/admin/invites", WireJSON.encode(InviteRequest(expires: expires))))
    }

    /// What admins did, newest first.
    public func audit(limit: Int) throws(APIError) -> [AuditObject] {
        try lines(of: "/v1/admin/audit" + HTTPRequest.encodeQuery([("limit", "\(limit)")]))
    }

    /// The newest events of the service, oldest first; or those after a number.
    ///
    /// - Parameter waitSeconds: how long to wait where there are none after that number yet.
    public func serviceLog(
        after number: UInt64?, limit: Int, level: String?, waitSeconds: Int = 0
    ) throws(APIError) -> [LogObject] {
        var query = [(name: "limit", value: "\(limit)")]
        if let number { query.append(("after", "\(number)")) }
        if let level { query.append(("level", level)) }
        if waitSeconds > 0 { query.append(("wait", "\(waitSeconds)")) }
        return try lines(
            of: "/v1/admin/log" + HTTPRequest.encodeQuery(query),
            timeoutMilliseconds: waitSeconds > 0 ? (waitSeconds + 15) * 1_000 : nil)
    }

    /// The objects of an answer that has one a line.
    private func lines<Value: Decodable>(of path: String, timeoutMilliseconds: Int? = nil) throws(APIError) -> [Value] {
        let response = try perform(HTTPRequest(.get, path), timeoutMilliseconds: timeoutMilliseconds)
        var values: [Value] = []
        for line in response.body.split(separator: UInt8(ascii: "\n")) {
            do throws(WireJSON.Failure) {
                values.append(try WireJSON.decode(from: line))
            } catch {
                throw foreign("a line of its answer is not as it should be")
            }
        }
        return values
    }
}
