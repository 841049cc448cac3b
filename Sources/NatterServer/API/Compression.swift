internal import NatterProtocol

extension Reply {
    static let isGzip = (name: "Content-Encoding", value: "gzip")
    static let dependsOnEncoding = (name: "Vary", value: "Accept-Encoding")

    /// A smaller body hardly costs less on the wire. A larger one would keep a worker from others for longer than 10 ms.
    private static let compressedBytes = 1 << 10...512 << 10

    /// The reply, compressed if the client takes that and the body is whole.
    ///
    /// Use it only for a body whose every reader may know all of it. The length of a compressed body tells how similar its
    /// parts are: if one part is a secret, a client that writes another part could find it by trying (BREACH).
    func compressed(for head: RequestHead) -> Reply {
        guard case .bytes(let bytes) = body, Reply.compressedBytes.contains(bytes.count) else { return self }
        var reply = self
        reply.headers.append(Reply.dependsOnEncoding)
        guard head.acceptsGzip, let smaller = Gzip.compress(bytes, .often) else { return reply }
        reply.headers.append(Reply.isGzip)
        reply.body = .bytes(smaller)
        return reply
    }
}

extension RequestHead {
    /// - SeeAlso: RFC 9110, section 12.5.3.
    var acceptsGzip: Bool {
        MediaType.accepts(header("accept-encoding"), "gzip")
    }
}
