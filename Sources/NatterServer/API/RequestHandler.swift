internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterWire

/// Passes each request from the listener to its route.
///
/// The order of checks is fixed here and in ``Route``, so that no reply depends on who wrote a handler:
/// 1. `plan`, from the head: path (404), method (405), the token (401), size (413) and type (415) of the body. Until the
///    token is known to be good, nothing costs more than reading the head does.
/// 2. `Route.answer`, when the body is complete: form of the query and of the body (400); the token's scope, or an admin's
///    right (403).
/// 3. The handler and the store: cursor (400), content (422), existence (404), rights in this conversation (403).
struct RequestHandler: HTTPHandler {
    /// Small bodies of refused requests are read all the same, so that the connection can be used again.
    private static let discardedBytes = 4_096

    let server: ChatServer

    var commonHeaders: [(name: String, value: String)] {
        [
            ("Natter-Store", server.store.id.description), ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
    }

    func plan(_ head: RequestHead) -> BodyPlan {
        var isBulk = false
        do throws(APIError) {
            let match = try server.router.match(head)
            let type = head.header("content-type")
            isBulk = match.route.takesBulk && type.map(MediaType.isNDJSON) == true
            if match.route.needsToken(head) { _ = try Authentication(head, server.store).principal() }
            let limit = match.route.bodyLimit
            if !isBulk, let length = head.contentLength, length > limit {
                throw APIError(.tooLarge, "the body has \(length) bytes; the limit is \(limit)")
            }
            if match.route.takesBody {
                // Without a type a body is JSON. One line of NDJSON is JSON, too.
                if let type, !MediaType.isJSON(type), !MediaType.isNDJSON(type) {
                    throw APIError(.unsupportedMediaType, "the body must be application/json")
                }
                if isBulk { return .stream(try BulkPosting(head, server)) }
            }
            return .collect(limit: limit) { body, exchange in answer(match, body, exchange) }
        } catch {
            let reply = error.reply
            // A bulk body is not read: its lines would be taken for one body.
            let isSmall = !isBulk && !head.isChunked && head.contentLength ?? 0 <= RequestHandler.discardedBytes
            return isSmall
                ? .collect(limit: RequestHandler.discardedBytes) { _, exchange in exchange.respond(reply) }
                : .refuse(reply)
        }
    }

    private func answer(_ match: Router.Match, _ body: [UInt8], _ exchange: Exchange) {
        let call = Call(
            head: exchange.head, parameters: match.parameters, body: body, exchange: exchange, server: server)
        switch match.route.place {
        case .loop: answer(match.route, call)
        case .worker:
            let isQueued = server.workers.submit { answer(match.route, call) }
            if !isQueued { call.respond(APIError(StoreError.busy)) }
        }
    }

    private func answer(_ route: Route, _ call: Call) {
        do throws(APIError) { try route.answer(call) } catch { call.respond(error) }
    }

    func reply(to violation: HTTPViolation) -> Reply {
        let error =
            switch violation {
            case .malformed: APIError(.badRequest, violation.phrase)
            case .bodyTooLarge: APIError(.tooLarge, violation.phrase)
            case .tooManyRequests: APIError(.slowDown, violation.phrase, retryAfter: 1)
            case .tooManyBodies: APIError(.busy, violation.phrase, retryAfter: 1)
            }
        return error.reply
    }

    func finished(_ summary: RequestSummary) {
        server.metrics.count(summary)
        server.events(Event(summary))
    }

    func connected(_ address: String) { server.events(Event(.debug, "connected", [("address", address)])) }

    func disconnected(_ summary: ConnectionSummary) {
        var fields = [
            (key: "address", value: summary.address), ("requests", String(summary.requests)),
            ("ms", String(summary.durationMilliseconds)),
        ]
        if let reason = summary.reason { fields.append(("reason", reason)) }
        server.events(Event(.debug, "disconnected", fields))
    }

    func stopping() { server.waiters.wakeAll() }
}
