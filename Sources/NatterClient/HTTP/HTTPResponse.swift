/// A complete answer: one that was cut short is an error, never a short body.
public struct HTTPResponse: Sendable {
    /// 200 to 599.
    public let status: Int
    /// As they came, in order.
    public let headers: [(name: String, value: String)]
    /// Empty where the body was streamed.
    public let body: [UInt8]

    public init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        (self.status, self.headers, self.body) = (status, headers, body)
    }

    /// The first header of this name, without regard to case.
    public func header(_ name: String) -> String? { HTTPResponse.header(name, in: headers) }

    static func header(_ name: String, in headers: [(name: String, value: String)]) -> String? {
        headers.first { isSame($0.name, name) }?.value
    }

    /// Whether two words are the same without regard to the case of ASCII letters.
    static func isSame(_ one: some StringProtocol, _ other: some StringProtocol) -> Bool {
        func lower(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
        return one.utf8.count == other.utf8.count
            && zip(one.utf8, other.utf8).allSatisfy { lower($0) == lower($1) }
    }
}
