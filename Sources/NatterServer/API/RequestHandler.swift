internal import NatterModel
internal import NatterStore
internal import NatterProtocol

/// Passes each request from the listener to its route.
///
/// The order of checks is fixed here and in ``Route``, so that no reply depends on who wrote a handler:
/// 1. `plan`, from the head: the host (421), path (404), method (405), the token (401) and the rate of its user's requests
///    (429), size (413) and type (415) of the body. Until the token is known to be good, nothing costs more than reading
///    the head does.
/// 2. `Route.answer`, when the body is complete: form of the query and of the body (400); the token's scope, or an admin's
///    right (403).
/// 3. The handler and the store: cursor (400), content (422), existence (404), rights in this conversation (403).
struct RequestHandler: HTTPHandler {
    /// Small bodies of refused requests are read all the same, so that the connection can be used again.
    private static let discardedBytes = 4_096
    /// A worker decodes a body of so many bytes in some milliseconds, if it holds nothing but fields. Nearly every message
    /// fits.
    private static let workerBodyBytes = 128 << 10

    let server: ChatServer

    var commonHeaders: [(name: String, value: String)] {
        [
            ("Natter-Store", server.store.id.description), ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
    }

    func prepare(_ head: RequestHead) -> @Sendable () -> BodyPlan {
        let read = ReadHead(head, server)
        return { plan(read) }
    }

    /// The parts of a head that do not depend on who holds its token by now.
    private struct ReadHead: Sendable {
        let head: RequestHead
        let host: RequestedHost
        let match: Result<Router.Match, APIError>
        /// nil if the request needs no token.
        let authentication: Authentication?
        /// Whether the body is a stream of messages.
        let isBulk: Bool
        /// The error in the type of the body.
        let typeError: APIError?

        init(_ head: RequestHead, _ server: ChatServer) {
            self.head = head
            host = RequestedHost(head.header("host"))
            match = Result { () throws(APIError) in try server.router.match(head) }
            let route = try? match.get().route
            authentication = route?.needsToken(head) == true ? Authentication(head, server.store) : nil
            let type = head.header("content-type")
            isBulk = route?.takesBulk == true && type.map(MediaType.isNDJSON) == true
            typeError = route.flatMap { $0.takesBody ? $0.bodyType.error(in: type) : nil }
        }
    }

    private func plan(_ read: ReadHead) -> BodyPlan {
        let head = read.head
        var (isBulk, isLate) = (false, false)
        do throws(APIError) {
            guard server.hosts.admit(read.host) else {
                let name = read.host.name
                throw APIError(
                    .misdirected, "this server is not '\(name)'; 'natterd serve --host \(name)' lets it answer for that"
                )
            }
            let match = try read.match.get()
            isBulk = read.isBulk
            let needsToken = read.authentication != nil
            let principal = try read.authentication?.knownPrincipal()
            isLate = needsToken && principal == nil
            if let principal { try translate(server.store.countRequest(of: principal)) }
            let limit = match.route.bodyLimit
            if !isBulk, let length = head.contentLength, length > limit {
                throw APIError(.tooLarge, "the body has \(length) bytes; the limit is \(limit)")
            }
            if let error = read.typeError { throw error }
            if let makeSink = match.route.makeSink {
                guard let principal else { throw APIError(StoreError.noFilesInPostgres) }
                return .stream(try makeSink(head, match.parameters, server, principal))
            }
            // Otherwise whoever collects the body looks.
            if isLate, !isBulk, let violation = head.violation(collecting: limit) {
                throw RequestHandler.error(violation)
            }
            if isBulk {
                if let principal { return .stream(try BulkPosting(head, server, principal)) }
                return .stream(
                    LateBulkPosting(server) { exchange throws(APIError) in
                        try BulkPosting(head, server, latePrincipal(exchange))
                    })
            }
            return .collect(limit: limit) { body, exchange in
                guard needsToken, principal == nil else { return answer(match, body, exchange, principal) }
                answerLate(match, body, exchange)
            }
        } catch {
            let answer = { @Sendable [isLate] (exchange: Exchange) in
                // A client without a token must not be told anything about the body.
                if isLate { refuseLate(error, exchange) } else { exchange.respond(error.reply) }
            }
            // A bulk body is not read: its lines would be taken for one body.
            let isSmall = !isBulk && !head.isChunked && head.contentLength ?? 0 <= RequestHandler.discardedBytes
            if isSmall { return .collect(limit: RequestHandler.discardedBytes) { _, exchange in answer(exchange) } }
            return isLate ? .refuseLater(answer) : .refuse(error.reply)
        }
    }

    private func call(_ match: Router.Match, _ body: [UInt8], _ exchange: Exchange) -> Call {
        Call(
            head: exchange.head, parameters: match.parameters, body: match.route.takesBody ? body : [],
            exchange: exchange, server: server)
    }

    private func answer(_ match: Router.Match, _ body: [UInt8], _ exchange: Exchange, _ principal: Principal?) {
        var call = call(match, body, exchange)
        let hasArrivedAtOnce = exchange.hasArrivedAtOnce
        // Waits for what other servers have acknowledged, so the loop must not do it. To post, only whoever asks for the token
        // again may have to.
        let mustCatchUp =
            server.store.isShared && match.route.readsStore(exchange.head)
            && !(match.route.isPosting && hasArrivedAtOnce)
        if let principal { exchange.note(principal, server.store) }
        // A large body can hold 100,000 fields, so the loop does not decode it.
        if case .loop = match.route.place, !mustCatchUp, body.count <= Limits.smallBodyBytes {
            // The token may have ended while the body arrived. A request that is queued asks again.
            if hasArrivedAtOnce { call.known = principal }
            return answer(match.route, call)
        }
        begin(match.route, call)
    }

    /// Has a worker answer a request when it is its turn.
    private func begin(_ route: Route, _ call: Call) {
        let isSlow = call.body.count > RequestHandler.workerBodyBytes || route.place == .searcher
        begin(call.exchange, on: isSlow ? server.slowWorkers : server.workers) { answer(route, call) }
    }

    private func begin(_ exchange: Exchange, on pool: WorkerPool, _ job: @escaping WorkerPool.Job) {
        do throws(APIError) { try pool.begin(exchange, job) } catch { exchange.respond(error.reply) }
    }

    /// Answers a request whose token only another server can know. The loop can't wait for what that server has acknowledged.
    private func answerLate(_ match: Router.Match, _ body: [UInt8], _ exchange: Exchange) {
        let call = call(match, body, exchange)
        begin(exchange, on: server.workers) {
            var call = call
            do throws(APIError) {
                let principal = try latePrincipal(exchange)
                // Its token may have been revoked behind what was read of the log, which whoever reads looks at again.
                if match.route.isPosting { call.known = principal }
                begin(match.route, call)
            } catch {
                call.respond(error)
            }
        }
    }

    /// Refuses a request for what its head says, if its token, which only another server can know, is good.
    private func refuseLate(_ error: APIError, _ exchange: Exchange) {
        begin(exchange, on: server.workers) {
            do throws(APIError) {
                _ = try latePrincipal(exchange)
                throw error
            } catch {
                exchange.respond(error.reply)
            }
        }
    }

    private func latePrincipal(_ exchange: Exchange) throws(APIError) -> Principal {
        let principal = try Authentication(exchange.head, server.store).principal()
        exchange.note(principal, server.store)
        try translate(server.store.countRequest(of: principal))
        return principal
    }

    private func answer(_ route: Route, _ call: Call) {
        do throws(APIError) {
            if !route.isPosting, route.readsStore(call.head) { try translate(call.store.catchUp()) }
            try route.answer(call)
        } catch {
            call.respond(error)
        }
    }

    func reply(to violation: HTTPViolation) -> Reply { RequestHandler.error(violation).reply }

    private static func error(_ violation: HTTPViolation) -> APIError {
        switch violation {
        case .malformed: APIError(.badRequest, violation.phrase)
        case .bodyTooLarge: APIError(.tooLarge, violation.phrase)
        case .tooManyRequests, .tooManyOwnAnswers: APIError(.slowDown, violation.phrase, retryAfter: 1)
        case .tooManyBodies, .tooManyAnswers: APIError(.busy, violation.phrase, retryAfter: 1)
        }
    }

    func abandoned(_ exchange: Exchange) {
        for pool in [server.workers, server.slowWorkers, server.hashers] { pool.drop(exchange) }
        server.waiters.drop(exchange)
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
