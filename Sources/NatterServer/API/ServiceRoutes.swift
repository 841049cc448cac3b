internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol
internal import Synchronization

/// Health and metrics for monitoring systems.
enum ServiceRoutes {
    /// Reports whether the server runs and can store messages. Anybody may ask, so the reason names no file.
    static func health(_ call: TypedCall<HealthAnswer>, _: Void) throws(APIError) {
        let troubles = call.store.troubles()
        if let trouble = troubles.first(where: \.stopsMessages) {
            let error =
                switch trouble {
                case .diskFull: APIError(.diskFull, trouble.phrase)
                case .databaseAway, .databaseLocked: APIError(.busy, trouble.phrase)
                case .directoryMoved: APIError(.busy, StoreError.directoryMoved.phrase)
                case .cannotSeal: APIError(.busy, "messages can't be moved to the log files; the server's log says why")
                case .writeFailed, .searchStopped, .lowOnSpace:
                    APIError(.outcomeUnknown, "a write has failed; nothing more is written")
                }
            var reply = error.reply
            reply.status = 503
            return call.respond(reply)
        }
        let isLow = troubles.contains(.lowOnSpace)
        call.respond(
            call.reply(
                HealthAnswer(
                    status: "ok", search: troubles.count > (isLow ? 1 : 0) ? "stopped" : nil,
                    space: isLow ? "low" : nil)))
    }

    /// Metrics are for admins and this machine only, because they reveal how many users there are and when they write.
    static func metrics(_ call: TypedCall<[UInt8]>, _: Void) {
        let text = call.server.metrics.text(
            call.store.statistics(), call.store.troubles(), connections: call.server.connectionCount,
            waiting: call.server.waiters.count, freeBytes: call.store.freeBytes,
            certificateExpires: call.server.certificateExpires)
        call.respond(
            Reply(
                status: 200, headers: [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")],
                body: .bytes(Array(text.utf8))))
    }
}

/// The server's own counters, in the text format of Prometheus.
///
/// - SeeAlso: "Exposition formats" in the documentation of Prometheus.
final class Metrics: Sendable {
    private let successes = Atomic<Int>(0)
    private let redirections = Atomic<Int>(0)
    private let refusals = Atomic<Int>(0)
    private let failures = Atomic<Int>(0)
    /// Clients that went away before there was an answer.
    private let abandoned = Atomic<Int>(0)
    private let bytesIn = Atomic<Int>(0)
    private let bytesOut = Atomic<Int>(0)
    private let started = MonotonicClock.now()

    func count(_ summary: RequestSummary) {
        switch summary.status {
        case 200..<300: successes.add(1, ordering: .relaxed)
        case 300..<400: redirections.add(1, ordering: .relaxed)
        case 400..<500: refusals.add(1, ordering: .relaxed)
        case 500...: failures.add(1, ordering: .relaxed)
        default: abandoned.add(1, ordering: .relaxed)
        }
        bytesIn.add(summary.bytesIn, ordering: .relaxed)
        bytesOut.add(summary.bytesOut, ordering: .relaxed)
    }

    func text(
        _ store: StoreStatistics, _ troubles: [StoreTrouble], connections: Int, waiting: Int, freeBytes: UInt64?,
        certificateExpires: Timestamp?
    ) -> String {
        var text = ""
        func put(_ name: String, _ type: String, _ help: String, _ values: [(labels: String, value: Int)]) {
            text += "# HELP natter_\(name) \(help)\n# TYPE natter_\(name) \(type)\n"
            for value in values { text += "natter_\(name)\(value.labels) \(value.value)\n" }
        }
        put(
            "requests_total", "counter", "Requests answered, by class of status.",
            [
                ("{status=\"2xx\"}", successes.load(ordering: .relaxed)),
                ("{status=\"3xx\"}", redirections.load(ordering: .relaxed)),
                ("{status=\"4xx\"}", refusals.load(ordering: .relaxed)),
                ("{status=\"5xx\"}", failures.load(ordering: .relaxed)),
            ])
        put(
            "requests_abandoned_total", "counter", "Requests whose client went away before the answer.",
            [("", abandoned.load(ordering: .relaxed))])
        put(
            "trouble", "gauge", "1 for each thing that keeps the store from working as it should.",
            StoreTrouble.names.map { name in
                ("{kind=\"\(name)\"}", troubles.contains { $0.name == name } ? 1 : 0)
            })
        put("request_bytes_total", "counter", "Bytes of requests' bodies.", [("", bytesIn.load(ordering: .relaxed))])
        put("response_bytes_total", "counter", "Bytes of answers' bodies.", [("", bytesOut.load(ordering: .relaxed))])
        put("connections", "gauge", "Connections that are open.", [("", connections)])
        put("waiting_requests", "gauge", "Requests that wait for news.", [("", waiting)])
        put("messages", "gauge", "Messages of all conversations.", [("", Int(clamping: store.messages))])
        put(
            "unsealed_messages", "gauge", "Messages that are not in a log file yet.",
            [("", Int(clamping: store.unsealedMessages))])
        put("journal_bytes", "gauge", "Bytes of the journal.", [("", store.journalBytes)])
        put("files", "gauge", "Files of messages.", [("", Int(clamping: store.files))])
        put("file_bytes", "gauge", "Bytes of all files of messages.", [("", Int(clamping: store.fileBytes))])
        put("waiting_files", "gauge", "Files that no message names yet.", [("", Int(clamping: store.waitingFiles))])
        if let freeBytes {
            put("free_bytes", "gauge", "Free bytes beside the data.", [("", Int(clamping: freeBytes))])
        }
        if let certificateExpires {
            put(
                "certificate_expires_seconds", "gauge", "When the certificate ends, in seconds since 1970.",
                [("", Int(clamping: certificateExpires.milliseconds / 1_000))])
        }
        put("commits", "counter", "Durable batches so far.", [("", Int(clamping: store.commit))])
        put("conversations", "gauge", "Conversations.", [("", store.conversations)])
        put("accounts", "gauge", "Accounts.", [("", store.accounts)])
        put("sessions", "gauge", "Sessions and tokens.", [("", store.sessions)])
        put("online_users", "gauge", "Users who are online.", [("", store.online)])
        put(
            "uptime_seconds", "gauge", "Seconds since the server began.",
            [("", Int(clamping: (MonotonicClock.now() - started) / 1_000))])
        return text
    }
}
