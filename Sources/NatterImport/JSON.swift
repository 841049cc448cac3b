internal import NatterLanguage
internal import NatterModel
internal import NatterWire

/// A JSON value of another program, whose fields may have any type.
enum JSON: Decodable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        // The most frequent first, because each attempt costs something.
        if let text = try? value.decode(String.self) {
            self = .string(CombiningRun.split(text))
        } else if let number = try? value.decode(Int64.self) {
            self = .integer(number)
        } else if let fields = try? value.decode([String: JSON].self) {
            self = .object(fields)
        } else if let items = try? value.decode([JSON].self) {
            self = .array(items)
        } else if let isTrue = try? value.decode(Bool.self) {
            self = .bool(isTrue)
        } else if let number = try? value.decode(Double.self) {
            self = .number(number)
        } else {
            self = .null
        }
    }

    subscript(name: String) -> JSON? {
        guard case .object(let fields) = self else { return nil }
        return fields[name]
    }

    /// A string that is not empty.
    var string: String? {
        guard case .string(let text) = self, !text.isEmpty else { return nil }
        return text
    }
    /// A string or a number. Exports disagree about which of them an id is.
    var word: String? {
        switch self {
        case .integer(let number): "\(number)"
        case .number(let number): "\(number)"
        default: string
        }
    }
    var integer: Int64? { word.flatMap { Int64($0) } }
    var items: [JSON] { if case .array(let items) = self { items } else { [] } }
}

/// Reads a JSON document of any length. It makes values only of the parts that are wanted, each of bounded size.
final class JSONDocument {
    enum Action {
        /// Make a value, and hand it over.
        case take
        /// Look at each value inside.
        case enter
        case skip
    }

    /// The most bytes of a value that is made.
    private static let valueLimit = 16 << 20

    private let bytes: ByteStream
    private let name: String
    private var budget = 0

    /// - Parameter name: of the file, for errors.
    init(_ bytes: ByteStream, name: String) { (self.bytes, self.name) = (bytes, name) }

    /// Visits the values of the document in order.
    ///
    /// - Parameters:
    ///   - plan: decides about a value from its path: the names of the fields around it, `*` for an item of an array.
    ///   - take: receives each value that the plan wants; nil if it is malformed.
    func visit(_ plan: ([String]) throws -> Action, _ take: ([String], JSON?) throws -> Void) throws {
        try visit([], plan, take)
        guard try skipSpace() == nil else { throw malformed }
    }

    private func visit(
        _ path: [String], _ plan: ([String]) throws -> Action, _ take: ([String], JSON?) throws -> Void
    ) throws {
        let first = try skipSpace()
        switch try plan(path) {
        case .take:
            budget = JSONDocument.valueLimit
            try take(path, try value())
        case .skip:
            budget = .max
            try skip()
        case .enter where first == UInt8(ascii: "{"):
            try eachField { try visit(path + [$0], plan, take) }
        case .enter where first == UInt8(ascii: "["):
            try eachItem { try visit(path + ["*"], plan, take) }
        case .enter:
            budget = .max
            try skip()
        }
    }

    // MARK: Values

    /// The next value; nil if it is not JSON.
    private func value() throws -> JSON? {
        var kept: [UInt8] = []
        try skip { kept.append($0) }
        if let value = try? WireJSON.decode(JSON.self, from: kept) { return value }
        return try? WireJSON.decode(JSON.self, from: JSONDocument.repaired(kept))
    }

