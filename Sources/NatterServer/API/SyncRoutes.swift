internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

/// Everything that is new since a cursor, in one answer.
enum SyncRoutes {
    static let all = [Route("GET", "v1/sync", sync)]

    private struct Request {
        let position: SyncPosition
        let earliest: Timestamp?
        let form: SyncAnswer.Form
    }

    private static func sync(_ call: Call) throws(APIError) {
        let wait = try call.query.wait()
        let principal = try call.principal(.readAny)
        let position = try position(call)
        let form: SyncAnswer.Form =
            MediaType.accepts(call.head.header("accept"), SyncFrame.mediaType) ? .blocks : .messages
        let request = Request(position: position, earliest: try call.query.time("since"), form: form)
        answer(request, call, principal, deadline: MonotonicClock.now() + Int64(wait) * 1_000)
    }

    private static func position(_ call: Call) throws(APIError) -> SyncPosition {
        switch call.query["cursor"] {
        case nil: return .start
        case "now": return .now
        case let text?:
            if let cursor = StoreCursor(text) { return .cursor(cursor) }
            throw APIError(
                .badCursor,
                MessageCursor(text) == nil ? "the cursor is malformed" : "this is a message's cursor, not one of sync")
        }
    }

    private static func answer(
        _ request: Request, _ call: Call, _ principal: Principal, deadline: Int64
    ) {
        let changes: SyncAnswer
        do throws(StoreError) {
            changes = try call.store.changes(
                since: request.position, earliest: request.earliest, for: principal, form: request.form,
                limitBytes: request.form == .blocks ? Limits.syncBlockBytes : Limits.syncBytes)
        } catch {
            return call.respond(APIError(error).reply(note: principal.name.text))
        }
        var mayWait = changes.isEmpty && !changes.more
        if case .now = request.position { mayWait = false }
        guard mayWait, MonotonicClock.now() < deadline else { return respond(changes, request.form, call, principal) }
        call.wait(for: principal, seen: changes.commit, deadline: deadline) { principal in
            answer(request, call, principal, deadline: deadline)
        } orElse: {
            respond(changes, request.form, call, principal)
        }
    }

    private static func respond(
        _ changes: SyncAnswer, _ form: SyncAnswer.Form, _ call: Call, _ principal: Principal
    ) {
        let producer = SyncProducer(changes, form, call)
        let headers = [
            ("Content-Type", form == .blocks ? SyncFrame.mediaType : MediaType.ndjson),
            ("Natter-Cursor", changes.cursor.description),
        ]
        // What fits into one piece goes out with its length, and needs no second thread.
        if let whole = producer.wholeIfSmall() {
            return call.respond(Reply(status: 200, headers: headers, body: .bytes(whole), note: principal.name.text))
        }
        call.respond(
            Reply(status: 200, headers: headers, body: .producer(producer, length: nil), note: principal.name.text))
    }
}
