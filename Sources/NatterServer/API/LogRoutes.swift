internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

/// The service log for remote admins: recent events, and new ones as they happen.
enum LogRoutes {
    struct LogQuery {
        /// nil for the newest events.
        let after: UInt64?
        let limit: Int
        let level: Event.Level
        let waitSeconds: Int
    }

    static func query(_ call: Call) throws(APIError) -> LogQuery {
        let (limit, wait) = (try call.query.limit(), try call.query.wait())
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
        return LogQuery(after: after, limit: limit, level: level, waitSeconds: wait)
    }

    static func log(_ call: TypedCall<Lines<LogObject>>, _ principal: Principal, _ query: LogQuery) {
        answer(query, call, principal, deadline: MonotonicClock.now() + Int64(query.waitSeconds) * 1_000)
    }

    private static func answer(
        _ query: LogQuery, _ call: TypedCall<Lines<LogObject>>, _ principal: Principal, deadline: Int64
    ) {
        let (entries, last) = call.server.recent.entries(after: query.after, limit: query.limit, level: query.level)
        if entries.isEmpty, query.after != nil, MonotonicClock.now() < deadline {
            return wait(query, call, principal, seen: last, deadline: deadline)
        }
        call.respond(
            call.reply(
                entries.map { entry in
                    LogObject(
                        number: entry.number, time: entry.time.rfc3339, level: entry.event.level.name,
                        event: entry.event.name,
                        fields: Dictionary(entry.event.fields.map { ($0.key, $0.value) }) { $1 })
                }))
    }

    /// Suspends the request until an event is logged, then looks the user up again, who may no longer be an admin.
    private static func wait(
        _ query: LogQuery, _ call: TypedCall<Lines<LogObject>>, _ principal: Principal, seen: UInt64, deadline: Int64
    ) {
        let server = call.server
        server.recent.beginFollowing()
        call.suspend(principal, and: [ServiceLog.reader], seen: Commit(rawValue: .max), deadline: deadline) { wake in
            server.recent.endFollowing()
            server.workers.proceed(call.exchange) {
                do throws(APIError) {
                    answer(query, call, try call.admin(), deadline: wake == .news ? deadline : 0)
                } catch {
                    call.respond(error)
                }
            }
        }
        // An event that was logged after the query and before the wait woke no request.
        if server.recent.last > seen { server.announceEvents() }
    }
}
