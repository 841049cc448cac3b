internal import FoundationEssentials
internal import NatterModel

/// JSON with Foundation's encoder and decoder, as strict as the API promises, with a fast path for messages.
public enum WireJSON {
    /// Why decoding failed.
    public enum Failure: Error, Equatable {
        /// The bytes are not JSON or not UTF-8, or an answer has a string that would take too long to compare.
        case malformed
        /// The field of this name is missing or of the wrong type. The name is empty if the value is not an object.
        case field(String)
    }

    /// Encodes an object on one line, without a newline. Keys are in alphabetical order, so that equal values give equal
    /// bytes.
    public static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else { return Array("{}".utf8) }
        return Array(data)
    }

    public static func encode(_ value: some JSONWritable) -> [UInt8] {
        var bytes: [UInt8] = []
        // Enough for a typical message.
        bytes.reserveCapacity(512)
        value.write(to: &bytes)
        return bytes
    }

    public static func decode<Value: Decodable>(
        _: Value.Type = Value.self, from bytes: some Collection<UInt8>
    ) throws(Failure) -> Value {
        try decodeByDecoder(from: bytes)
    }

    /// Decodes a server's answer. It is malformed if a string has a long run of combining marks, because names and times are
    /// compared (``NatterModel/CombiningRun``). Only the texts of messages may have one.
    public static func decode<Value: Decodable>(
        _: Value.Type = Value.self, answer bytes: some Collection<UInt8>
    ) throws(Failure) -> Value {
        try decodeByDecoder(from: bytes, isAnswer: true)
    }

    /// Whether an answer is an object with a positive number in this field, found without the decoder, whose first use costs
    /// almost as much as a whole command. False does not say that it is none: what has objects or arrays in it, or a number
    /// above 10^19, needs the decoder.
    public static func isFlatObject(_ answer: [UInt8], withNumber field: StaticString) -> Bool {
        answer.withUnsafeBytes {
            !$0.contains(0) && String(validating: $0, as: UTF8.self) != nil
                && JSONReader.isFlatObject($0, withNumber: field)
        }
    }

    /// Decodes a message to send. Most messages skip the decoder, because there are so many: see
    /// `JSONReader.plainFields`.
    public static func decode(
        _: SendRequest.Type = SendRequest.self, from bytes: some Collection<UInt8>
    ) throws(Failure) -> SendRequest {
        try decode(SendRequest.self, from: bytes, conversation: nil)
    }

    /// Decodes a message to send that may omit its conversation.
    ///
    /// - Parameter conversation: the conversation to use if the message names none. With nil, the message must name
    ///   one.
    public static func decode(
        _: SendRequest.Type = SendRequest.self, from bytes: some Collection<UInt8>, conversation: String?
    ) throws(Failure) -> SendRequest {
        let plain = bytes.withContiguousStorageIfAvailable {
            SendRequest(plain: UnsafeRawBufferPointer($0), conversation: conversation)
        }
        if case .some(.some(let request)) = plain { return request }
        return try decodeByDecoder(from: bytes, conversation: conversation)
    }

    private static func decodeByDecoder<Value: Decodable>(
        from bytes: some Collection<UInt8>, isAnswer: Bool = false, conversation: String? = nil
    ) throws(Failure) -> Value {
        // Foundation would also read UTF-16 and UTF-32, in which every plain character brings a zero byte.
        var data = bytes.withContiguousStorageIfAvailable { Data(buffer: $0) } ?? Data(bytes)
        // Not `data.contains`, which takes one byte at a time through Foundation's iterator.
        let isText = data.withUnsafeBytes { !$0.contains(0) && String(validating: $0, as: UTF8.self) != nil }
        guard isText, let long = data.withUnsafeBytes({ JSONReader.longStrings($0) }) else { throw .malformed }
        if isAnswer,
            long.values.contains(where: { value in
                (try? JSONDecoder().decode(String.self, from: data[value])).map(CombiningRun.isLong) ?? true
            })
        {
            throw .malformed
        }
        // The decoder hashes each name, which costs the square of a run of combining marks. An unknown name may be any other.
        data.withUnsafeMutableBytes { (bytes: UnsafeMutableRawBufferPointer) in
            for index in long.names.joined() { bytes[index] = UInt8(ascii: "x") }
        }
        let decoder = JSONDecoder()
        if let conversation, let key = SendRequest.standIn { decoder.userInfo[key] = conversation }
        do {
            return try decoder.decode(Value.self, from: data)
        } catch let error as DecodingError {
            switch error {
            case .keyNotFound(let key, _): throw .field(key.stringValue)
            case .typeMismatch(_, let context), .valueNotFound(_, let context): throw .field(name(in: context))
            // The bytes are JSON, so a number exceeds the field's range. Foundation does not name the field.
            case .dataCorrupted(let context): throw .field(name(in: context))
            @unknown default: throw .malformed
            }
        } catch {
            throw .malformed
        }
    }

    /// The name of the field that is wrong. An element of a list has no name of its own.
    private static func name(in context: DecodingError.Context) -> String {
        context.codingPath.last { $0.intValue == nil }?.stringValue ?? ""
    }
}

/// A field that may be missing, which leaves what it is about as it is, or `null`, which takes it away.
@propertyWrapper
public struct Given<Value: Codable & Sendable>: Codable, Sendable {
    /// nil if it is missing.
    public var wrappedValue: Value??

    public init(wrappedValue: Value??) { self.wrappedValue = wrappedValue }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        wrappedValue = .some(container.decodeNil() ? nil : try container.decode(Value.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let value = wrappedValue ?? nil { try container.encode(value) } else { try container.encodeNil() }
    }
}

extension Given: Equatable where Value: Equatable {}

extension KeyedDecodingContainer {
    public func decode<Value>(_: Given<Value>.Type, forKey key: Key) throws -> Given<Value> {
        Given(wrappedValue: contains(key) ? .some(try decodeIfPresent(Value.self, forKey: key)) : nil)
    }
}

extension KeyedEncodingContainer {
    public mutating func encode<Value>(_ field: Given<Value>, forKey key: Key) throws {
        if let given = field.wrappedValue { try encode(given, forKey: key) }
    }
}

/// A field that is encoded as `null` if it has no value. A synthesized encoding would omit it. When decoding, the field
/// may be missing.
@propertyWrapper
public struct OrNull<Value: Codable & Sendable>: Codable, Sendable {
    public var wrappedValue: Value?

    public init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        wrappedValue = container.decodeNil() ? nil : try container.decode(Value.self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
    }
}

extension OrNull: Equatable where Value: Equatable {}

extension KeyedDecodingContainer {
    public func decode<Value>(_: OrNull<Value>.Type, forKey key: Key) throws -> OrNull<Value> {
        OrNull(wrappedValue: try decodeIfPresent(Value.self, forKey: key))
    }
}
