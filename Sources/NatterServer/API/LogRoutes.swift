internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

/// The service log from afar: what happened lately, and what happens.
enum LogRoutes {
    static let path = "/v1/admin/log"

    /// Which events somebody asks for.
    private struct Request {
        /// nil: the newest.
        let after: UInt64?
        let limit: Int
        let level: Event.Level
        /// On the monotonic clock, in milliseconds.
        let deadline: Int64
    }

    static func log(_ call: Call) throws(APIError) {
        let limit = try call.query.limit()
        let wait = try call.query.wait()
        var after: UInt64?
        if let text = call.query["after"] {
            guard let number = Query.number(text) else { throw APIError(.badRequest, "'after' must be a number") }
            after = UInt64(number)
        }
        var level = Event.Level.debug
        if let name = call.query["level"] {
            guard let known = Event.Level(name: name) else {
                let names = Event.Level.allCases.map(\.name).joined(separator: ", ")
                throw APIError(.badRequest, "'level' must be one of \(names)")
            }
            level = known
        }
        let principal = try AdminRoutes.admin(call)
        let request = Request(
            after: after, limit: limit, level: level, deadline: MonotonicClock.now() + Int64(wait) * 1_000)
        answer(request, call, principal, mayWait: true)
    }

    private static func answer(_ request: Request, _ call: Call, _ principal: Principal, mayWait: Bool) {
        let (entries, last) = call.server.recent.entries(
            after: request.after, limit: request.limit, level: request.level)
        if entries.isEmpty, mayWait, request.after != nil, MonotonicClock.now() < request.deadline {
            return wait(request, call, principal, seen: last)
        }
        call.respond(
            lines: entries.map { entry in
                LogObject(
                    number: entry.number, time: entry.time.rfc3339, level: entry.event.level.name,
                    event: entry.event.name, fields: Dictionary(entry.event.fields.map { ($0.key, $0.value) }) { $1 })
            }, note: principal.name.text)
    }

    /// Puts the request aside until something happens. Then who asks is looked up again: they may be no admin any more.
    private static func wait(_ request: Request, _ call: Call, _ principal: Principal, seen: UInt64) {
        let server = call.server
        server.recent.beginFollowing()
        call.store.noteWaiting(principal.account, 1)
        server.waiters.wait(ServiceLog.reader, seen: Commit(rawValue: .max), deadline: request.deadline) { wake in
            server.recent.endFollowing()
            call.store.noteWaiting(principal.account, -1)
            server.workers.goOn {
                do throws(APIError) {
                    answer(request, call, try AdminRoutes.admin(call), mayWait: wake == .news)
                } catch {
                    call.respond(error.reply())
                }
            }
        }
        // What happened between the look and the waiting woke nobody.
        if server.recent.last > seen { server.announceEvents() }
    }
}
