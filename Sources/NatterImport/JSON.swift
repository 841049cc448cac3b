internal import NatterLanguage
internal import NatterModel

/// A JSON value of another program.
enum JSON {
    case null
    case bool(Bool)
    /// As it is written.
    case number(String)
    case string(String)
    case array([JSON])
    /// Names are compared as bytes: hashing a `String` costs the square of a run of combining marks.
    case object([(name: String, value: JSON)])

    subscript(name: StaticString) -> JSON? {
        guard case .object(let fields) = self else { return nil }
        let wanted = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        return fields.first { $0.name.utf8.elementsEqual(wanted) }?.value
    }

    /// A string that is not empty.
    var string: String? {
        guard case .string(let text) = self, !text.isEmpty else { return nil }
        return text
    }
    /// A string or a number, as it is written. Exports disagree about which of them an id is.
    var word: String? {
        if case .number(let text) = self { return text }
        return string
    }
    var integer: Int64? { word.flatMap { Int64($0) } }
    var items: [JSON] { if case .array(let items) = self { items } else { [] } }
    var isTrue: Bool { if case .bool(true) = self { true } else { false } }
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

    private static let depthLimit = 64
    /// The most bytes of a value that is made.
    private static let valueLimit = 16 << 20

    private let bytes: ByteReader
    private let name: String
    private var budget = 0

    /// - Parameter name: of the file, for errors.
    init(_ bytes: ByteReader, name: String) { (self.bytes, self.name) = (bytes, name) }

    /// Visits the values of the document in order.
    ///
    /// - Parameters:
    ///   - plan: decides about a value from its path: the names of the fields around it, `*` for an item of an array.
    ///   - take: receives each value that the plan wants.
    func visit(_ plan: ([String]) throws -> Action, _ take: ([String], JSON) throws -> Void) throws {
        // A byte order mark, which some programs write.
        if try bytes.peek() == 0xEF { for _ in 0..<3 { _ = try bytes.next() } }
        try visit([], plan, take)
        guard try skipSpace() == nil else { throw malformed }
    }

    private func visit(
        _ path: [String], _ plan: ([String]) throws -> Action, _ take: ([String], JSON) throws -> Void
    ) throws {
        let first = try skipSpace()
        switch try plan(path) {
        case .take:
            budget = JSONDocument.valueLimit
            try take(path, try value(depth: path.count))
        case .skip:
            budget = .max
            try skip()
        case .enter where first == UInt8(ascii: "{"):
            try eachField(isValue: false) { try visit(path + [$0], plan, take) }
        case .enter where first == UInt8(ascii: "["):
            try eachItem { try visit(path + ["*"], plan, take) }
        case .enter:
            budget = .max
            try skip()
        }
    }

    // MARK: Values

    private func value(depth: Int) throws -> JSON {
        guard depth < JSONDocument.depthLimit else { throw malformed }
        switch try skipSpace() {
        case UInt8(ascii: "{"):
            var fields: [(name: String, value: JSON)] = []
            try eachField(isValue: true) { fields.append(($0, try value(depth: depth + 1))) }
            return .object(fields)
        case UInt8(ascii: "["):
            var items: [JSON] = []
            try eachItem { items.append(try value(depth: depth + 1)) }
            return .array(items)
        case UInt8(ascii: "\""): return .string(try string())
        default:
            let word = try self.word()
            switch word {
            case "null": return .null
            case "true": return .bool(true)
            case "false": return .bool(false)
            default:
                guard let first = word.utf8.first, first == UInt8(ascii: "-") || first.isASCIIDigit else {
                    throw malformed
                }
                return .number(word)
            }
        }
    }

    /// Passes over a value without making one. Its depth has no limit, because nothing is kept of it.
    private func skip() throws {
        var depth = 0
        repeat {
            switch try skipSpace() {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                _ = try next()
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                guard depth >= 0 else { throw malformed }
                _ = try next()
            case UInt8(ascii: ","), UInt8(ascii: ":"):
                guard depth > 0 else { throw malformed }
                _ = try next()
            case UInt8(ascii: "\""): try skipString()
            default: _ = try word()
            }
        } while depth > 0
    }

    private func skipString() throws {
        try expect("\"")
        while true {
            switch try next() {
            case UInt8(ascii: "\""): return
            case UInt8(ascii: "\\"): _ = try next()
            default: break
            }
        }
    }

    /// - Parameter isValue: whether the names count for the size of a value.
    private func eachField(isValue: Bool, _ body: (String) throws -> Void) throws {
        try expect("{")
        if try skipSpace() == UInt8(ascii: "}") { return try expect("}") }
        while true {
            guard try skipSpace() == UInt8(ascii: "\"") else { throw malformed }
            if !isValue { budget = JSONDocument.valueLimit }
            let name = try string()
            _ = try skipSpace()
            try expect(":")
            try body(name)
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

    private func word() throws -> String {
        var word: [UInt8] = []
        while let byte = try bytes.peek(),
            byte.isASCIILetter || byte.isASCIIDigit || "+-.".utf8.contains(byte)
        {
            guard word.count < 64 else { throw malformed }
            word.append(byte)
            _ = try next()
        }
        guard !word.isEmpty else { throw malformed }
        return String(decoding: word, as: UTF8.self)
    }

    private func string() throws -> String {
        try expect("\"")
        var text: [UInt8] = []
        while true {
            let byte = try next()
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try appendEscape(to: &text)
            case 0..<0x20: throw malformed
            default: text.append(byte)
            }
        }
    }

    private func appendEscape(to text: inout [UInt8]) throws {
        switch try next() {
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "u"):
            var unit = try hexUnit()
            if (0xD800..<0xDC00).contains(unit), try bytes.peek() == UInt8(ascii: "\\") {
                _ = try next()
                try expect("u")
                let low = try hexUnit()
                unit = (0xDC00..<0xE000).contains(low) ? 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00) : 0xFFFD
            }
            // Half a pair is no character.
            text += String(Unicode.Scalar(unit) ?? "\u{FFFD}").utf8
        case let byte where "\"\\/".utf8.contains(byte): text.append(byte)
        default: throw malformed
        }
    }

    private func hexUnit() throws -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = try next().hexDigitValue else { throw malformed }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
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
