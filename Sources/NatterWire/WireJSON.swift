internal import FoundationEssentials

/// JSON by Foundation's encoder and decoder, with what the interface asks for on top.
public enum WireJSON {
    /// Why bytes were not taken.
    public enum Failure: Error, Equatable {
        /// Not JSON, or not UTF-8.
        case malformed
        /// JSON, but a field is missing or of the wrong type: its name.
        case field(String)
    }

    /// One object on one line, without a newline; keys in alphabetical order, so that equal values give equal bytes.
    public static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else { return Array("{}".utf8) }
        return Array(data)
    }

    public static func encode(_ value: some DirectlyWritten) -> [UInt8] {
        var bytes: [UInt8] = []
        // A message of usual length.
        bytes.reserveCapacity(512)
        value.write(to: &bytes)
        return bytes
    }

    public static func decode<Value: Decodable>(
        _: Value.Type = Value.self, from bytes: some Collection<UInt8>
    ) throws(Failure) -> Value {
        try decodeByDecoder(from: bytes)
    }

    /// The same for a message, of which so many come that the decoder would take longer than all else together: one of plain
    /// strings, which most are, is read at one go.
    public static func decode(
        _: SendRequest.Type = SendRequest.self, from bytes: some Collection<UInt8>
    ) throws(Failure) -> SendRequest {
        if let request = bytes.withContiguousStorageIfAvailable({ SendRequest(plain: UnsafeRawBufferPointer($0)) })
            ?? nil
        {
            return request
        }
        return try decodeByDecoder(from: bytes)
    }

    private static func decodeByDecoder<Value: Decodable>(
        from bytes: some Collection<UInt8>
    ) throws(Failure) -> Value {
        // Foundation would also read UTF-16 and UTF-32, in which every plain character brings a zero byte.
        let data = Data(bytes)
        guard !data.contains(0), String(validating: data, as: UTF8.self) != nil,
            data.withUnsafeBytes({ JSONGrammar.accepts($0) })
        else { throw .malformed }
        do {
            return try JSONDecoder().decode(Value.self, from: data)
        } catch let error as DecodingError {
            switch error {
            case .keyNotFound(let key, _): throw .field(key.stringValue)
            case .typeMismatch(_, let context), .valueNotFound(_, let context):
                throw .field(context.codingPath.last?.stringValue ?? "")
            // It is JSON: what is left are numbers that the field can't be, without the field's name.
            case .dataCorrupted(let context): throw .field(context.codingPath.last?.stringValue ?? "")
            @unknown default: throw .malformed
            }
        } catch {
            throw .malformed
        }
    }
}

extension SendRequest {
    /// - Returns: nil for anything but one object of plain strings, each field once: the decoder then says what it is.
    fileprivate init?(plain bytes: UnsafeRawBufferPointer) {
        guard let fields = JSONGrammar.plainFields(bytes) else { return nil }
        var (conversation, text, id): (String?, String?, String?)
        func take(_ field: JSONGrammar.PlainField, _ target: inout String?) -> Bool {
            guard target == nil else { return false }
            // No string of JSON has a zero byte in it, so none is missed that `decode` would refuse.
            target = String(validating: UnsafeRawBufferPointer(rebasing: bytes[field.value]), as: UTF8.self)
            return target != nil
        }
        for field in fields {
            let name = bytes[field.name]
            let isTaken =
                if name.elementsEqual("text".utf8) {
                    take(field, &text)
                } else if name.elementsEqual("conversation".utf8) {
                    take(field, &conversation)
                } else if name.elementsEqual("id".utf8) {
                    take(field, &id)
                } else {
                    // What nobody asks for has to be UTF-8, too.
                    false
                }
            guard isTaken else { return nil }
        }
        guard let conversation, let text else { return nil }
        self.init(conversation: conversation, text: text, id: id)
    }
}
