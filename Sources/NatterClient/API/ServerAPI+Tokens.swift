internal import NatterHTTP
internal import NatterLanguage
public import NatterWire

/// Requests about tokens of programs, and about sessions.
extension ServerAPI {
    /// Makes a token for a program. The answer, and only that, has the token itself.
    public func createToken(_ request: TokenRequest) throws(APIError) -> TokenObject {
        let made: TokenObject = try decode(try send(.post, "/v1/tokens", WireJSON.encode(request)))
        guard made.token != nil else { throw foreign("its answer has no token") }
        return made
    }

    /// The user's tokens for programs, oldest first; or the sessions in their place.
    public func tokens(sessions: Bool) throws(APIError) -> [TokenObject] {
        let list: TokenList = try decode(try get(sessions ? "/v1/sessions" : "/v1/tokens"))
        guard let found = sessions ? list.sessions : list.tokens else { throw foreign("its answer has no list") }
        return found
    }

    /// Takes a token back, or ends a session, at once.
    ///
    /// - Throws: `not_found` where there is none of this id.
    public func revokeToken(_ id: String, session: Bool) throws(APIError) {
        let path = (session ? "/v1/sessions/" : "/v1/tokens/") + HTTPRequest.encodeSegment(id)
        _ = try perform(HTTPRequest(.delete, path))
    }
}
