internal import NatterModel
internal import NatterStore
internal import NatterWire

extension Call {
    /// Whether the objects of a list are wanted alone, one a line.
    var wantsLines: Bool { MediaType.accepts(head.header("accept"), "application/x-ndjson") }

    /// Whether it comes over loopback, and not through a proxy.
    var isFromThisMachine: Bool {
        let address = head.remoteAddress
        guard !head.isProxied, head.header("x-forwarded-for") == nil, head.header("forwarded") == nil else {
            return false
        }
        return address.hasPrefix("127.") || address == "::1"
    }

    func respond(lines: [some Encodable], note: String) {
        respond(lines, note) { line, bytes in bytes += WireJSON.encode(line) }
    }

    func respond(lines: [some JSONWritable], note: String) {
        respond(lines, note) { line, bytes in line.write(to: &bytes) }
    }

    private func respond<Line>(_ lines: [Line], _ note: String, _ write: (Line, inout [UInt8]) -> Void) {
        var bytes: [UInt8] = []
        for line in lines {
            write(line, &bytes)
            bytes.append(UInt8(ascii: "\n"))
        }
        respond(Reply(status: 200, headers: [("Content-Type", MediaType.ndjson)], body: .bytes(bytes), note: note))
    }

    func respond(_ result: Result<ConversationView, StoreError>, status: Int, _ principal: Principal) {
        switch result {
        case .success(let view): respond(.json(ConversationObject(view), status: status, note: principal.name.text))
        case .failure(let error): respond(APIError(error).reply(note: principal.name.text))
        }
    }

    /// Answers that it is done: there is nothing to say.
    func respondEmpty(_ result: Result<Void, StoreError>, _ principal: Principal) {
        switch result {
        case .success: respond(.json([String: String](), note: principal.name.text))
        case .failure(let error): respond(APIError(error).reply(note: principal.name.text))
        }
    }

    /// Puts the request aside until there is news for who asks, or its time is over. Then who asks is looked up again: a token
    /// may have been revoked, an account disabled, a membership ended while it waited.
    ///
    /// - Parameters:
    ///   - seen: the state in which there was nothing.
    ///   - deadline: on the monotonic clock, in milliseconds.
    ///   - again: looks again, on a worker; at the deadline, too.
    ///   - orElse: answers that there is nothing, because the server is about to end.
    func wait(
        for principal: Principal, seen: Commit, deadline: Int64, _ again: @escaping @Sendable (Principal) -> Void,
        orElse: @escaping @Sendable () -> Void
    ) {
        store.noteWaiting(principal.account, 1)
        server.waiters.wait(principal.account, seen: seen, deadline: deadline) { wake in
            store.noteWaiting(principal.account, -1)
            server.workers.goOn {
                do throws(APIError) {
                    let principal = try self.principal(.valid)
                    if wake == .stopping { orElse() } else { again(principal) }
                } catch {
                    respond(error.reply())
                }
            }
        }
    }
}
