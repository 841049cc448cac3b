internal import NatterLanguage
internal import NatterStore
internal import NatterWire

/// What the machines around the server ask.
enum ServiceRoutes {
    static let all = [
        Route("GET", "healthz", on: .loop, health),
        Route("GET", "metrics", metrics),
    ]

    private struct Health: Encodable {
        var status: String
    }

    /// Alive, and able to write.
    private static func health(_ call: Call) throws(APIError) {
        if call.store.isFailed { throw APIError(.outcomeUnknown, "a write has failed; nothing more is written") }
        call.respond(.json(Health(status: "ok")))
    }

    /// For this machine, or an admin: how many there are and when they write is nobody else's business.
    private static func metrics(_ call: Call) throws(APIError) {
        if !call.isFromThisMachine, try !call.principal(.all).isAdmin {
            throw APIError(.forbidden, "only an admin may see the metrics")
        }
        let text = call.server.metrics.text(
            call.store.statistics(), connections: call.server.connectionCount, waiting: call.server.waiters.count)
        call.respond(
            Reply(
                status: 200, headers: [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")],
                body: .bytes(Array(text.utf8))))
    }
}
