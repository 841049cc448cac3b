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

    public static func decode<Value: Decodable>(
        _: Value.Type = Value.self, from bytes: some Collection<UInt8>
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
