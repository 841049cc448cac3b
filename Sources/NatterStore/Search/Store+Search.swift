internal import NatterConversation
internal import NatterSearch
internal import NatterModel
internal import NatterSystem

extension Store {
    /// Finds messages in all conversations that the account sees, sorted by time (newest first), then conversation,
    /// then seq.
    public func search(_ request: SearchRequest, for principal: Principal) throws(StoreError) -> SearchPage {
        var request = request
        request.sender = request.sender.map { spelling(ofSender: $0) }
        let query: SearchQuery
        do { query = try SearchQuery(request.query) } catch { throw .badQuery("\(error)") }
        try checkCost(of: query)
        let numbers = try searched(request.conversation, query.conditions, for: principal)
        let user = state.withLock { $0.accounts[principal.account]?.name.text }
        let logs = lookUp(numbers) { state, number in
            state.visible(number, to: principal).flatMap { $0.head > .zero ? SearchedLog($0) : nil }
        }
        return try reading { archive in
            try search.withIndex(self) { index in
                let search = MessageSearch(
                    request, query, logs, searchBudget,
                    name: { NameRule.isMe($0) ? user ?? $0 : spelling(ofSender: $0) },
                    open: { [self] in reader(of: $0, for: principal, archive) })
                return try search.run(index)
            }
        }
    }

    /// The numbers of the conversations to search: those that the request and the query's conditions both allow.
    private func searched(
        _ name: String?, _ conditions: SearchConditions, for principal: Principal
    ) throws(StoreError) -> [Int64] {
        func number(_ name: String) throws(StoreError) -> Int64 {
            try snapshot(Normalization.formC(name), for: principal).identity.number
        }
        var wanted: Set<Int64> = []
        for name in conditions.conversations { wanted.insert(try number(name)) }
        var numbers: [Int64]
        if let name {
            numbers = [try number(name)]
        } else if !wanted.isEmpty {
            numbers = wanted.sorted()
        } else {
            // In the order in which they were loaded, they mostly lie beside each other in memory.
            numbers = state.withLock { $0.mayBeVisible(to: principal.account) }.sorted()
        }
        if !wanted.isEmpty { numbers.removeAll { !wanted.contains($0) } }
        var unwanted: Set<Int64> = []
        for name in conditions.unwantedConversations { unwanted.insert(try number(name)) }
        if !unwanted.isEmpty { numbers.removeAll { unwanted.contains($0) } }
        return numbers
    }

    /// - Returns: nil if the account does not see the conversation any more.
    private func reader(
        of id: ConversationID, for principal: Principal, _ archive: ArchiveReader
    ) -> LogReader? {
        state.withLock { state in
            state.conversation(id).flatMap { state.visible($0.identity.number, to: principal) }.map { conversation in
                let name = state.displayName(of: conversation, for: principal.account)
                return LogReader(Tail(conversation).log(of: conversation.identity, named: name), archive)
            }
        }
    }

    /// Refuses a query that would cost the server too much before any index is opened. Each word walks through its own list
    /// of messages, and SQLite joins the lists of all words that begin with a prefix.
    private func checkCost(of query: SearchQuery) throws(StoreError) {
        guard query.terms.count + query.conditions.count <= SearchRequest.termLimit else {
            throw .badQuery("the query has more than \(SearchRequest.termLimit) words")
        }
        guard query.wordCount <= SearchRequest.wordLimit else {
            throw .badQuery("the query has more than \(SearchRequest.wordLimit) words")
        }
        for term in query.terms where term.isPrefix && term.lastWordLength < SearchRequest.prefixMinimum {
            throw .badQuery("'\(term.text)*' needs \(SearchRequest.prefixMinimum) or more letters before the '*'")
        }
    }
}
