internal import NatterModel
internal import NatterStore
internal import NatterWire

extension Call {
    /// Whether the objects of a list are wanted alone, one a line.
    var wantsLines: Bool { MediaType.accepts(head.header("accept"), "application/x-ndjson") }

    /// Whether it comes over loopback, and not through a proxy.
    var isFromThisMachine: Bool {
        let address = head.remoteAddress
        guard head.header("x-forwarded-for") == nil, head.header("forwarded") == nil else { return false }
        return address.hasPrefix("127.") || address == "::1"
    }

    func respond(lines: [some Encodable], note: String) {
        var bytes: [UInt8] = []
        for line in lines {
            bytes += WireJSON.encode(line)
            bytes.append(UInt8(ascii: "\n"))
        }
        respond(Reply(status: 200, headers: [("Content-Type", MediaType.ndjson)], body: .bytes(bytes), note: note))
    }

    /// Puts the request aside until there is news for who asks. Then who asks is looked up again: a token may have been
    /// revoked, an account disabled, a membership ended while it waited.
    ///
    /// - Parameters:
    ///   - seen: the state in which there was nothing.
    ///   - deadline: on the monotonic clock, in milliseconds.
    ///   - again: looks again, on a worker.
    ///   - orElse: answers that there is nothing.
    func wait(
        for principal: Principal, seen: Commit, deadline: Int64, _ again: @escaping @Sendable (Principal) -> Void,
        orElse: @escaping @Sendable () -> Void
    ) {
        store.noteWaiting(principal.account, 1)
        server.waiters.wait(principal.account, seen: seen, deadline: deadline) { wake in
            store.noteWaiting(principal.account, -1)
            switch wake {
            case .timeout, .stopping: server.workers.goOn(orElse)
            case .news:
                server.workers.goOn {
                    do throws(APIError) { again(try self.principal()) } catch { respond(error.reply()) }
                }
            }
        }
    }
}
