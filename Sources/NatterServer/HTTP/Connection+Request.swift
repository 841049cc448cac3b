internal import CMicroHTTPD
internal import NatterLanguage

/// The steps of a request, from its head to the answer.
extension Connection {
    /// - Returns: false to close the connection, here and below.
    func takeHead(method text: UnsafePointer<CChar>) -> Bool {
        method = String(cString: text)
        let raw: RawHead
        do throws(HTTPViolation) {
            raw = try readHead(method: text)
        } catch {
            return refuse(loop.handler.guardReply(error))
        }
        let isProxied = loop.proxies.contains(address)
        if isProxied, let violation = enter(ForwardedFor.client(raw.headers, peer: address, proxies: loop.proxies)) {
            return refuse(loop.handler.guardReply(violation))
        }
        let head = RequestHead(
            method: method, target: target.text, path: target.path, query: target.query, headers: raw.headers,
            remoteAddress: clientText, isProxied: isProxied, contentLength: raw.contentLength,
            isChunked: raw.isChunked)
        exchange = Exchange(head: head, mailbox: loop.mailbox, connection: self)
        progress = Progress()
        switch loop.handler.plan(head) {
        case .refuse(let reply): return refuse(reply)
        case .stream(let sink): stage = .streaming(sink)
        case .collect(let limit):
            if let violation = head.violation(collecting: limit) {
                return refuse(loop.handler.guardReply(violation))
            }
            // What is announced costs memory only as it arrives.
            body.reserveCapacity(min(head.contentLength ?? 0, 16 << 10))
            stage = .collecting
        }
        return true
    }

    /// Counts a request that came by a proxy as a connection of its client would count.
    private func enter(_ client: PeerAddress) -> HTTPViolation? {
        guard client != address else { return nil }
        guard loop.enter(client) else { return .tooManyRequests(limit: loop.limits.connectionsPerAddress) }
        self.client = client
        return nil
    }

    private func readHead(method: UnsafePointer<CChar>) throws(HTTPViolation) -> RawHead {
        let size = natter_connection_head_size(handle)
        let start = target.address - Int(bitPattern: method)
        guard size > 0, start > 0, start <= size, target.count <= size - start else {
            throw .malformed(reason: "the request line is malformed")
        }
        guard target.isPlain else {
            throw .malformed(reason: "the target of a request begins with '/' and has no spaces")
        }
        return try RawHead(
            UnsafeRawBufferPointer(start: method, count: size), targetRange: start..<(start + target.count),
            headerCount: Int(MHD_get_connection_values(handle, .HEADER_KIND, nil, nil)))
    }

    /// The collected body is whole.
    func handOver() -> Bool {
        let whole = body
        loop.release(body.count)
        body = []
        return dispatch { head, exchange in loop.handler.handle(head, body: whole, exchange) }
    }

    /// The streamed body is whole.
    func finish(_ sink: any BodySink) -> Bool {
        dispatch { _, exchange in sink.finish(exchange) }
    }

    /// Lets a handler run, and takes its answer if it is there already.
    private func dispatch(_ run: (RequestHead, Exchange) -> Void) -> Bool {
        guard let exchange else { return false }
        stage = .answering
        isDispatching = true
        run(exchange.head, exchange)
        isDispatching = false
        return answer()
    }

    func answer() -> Bool {
        guard let reply else {
            suspend()
            return true
        }
        // After a body in chunks the connection is not used again: the library is too lax about where one ends.
        return send(reply, closing: loop.isStopping || exchange?.head.isChunked == true)
    }

    private func refuse(_ reply: Reply) -> Bool {
        mustLinger = true
        return send(reply, closing: true)
    }

    private func send(_ reply: Reply, closing: Bool) -> Bool {
        self.reply = nil
        (status, note) = (reply.status, reply.note)
        stage = .replying
        progress = Progress()
        guard let response = makeResponse(reply) else { return false }
        defer { MHD_destroy_response(response) }
        for (name, value) in reply.headers {
            // Refused by the library if it holds a line break, which would make two headers of one.
            MHD_add_response_header(response, name, value)
        }
        if closing { MHD_add_response_header(response, "Connection", "close") }
        return MHD_queue_response(handle, UInt32(clamping: reply.status), response) == .YES
    }

    private func makeResponse(_ reply: Reply) -> OpaquePointer? {
        switch reply.body {
        case .bytes(let bytes):
            bytesOut = method == "HEAD" ? 0 : bytes.count
            return bytes.withUnsafeBytes {
                MHD_create_response_from_buffer(
                    $0.count, UnsafeMutableRawPointer(mutating: $0.baseAddress), .RESPMEM_MUST_COPY)
            }
        case .producer(let producer, let length):
            guard let exchange else {
                producer.closed()
                return nil
            }
            let response = ReplyWriter.response(producer, length: length, connection: self, exchange: exchange)
            // The library would send the last, empty chunk even where there must be no body at all.
            if let response, length == nil, method == "HEAD" || reply.status == 304 {
                natter_response_avoid_chunks(response)
            }
            return response
        }
    }
}

extension RequestHead {
    /// What forbids that the body be collected in memory.
    fileprivate func violation(collecting limit: Int) -> HTTPViolation? {
        if isChunked {
            return .malformed(reason: "a body in chunks is taken only where bulk is; send a Content-Length")
        }
        return contentLength ?? 0 > limit ? .bodyTooLarge(limitBytes: limit) : nil
    }
}
