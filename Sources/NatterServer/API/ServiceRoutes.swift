internal import NatterStore
internal import NatterWire

/// What the machines around the server ask.
enum ServiceRoutes {
    static let all = [Route("GET", "healthz", on: .loop, health)]

    private struct Health: Encodable {
        var status: String
    }

    /// Alive, and able to write.
    private static func health(_ call: Call) throws(APIError) {
        if call.store.isFailed { throw APIError(.outcomeUnknown, "a write has failed; nothing more is written") }
        call.respond(.json(Health(status: "ok")))
    }
}
