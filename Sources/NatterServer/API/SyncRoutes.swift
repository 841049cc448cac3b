internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

/// Returns everything that is new since a cursor, in one reply.
enum SyncRoutes {
    struct SyncQuery {
        let earliest: Timestamp?
        let form: SyncAnswer.Form
        let waitSeconds: Int
    }

    static func query(_ call: Call) throws(APIError) -> SyncQuery {
        let isBlocks = MediaType.accepts(call.head.header("accept"), SyncFrame.mediaType)
        return SyncQuery(
            earliest: try call.query.time("since"), form: isBlocks ? .blocks : .messages,
            waitSeconds: try call.query.wait())
    }

    static func sync(_ call: TypedCall<[UInt8]>, _ principal: Principal, _ query: SyncQuery) throws(APIError) {
        let position = try position(call)
        answer(
            query, from: position, call, principal, deadline: MonotonicClock.now() + Int64(query.waitSeconds) * 1_000)
    }

    private static func position(_ call: TypedCall<[UInt8]>) throws(APIError) -> SyncPosition {
        switch call.query["cursor"] {
        case nil: return .start
        case let text? where text.utf8.elementsEqual("now".utf8): return .now
        case let text?:
            if let cursor = try translate(call.store.cursor(from: text)) { return .cursor(cursor) }
            throw APIError(
                .badCursor,
                MessageCursor(text) == nil ? "the cursor is malformed" : "this is a message's cursor, not one of sync")
        }
    }

    private static func answer(
        _ query: SyncQuery, from position: SyncPosition, _ call: TypedCall<[UInt8]>, _ principal: Principal,
        deadline: Int64
    ) {
        do throws(StoreError) {
            let plan = try call.store.planSync(
                since: position, earliest: query.earliest, for: principal, form: query.form,
                limitBytes: query.form == .blocks ? Limits.syncBlockBytes : Limits.syncBytes)
            proceed(plan, call) { answer(query, from: position, with: $0, call, principal, deadline: deadline) }
        } catch {
            call.respond(APIError(error))
        }
    }

    /// Takes a step of a plan, and queues the next.
    private static func proceed(
        _ plan: SyncPlan, _ call: TypedCall<[UInt8]>, then answer: @escaping @Sendable (SyncAnswer) -> Void
    ) {
        do throws(StoreError) {
            if let changes = try plan.next() { return answer(changes) }
            call.server.workers.proceed(call.exchange) { proceed(plan, call, then: answer) }
        } catch {
            call.respond(APIError(error))
        }
    }

    private static func answer(
        _ query: SyncQuery, from position: SyncPosition, with changes: SyncAnswer, _ call: TypedCall<[UInt8]>,
        _ principal: Principal, deadline: Int64
    ) {
        var mayWait = changes.isEmpty && !changes.more
        if case .now = position { mayWait = false }
        guard mayWait, MonotonicClock.now() < deadline else { return respond(changes, query, call, principal) }
        call.wait(for: principal, seen: changes.commit, deadline: deadline) { principal in
            answer(query, from: position, call, principal, deadline: deadline)
        } orElse: {
            respond(changes, query, call, principal)
        }
    }

    private static func respond(
        _ changes: SyncAnswer, _ query: SyncQuery, _ call: TypedCall<[UInt8]>, _ principal: Principal
    ) {
        // An answer without news is made faster than it is found.
        let place =
            changes.isEmpty
            ? nil
            : LatestAnswers.Place(
                account: principal.account, scope: principal.scope, since: query.earliest,
                form: query.form, cursor: call.query["cursor"], end: changes.cursor, commit: changes.commit)
        if let place, let known = call.server.latestAnswers[place] {
            call.addFact("sent", known.sent)
            return call.respond(known.reply)
        }
        let cursor = call.store.text(of: changes.cursor)
        let mediaType = query.form == .blocks ? SyncFrame.mediaType : MediaType.ndjson
        let reply = Reply(
            status: 200, headers: [("Content-Type", mediaType), ("Natter-Cursor", cursor)],
            body: SyncProducer(changes, query.form, cursor: cursor, call).body())
        if let place {
            call.server.latestAnswers[place] = LatestAnswers.Answer(reply: reply, sent: MessageTally(changes))
        }
        call.respond(reply)
    }
}
