public enum HTTPMethod: String, Sendable {
    case get = "GET"
    case post = "POST"
    case put = "PUT"
    case patch = "PATCH"
    case delete = "DELETE"
}

/// One request, as the caller means it; `Host`, `User-Agent` and `Content-Length` are added when it is sent.
public struct HTTPRequest: Sendable {
    public var method: HTTPMethod
    /// Percent-encoded, with its query, from `/` on; the server's base path is put before it.
    public var path: String
    public var headers: [(name: String, value: String)]
    /// nil for none, which is not the same as an empty one.
    public var body: [UInt8]?

    public init(
        _ method: HTTPMethod, _ path: String, headers: [(name: String, value: String)] = [], body: [UInt8]? = nil
    ) {
        (self.method, self.path, self.headers, self.body) = (method, path, headers, body)
    }

    /// A name as one segment of a path; `@` stays as it is.
    public static func encodeSegment(_ name: String) -> String {
        PercentEncoding.encode(name, keeping: UInt8(ascii: "@"))
    }

    /// What follows a path: empty for no items, else `?name=value&…`.
    public static func encodeQuery(_ items: [(name: String, value: String)]) -> String {
        var text = ""
        for item in items {
            text += text.isEmpty ? "?" : "&"
            text += PercentEncoding.encode(item.name) + "=" + PercentEncoding.encode(item.value)
        }
        return text
    }
}
