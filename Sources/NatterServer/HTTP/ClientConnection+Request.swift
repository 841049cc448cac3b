internal import CMicroHTTPD
internal import NatterModel

/// The steps of a request, from its head to the reply.
extension ClientConnection {
    /// - Returns: false to close the connection. The same holds for the functions below.
    func takeHead(method text: UnsafePointer<CChar>) -> Bool {
        method = String(cString: text)
        headTurn = loop.turn
        let bytes = UnsafeRawBufferPointer(start: text, count: headSize)
        let known: KnownHead
        if let former, target.isRepeated, former.isOf(bytes, headerCount: headerCount) {
            known = former
        } else {
            do throws(HTTPViolation) {
                guard let read = try readHead(bytes) else { return false }
                known = read
            } catch {
                return refuse(error)
            }
            former = known.mayComeAgain ? known : nil
        }
        let head = known.head
        let exchange = Exchange(head: head, answering: loop.mailbox, connection: self)
        self.exchange = exchange
        progress = TransferProgress()
        if head.isChunked { chunkLines = ChunkLines(from: UnsafeRawPointer(text) + headSize, turn: loop.turn) }
        switch known.plan() {
        case .refuse(let reply): return refuse(reply)
        case .refuseLater(let answer):
            stage = .streaming(UnreadBody())
            suspend()
            answer(exchange)
        case .stream(let sink): stage = .streaming(sink)
        case .collect(let limit, let answer):
            if let violation = head.violation(collecting: limit) { return refuse(violation) }
            // Reserve little. An announced body takes memory only as it arrives.
            body.reserveCapacity(min(head.contentLength ?? 0, 16 << 10))
            stage = .collecting(answer)
        }
        return true
    }

    /// - Returns: nil if it leaves no room for an answer. Then it was refused past the library.
    private func readHead(_ bytes: UnsafeRawBufferPointer) throws(HTTPViolation) -> KnownHead? {
        let parsed = try parseHead(bytes)
        // The library has cookies twice.
        let cookieBytes = parsed.headers.reduce(0) { $0 + ($1.name == "cookie" ? $1.value.utf8.count : 0) }
        guard hasRoomForAnswer(headBytes: bytes.count + cookieBytes, records: recordCount) else {
            sendPastLibrary(.headTooLarge)
            return nil
        }
        let isProxied = loop.proxies.contains(address)
        if isProxied { try enter(ForwardedFor.client(parsed.headers, peer: address, proxies: loop.proxies)) }
        let head = RequestHead(
            method: method, target: target.text, path: target.path, query: target.query, headers: parsed.headers,
            remoteAddress: clientText, isProxied: isProxied, contentLength: parsed.contentLength,
            isChunked: parsed.isChunked)
        return KnownHead(bytes, head, target, plan: loop.handler.prepare(head))
    }

    /// Whether the library could write the head of an answer. It has the same memory for it as for the head of the request and
    /// a record of each header, cookie and field of the query. Without room it would act on the request, and then close
    /// the connection. Whenever it looks for more to read, it wants a KiB for that.
    func hasRoomForAnswer(headBytes: Int, records: Int) -> Bool {
        let (recordBytes, answerBytes, readBytes) = (64, 1_536, 1_024)
        let taken = headBytes + recordBytes * records + readBytes
        return taken + answerBytes <= loop.limits.connectionMemoryBytes
    }

    /// Counts a request through a proxy like a connection of its client.
    private func enter(_ client: PeerAddress) throws(HTTPViolation) {
        guard client != address else { return }
        guard loop.enter(client) else { throw .tooManyRequests(limit: loop.limits.connectionsPerAddress) }
        self.client = client
    }

    /// How many headers the library found.
    private var headerCount: Int { Int(MHD_get_connection_values(handle, .HEADER_KIND, nil, nil)) }

    private func parseHead(_ bytes: UnsafeRawBufferPointer) throws(HTTPViolation) -> HeadParser {
        let start = target.address - Int(bitPattern: bytes.baseAddress)
        guard start > 0, start <= bytes.count, target.count <= bytes.count - start else {
            throw .malformed(reason: "the request line is malformed")
        }
        guard target.isPlain else {
            throw .malformed(reason: "the target of a request begins with '/' or 'http://' and has no spaces")
        }
        var parsed = try HeadParser(bytes, targetRange: start..<(start + target.count), headerCount: headerCount)
        if let authority = target.authority { parsed.replaceHost(authority) }
        return parsed
    }

