internal import NatterPage

extension Reply {
    static let isGzip = (name: "Content-Encoding", value: "gzip")
    static let dependsOnEncoding = (name: "Vary", value: "Accept-Encoding")

    /// A smaller body hardly costs less on the wire. A larger one would keep a worker from others for longer than 10 ms.
    private static let compressedBytes = 1 << 10...512 << 10

    /// The same, compressed if the client takes that and the body is whole.
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
        guard let header = header("accept-encoding") else { return false }
        return header.utf8.split(separator: UInt8(ascii: ",")).contains { item in
            let parts = item.filter { $0 != UInt8(ascii: " ") }.split(separator: UInt8(ascii: ";"))
            guard let coding = parts.first, coding.elementsEqual("gzip".utf8) else { return false }
            // 'q=0', 'q=0.0': not acceptable.
            return !parts.dropFirst().contains { part in
                part.starts(with: "q=0".utf8) && part.dropFirst(3).allSatisfy { ".0".utf8.contains($0) }
            }
        }
    }
}
