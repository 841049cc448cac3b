internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterWire

/// Search on the server, for those who keep no replica.
enum SearchRoutes {
    static let all = [Route("GET", "v1/search", search)]

    private struct SearchList: Encodable {
        var messages: [MessageObject]
        var more: Bool
        @OrNull var next: String?
    }

    private static func search(_ call: Call) throws(APIError) {
        guard let query = call.query["q"] else { throw APIError(.badRequest, "'q' is missing: what to search for") }
        var request = SearchRequest(query: query, limit: try call.query.limit())
        request.conversation = call.query["conversation"].map(Normalization.formC)
        request.sender = call.query["from"].map(Normalization.formC)
        request.since = try call.query.time("since")
        request.until = try call.query.time("until")
        if let before = call.query["before"] {
            guard let place = SearchPlace(before) else {
                throw APIError(.badRequest, "'before' must be the 'next' of an earlier page")
            }
            request.before = place
        }
        let principal = try call.principal(.all)
        let page: SearchPage
        do throws(StoreError) { page = try call.store.search(request, for: principal) } catch { throw APIError(error) }
        let objects = page.messages.map { MessageObject($0) }
        if call.wantsLines { return call.respond(lines: objects, note: principal.name.text) }
        call.respond(
            .json(
                SearchList(messages: objects, more: page.more, next: page.next?.description),
                note: principal.name.text))
    }
}
