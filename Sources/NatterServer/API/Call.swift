internal import NatterCrypto
internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterWire

/// One request on its way through a handler.
///
/// What is wrong with a request is found in a fixed order, so that the answer does not depend on who wrote the handler: path,
/// method, size and type of the body are checked before there is a call; then a handler reads query and body (400), asks
/// `principal` (401), the token's scope (403), and goes to the store.
struct Call: Sendable {
    let head: RequestHead
    /// The segments of the path that a route leaves open.
    let parameters: [String]
    let body: [UInt8]
    let exchange: Exchange
    let server: ChatServer

    var store: any ChatStore { server.store }

    func respond(_ reply: Reply) { exchange.respond(server.dressed(reply)) }

    var query: Query { Query(head) }

    /// Who asks, by token or cookie, with a token that is good for this.
    func principal(_ need: ScopeNeed) throws(APIError) -> Principal {
        let principal = try Authentication(head, store).principal()
        do throws(StoreError) { try store.checkScope(need, of: principal) } catch { throw APIError(error) }
        return principal
    }

    /// An open segment of the path that is a name.
    func name(_ index: Int) -> String { Normalization.formC(parameters[index]) }

    /// The body as JSON of this shape.
    func json<Value: Decodable>(_: Value.Type = Value.self) throws(APIError) -> Value {
        do throws(WireJSON.Failure) {
            return try WireJSON.decode(Value.self, from: body)
        } catch {
            throw Call.describe(error)
        }
    }

    static func describe(_ failure: WireJSON.Failure) -> APIError {
        switch failure {
        case .malformed: APIError(.badJSON, "the body is not JSON in UTF-8")
        case .field(""): APIError(.badRequest, "the body must be a JSON object with fields of the right types")
        case .field(let name): APIError(.badRequest, "'\(name)' is missing or of the wrong type")
        }
    }
}