    /// Some programs write half of a surrogate pair, which stands for no character: U+FFFD stands for it. Telegram Desktop
    /// writes control characters as in C, `\x07`.
    private static func repaired(_ bytes: [UInt8]) -> [UInt8] {
        func unit(at index: Int) -> UInt16? {
            guard index + 6 <= bytes.count, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u")
            else { return nil }
            return UInt16(String(decoding: bytes[index + 2..<index + 6], as: UTF8.self), radix: 16)
        }
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index...].starts(with: #"\x"#.utf8) {
                result += #"\u00"#.utf8
                index += 2
                continue
            }
            var count = bytes[index] == UInt8(ascii: "\\") ? 2 : 1
            if let first = unit(at: index) {
                let second = unit(at: index + 6)
                let isPair = UTF16.isLeadSurrogate(first) && second.map(UTF16.isTrailSurrogate) == true
                count = isPair ? 12 : 6
                if !isPair, UTF16.isLeadSurrogate(first) || UTF16.isTrailSurrogate(first) {
                    result += "\\ufffd".utf8
                    index += count
                    continue
                }
            }
            result += bytes[index..<min(index + count, bytes.count)]
            index += count
        }
        return result
    }

    /// Passes over a value. Its depth has no limit, because only its bytes are kept.
    ///
    /// - Parameter keep: gets each byte of it.
    private func skip(_ keep: (UInt8) -> Void = { _ in }) throws {
        var depth = 0
        repeat {
            guard let byte = try skipSpace() else { throw malformed }
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                keep(try next())
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                guard depth >= 0 else { throw malformed }
                keep(try next())
            case UInt8(ascii: ","), UInt8(ascii: ":"):
                guard depth > 0 else { throw malformed }
                keep(try next())
            case UInt8(ascii: "\""): try string(keep)
            default: try word(keep)
            }
        } while depth > 0
    }

    private func string(_ keep: (UInt8) -> Void) throws {
        keep(try next())
        while true {
            let byte = try next()
            keep(byte)
            if byte == UInt8(ascii: "\"") { return }
            if byte == UInt8(ascii: "\\") { keep(try next()) }
        }
    }

    /// A number, or a name such as `true`.
    private func word(_ keep: (UInt8) -> Void) throws {
        var count = 0
        while let byte = try bytes.peek(), byte.isASCIILetter || byte.isASCIIDigit || "+-.".utf8.contains(byte) {
            keep(try next())
            count += 1
        }
        guard (1...64).contains(count) else { throw malformed }
        // White space is not kept, and two words must not become one.
        keep(UInt8(ascii: " "))
    }

    /// A name with escapes is as it is written. None that we look for has any.
    private func eachField(_ body: (String) throws -> Void) throws {
        try expect("{")
        if try skipSpace() == UInt8(ascii: "}") { return try expect("}") }
        while true {
            guard try skipSpace() == UInt8(ascii: "\"") else { throw malformed }
            budget = JSONDocument.valueLimit
            var name: [UInt8] = []
            try string { name.append($0) }
            _ = try skipSpace()
            try expect(":")
            try body(CombiningRun.split(String(decoding: name.dropFirst().dropLast(), as: UTF8.self)))
            if try skipSpace() == UInt8(ascii: ",") {
                _ = try next()
            } else {
                return try expect("}")
            }
        }
    }

    private func eachItem(_ body: () throws -> Void) throws {
        try expect("[")
        if try skipSpace() == UInt8(ascii: "]") { return try expect("]") }
        while true {
            try body()
            if try skipSpace() == UInt8(ascii: ",") {
                _ = try next()
            } else {
                return try expect("]")
            }
        }
    }

    // MARK: Bytes

    private func skipSpace() throws -> UInt8? {
        while let byte = try bytes.peek(), byte == 0x20 || (0x09...0x0D).contains(byte) { _ = try bytes.next() }
        return try bytes.peek()
    }

    private func next() throws -> UInt8 {
        guard budget > 0, let byte = try bytes.next() else { throw malformed }
        if budget != .max { budget -= 1 }
        return byte
    }

    private func expect(_ character: Unicode.Scalar) throws {
        guard try bytes.next() == UInt8(ascii: character) else { throw malformed }
    }

    private var malformed: ForeignError { .malformed(file: name, reason: "not the JSON of an export") }
}
