public import NatterModel

/// One request. `Host`, `User-Agent` and `Content-Length` are added when it is sent.
public struct HTTPRequest: Sendable {
    public var method: HTTPMethod
    /// The percent-encoded path and query, beginning with `/`. The server's base path is inserted before it.
    public var path: String
    public var headers: [(name: String, value: String)]
    /// nil for no body, which differs from an empty one.
    public var body: [UInt8]?
    /// A body of any length, instead of `body`.
    public var source: (any BodySource)?

    public init(
        _ method: HTTPMethod, _ path: String, headers: [(name: String, value: String)] = [], body: [UInt8]? = nil
    ) {
        (self.method, self.path, self.headers, self.body) = (method, path, headers, body)
    }

    /// Whether a text is a path and a query as a request has them.
    public static func isTarget(_ text: String) -> Bool {
        text.utf8.first == UInt8(ascii: "/") && PercentEncoding.isTarget(text.utf8)
    }

    /// Encodes a name as one segment of a path; `@` stays unchanged.
    public static func encodeSegment(_ name: String) -> String {
        PercentEncoding.encode(name, keeping: UInt8(ascii: "@"))
    }

    /// The query behind a path: empty for no items, otherwise `?name=value&…`.
    public static func encodeQuery(_ items: [(name: String, value: String)]) -> String {
        var text = ""
        for item in items {
            text += text.isEmpty ? "?" : "&"
            text += PercentEncoding.encode(item.name) + "=" + PercentEncoding.encode(item.value)
        }
        return text
    }
}

/// The body of a request, of which only the next pieces are in memory.
public protocol BodySource: Sendable {
    var count: UInt64 { get }

    /// Up to `count` bytes from `offset`, but at least one. A request that is repeated reads from the beginning.
    func read(count: Int, at offset: UInt64) throws -> [UInt8]
}

/// A complete answer. An answer that was cut short is an error, never a short body.
public struct HTTPResponse: Sendable {
    /// 200 to 599.
    public let status: Int
    /// In the order in which they were received.
    public let headers: [(name: String, value: String)]
    /// Empty if the body was streamed.
    public let body: [UInt8]

    /// The first header with this name, in any case.
    public func header(_ name: String) -> String? {
        headers.first { HTTPResponse.isSame($0.name, name) }?.value
    }

    /// Whether two words are equal apart from the case of ASCII letters.
    static func isSame(_ one: some StringProtocol, _ other: some StringProtocol) -> Bool {
        one.utf8.count == other.utf8.count
            && zip(one.utf8, other.utf8).allSatisfy { $0.asciiLowercased == $1.asciiLowercased }
    }
}
