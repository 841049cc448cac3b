/// What is known of a request before its body.
public struct RequestHead: Sendable {
    /// As sent, e.g. `GET`; letters' case counts.
    public let method: String
    /// The request target as sent, with its query.
    public let target: String
    /// The path split at `/`, each segment percent-decoded once: `/v1/x` is `["v1", "x"]`, `/` is `[]`, `//` has an
    /// empty segment, and `.` and `..` are names like others. nil if malformed: a bad escape, `%2F` or `%00` in a
    /// segment, or no UTF-8.
    public let path: [String]?
    /// The query, names and values decoded once, `+` a space; nil if malformed.
    public let query: [(name: String, value: String)]?
    /// Names in lower case, in the order in which they were sent; values without the white space around them.
    public let headers: [(name: String, value: String)]
    /// The numeric address of the client, without a port: the other end of the connection, or whom a trusted proxy there
    /// names. An IPv4 address also where it came by an IPv6 socket.
    public let remoteAddress: String
    /// Whether the other end of the connection is a trusted proxy.
    public let isProxied: Bool
    /// Bytes of the body to come; nil if none is announced, or it comes in chunks.
    public let contentLength: Int?
    public let isChunked: Bool

    /// The value of the first header of this name.
    ///
    /// - Parameter name: in lower case.
    public func header(_ name: String) -> String? {
        for header in headers where header.name == name { return header.value }
        return nil
    }
}
