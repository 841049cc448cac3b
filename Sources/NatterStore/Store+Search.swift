internal import NatterArchive
internal import NatterSearch
internal import NatterLanguage
internal import NatterLog
internal import NatterModel
internal import NatterSQLite
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
        let snapshots: [Snapshot]
        if let name = request.conversation {
            snapshots = [try snapshot(name, for: principal)]
        } else {
            let numbers = state.withLock { $0.visible(to: principal).map(\.identity.number) }
            snapshots = lookUp(numbers) { state, number in
                guard let conversation = state.conversations[number], conversation.head > .zero,
                    Authority.sees(principal, conversation)
                else { return nil }
                return Snapshot(
                    identity: conversation.identity,
                    name: state.displayName(of: conversation, for: principal.account),
                    tail: Tail(conversation), commit: state.commit)
            }
        }
        do {
            return try withReader { reader in
                try search.withIndex(self) { index in
                    let logs = snapshots.filter { $0.tail.head > .zero }.map { $0.reader(reader) }
                    return try MessageSearch(request, query, logs, searchBudget).run(index)
                }
            }
        } catch {
            throw StoreError(error)
        }
    }

    /// Refuses a query that would cost the server too much before any index is opened. Each word walks through its own list
    /// of messages, and SQLite joins the lists of all words that begin with a prefix.
    private func checkCost(of query: SearchQuery) throws(StoreError) {
        guard query.terms.count <= SearchRequest.termLimit else {
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