    /// Refuses a body whose chunks are not what RFC 9112 allows, although the library reads them.
    ///
    /// - Parameter data: a piece of the body, or nil at its end.
    func areChunksValid(_ data: UnsafePointer<CChar>?, _ count: Int) -> Bool {
        switch stage {
        case .collecting, .streaming: break
        case .head, .answering, .replying: return true
        }
        let areValid =
            if let data, count > 0 {
                chunkLines?.areValid(before: UnsafeRawBufferPointer(start: data, count: count), turn: loop.turn)
            } else {
                chunkLines?.areValid(atEndIn: loop.turn)
            }
        guard areValid == false else { return true }
        sendPastLibrary(
            loop.handler.reply(to: .malformed(reason: "a line between the chunks of the body does not end in CR LF")))
        return false
    }

    /// Passes the complete collected body to the handler.
    func finishCollecting(_ answer: @Sendable ([UInt8], Exchange) -> Void) -> Bool {
        let collected = body
        // The handler keeps the body while the request waits, so its bytes stay counted until the reply.
        body = []
        return dispatch { answer(collected, $0) }
    }

    /// Tells the sink that the streamed body is complete.
    func finishStreaming(_ sink: any BodySink) -> Bool { dispatch { sink.finish($0) } }

    /// Runs a handler, and takes its reply if the handler responds immediately.
    private func dispatch(_ run: (Exchange) -> Void) -> Bool {
        guard let exchange else { return false }
        stage = .answering
        isDispatching = true
        run(exchange)
        isDispatching = false
        return sendReplyOrWait(isImmediate: true)
    }

    /// - Parameter isImmediate: whether the handler made the reply just now, and asked for its authority.
    func sendReplyOrWait(isImmediate: Bool = false) -> Bool {
        guard let reply else {
            awaitReply()
            return true
        }
        // The library sends it in the next turn.
        loop.hasWork = true
        endPolling()
        // The connection is not reused after a chunked body, because the library is too lax about where the body ends.
        return send(
            reply, closing: loop.isStopping || exchange?.head.isChunked == true, isImmediate: isImmediate)
    }

    private func refuse(_ violation: HTTPViolation) -> Bool { refuse(loop.handler.reply(to: violation)) }

    private func refuse(_ reply: Reply) -> Bool {
        mustLinger = true
        return send(reply, closing: true)
    }

    private func send(_ given: Reply, closing: Bool, isImmediate: Bool = false) -> Bool {
        var reply = given
        // Only what changed nothing may be refused now.
        if isReading, !isImmediate, let refusal = exchange?.refusal { reply = refusal }
        if method == "GET", reply.status != 304,
            let violation = loop.violation(sending: reply.heldBytes, to: reply.reader)
        {
            reply = loop.handler.reply(to: violation)
        }
        holdAnswer(reply.isHeadOnly(for: method) ? 0 : reply.heldBytes, for: reply.reader)
        self.reply = nil
        (status, note) = (reply.status, reply.note)
        releaseBody()
        stage = .replying
        progress = TransferProgress()
        guard let response = makeResponse(reply) else { return false }
        defer { MHD_destroy_response(response) }
        // The library refuses a header that contains a line break. Such a header would become two headers. An argument that
        // is a Swift string would be copied to the heap.
        forEachHeader(of: reply) { name, value in
            name.withCString { name in value.withCString { _ = MHD_add_response_header(response, name, $0) } }
        }
        if closing { MHD_add_response_header(response, "Connection", "close") }
        return MHD_queue_response(handle, UInt32(clamping: reply.status), response) == .YES
    }

    /// Calls `body` with the reply's own headers, then with the common ones that it does not replace.
    func forEachHeader(of reply: Reply, _ body: (_ name: String, _ value: String) -> Void) {
        for header in reply.headers { body(header.name, header.value) }
        for common in loop.commonHeaders where !reply.headers.contains(where: { $0.name == common.name }) {
            body(common.name, common.value)
        }
    }

    private func makeResponse(_ reply: Reply) -> OpaquePointer? {
        switch reply.body {
        case .bytes(let bytes):
            if reply.status == 304 { return natter_response_of_length(UInt64(bytes.count)) }
            bytesOut = method == "HEAD" ? 0 : bytes.count
            return bytes.withUnsafeBytes {
                MHD_create_response_from_buffer(
                    $0.count, UnsafeMutableRawPointer(mutating: $0.baseAddress), .RESPMEM_MUST_COPY)
            }
        case .producer(let producer, let length):
            guard let exchange else { return nil }
            let response = ReplyFeeder.response(producer, length: length, connection: self, exchange: exchange)
            // The library would send the last, empty chunk even if there must be no body.
            if let response, length == nil, reply.isHeadOnly(for: method) {
                natter_response_avoid_chunks(response)
            }
            return response
        }
    }
}

/// A body that is not read, because its request will be refused.
private final class UnreadBody: BodySink {
    let heldBytes = 0
    func receive(_ bytes: UnsafeRawBufferPointer, _ exchange: Exchange) -> Bool { false }
    func finish(_ exchange: Exchange) {}
}
