internal import NatterModel

/// The head of a request: everything that is known before its body.
///
/// It is a class, because all requests of a connection that have the same head share it.
final class RequestHead: Sendable {
    /// The method as sent, such as `GET`. Case matters.
    let method: String
    /// The request target as sent, with its query, but without the scheme and the host of an absolute one.
    let target: String
    /// The path split at `/`, with each segment percent-decoded once: `/v1/x` is `["v1", "x"]`, `/` is `[]`, `//` has
    /// an empty segment, and `.` and `..` are ordinary names. It is nil if malformed: a bad escape, `%2F` or `%00` in a
    /// segment, or bytes that are not UTF-8.
    let path: [String]?
    /// The query. Names and values are decoded once, with `+` as a space. It is nil if malformed.
    let query: [(name: String, value: String)]?
    /// The headers in the order sent, with names in lower case and values without surrounding white space.
    let headers: [(name: String, value: String)]
    /// The client's numeric address without a port. It is the other end of the connection, or the client that a trusted
    /// proxy names. An IPv4 client has an IPv4 address even if it came over an IPv6 socket.
    let remoteAddress: String
    /// True if the other end of the connection is a trusted proxy.
    let isProxied: Bool
    /// The number of body bytes to come. It is nil if none is announced or the body is chunked.
    let contentLength: Int?
    let isChunked: Bool
    /// The user of the operator's command that sent it over the data directory's own socket; nil if it came over the network.
    let operatorID: UInt32?

    init(
        method: String, target: String, path: [String]?, query: [(name: String, value: String)]?,
        headers: [(name: String, value: String)], remoteAddress: String, isProxied: Bool, contentLength: Int?,
        isChunked: Bool, operatorID: UInt32? = nil
    ) {
        (self.method, self.target, self.path, self.query) = (method, target, path, query)
        (self.headers, self.remoteAddress, self.isProxied) = (headers, remoteAddress, isProxied)
        (self.contentLength, self.isChunked, self.operatorID) = (contentLength, isChunked, operatorID)
    }

    /// The value of the first header of this name.
    ///
    /// - Parameter name: in lower case.
    func header(_ name: String) -> String? {
        for header in headers where header.name == name { return header.value }
        return nil
    }

    /// Whether the client has what this entity tag names: the weak comparison of RFC 9110, section 13.1.2.
    func hasCopy(_ tag: String) -> Bool {
        guard let known = header("if-none-match") else { return false }
        let blank = UInt8(ascii: " ")
        return known.utf8.split(separator: UInt8(ascii: ",")).contains { part in
            let candidate = part.drop { $0 == blank }.prefix { $0 != blank }
            return ["*", tag, "W/" + tag].contains { candidate.elementsEqual($0.utf8) }
        }
    }

    /// Why the body must not be collected in memory, or nil if it may be.
    func violation(collecting limit: Int) -> HTTPViolation? {
        if isChunked {
            return .malformed(reason: "only bulk requests may be chunked; send a Content-Length")
        }
        return contentLength ?? 0 > limit ? .bodyTooLarge(limitBytes: limit) : nil
    }
}
