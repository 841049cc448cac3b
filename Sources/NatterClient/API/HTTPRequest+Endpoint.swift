public import NatterHTTP
internal import NatterModel
public import NatterProtocol

extension HTTPRequest {
    /// A request of the API.
    ///
    /// - Parameters:
    ///   - names: one for each `{…}` of the path.
    ///   - headers: without the type of the body.
    public init<Body, Answer>(
        _ endpoint: Endpoint<Body, Answer>, _ names: [String] = [], query: [(name: String, value: String)] = [],
        headers: [(name: String, value: String)] = [], type: String = "application/json", body: [UInt8]? = nil
    ) throws(RequestError) {
        let path = try HTTPRequest.path(endpoint.path, names) + HTTPRequest.encodeQuery(query)
        self.init(
            endpoint.method, path, headers: body == nil ? headers : headers + [("Content-Type", type)], body: body)
    }

    private static func path(_ pattern: String, _ names: [String]) throws(RequestError) -> String {
        if names.isEmpty { return pattern }
        var (path, names) = ("", names[...])
        for part in pattern.split(separator: "/") {
            path += "/"
            if part.utf8.first == UInt8(ascii: "{"), let name = names.popFirst() {
                path += try segment(name, part)
            } else {
                path += part
            }
        }
        return path
    }

    /// A text that can't be a name names nothing, so the server is not asked.
    private static func segment(_ name: String, _ part: Substring) throws(RequestError) -> String {
        let isGroup = part == "{group}"
        if isGroup, !NameRule.isGroup(name) {
            throw .refused(RequestError.Refusal(.noSuchConversation, "'\(name)' is not a group"))
        }
        guard name.isEmpty || name.contains("/") else { return encodeSegment(name) }
        let refusal =
            switch part {
            case "{user}": RequestError.Refusal(.noSuchUser, "no user is named '\(name)'")
            case "{id}": RequestError.Refusal(.notFound, "there is no '\(name)'")
            default: RequestError.Refusal(.noSuchConversation, "there is no conversation '\(name)'")
            }
        throw .refused(refusal)
    }
}
