public import NatterModel

/// A value that is a string in JSON, of ASCII that needs no escapes.
protocol WireText: Codable {
    /// - Returns: nil for any other text.
    init?(wire text: String)
    /// The most bytes that `write` needs.
    static var longestText: Int { get }
    /// Writes the text, and returns how many bytes it has.
    func write(to text: UnsafeMutableBufferPointer<UInt8>) -> Int
}

extension WireText {
    public init(from decoder: any Decoder) throws { self = try Self.read(from: decoder) }
    public func encode(to encoder: any Encoder) throws { try put(into: encoder) }

    fileprivate static func read(from decoder: any Decoder) throws -> Self {
        let container = try decoder.singleValueContainer()
        guard let value = Self(wire: try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a \(Self.self)")
        }
        return value
    }

    fileprivate func put(into encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(String(unsafeUninitializedCapacity: Self.longestText) { write(to: $0) })
    }
}

/// 32 lower-case hexadecimal digits.
extension ConversationID: WireText {
    init?(wire text: String) { self.init(hex: text) }
    static let longestText = 2 * byteCount
    func write(to text: UnsafeMutableBufferPointer<UInt8>) -> Int {
        withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { Hex.write($0, to: text) }
    }
}

/// Base64url.
extension MessageCursor: WireText {
    init?(wire text: String) { self.init(text) }
    static let longestText = 64
    func write(to text: UnsafeMutableBufferPointer<UInt8>) -> Int { Base64URL.write(bytes, to: text) }
}

/// RFC 3339, UTC, with milliseconds.
extension Timestamp: WireText {
    // Said again, because as a raw value it would be a number.
    public init(from decoder: any Decoder) throws { self = try Timestamp.read(from: decoder) }
    public func encode(to encoder: any Encoder) throws { try put(into: encoder) }
    init?(wire text: String) { self.init(rfc3339: text) }
    static let longestText = rfc3339Count
    func write(to text: UnsafeMutableBufferPointer<UInt8>) -> Int { writeRFC3339(to: text) }
}
