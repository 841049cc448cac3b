internal import NatterModel

/// Parses JSON strictly by RFC 8259. Every string must be valid Unicode, so half a surrogate pair is an error.
///
/// Foundation's decoder accepts more (a comma before a closing bracket, `01`), and checks only the fields that the type
/// has. So whether a body is accepted as JSON would depend on its other fields. This parser checks the whole body once.
struct JSONReader {
    /// The maximum depth of nesting, the same as Foundation's.
    private static let maximumDepth = 512

    /// More bytes than any field's name has.
    private static let maximumNameBytes = 256

    /// Strings that need more care than short ones.
    struct LongStrings {
        /// Names of fields that are longer than any that is known.
        var names: [Range<Int>] = []
        /// Values that are as long, with their quotes. The texts of messages are not among them.
        var values: [Range<Int>] = []
    }

    /// A string without its quotes.
    private struct Text {
        let range: Range<Int>
        /// True if the string contains no escapes.
        let isPlain: Bool
    }

    /// A field of an object without escapes.
    struct PlainField {
        let name: Range<Int>
        /// A string without its quotes, or the word `true` or `false`.
        let value: Range<Int>
        let isString: Bool
    }

    private let bytes: UnsafeRawBufferPointer
    private var index = 0
    private var longStrings = LongStrings()
    /// Whether the last name was that of a message's text.
    private var isText = false

    private init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Where the long strings are; nil if the bytes are not one JSON value.
    ///
    /// - Parameter bytes: valid UTF-8.
    static func longStrings(_ bytes: UnsafeRawBufferPointer) -> LongStrings? {
        var reader = JSONReader(bytes)
        return reader.takeDocument() ? reader.longStrings : nil
    }

    /// The fields of an object whose values are all `true`, `false` or strings without escapes. The caller checks that they
    /// are UTF-8.
    ///
    /// - Returns: nil for anything else, JSON or not.
    static func plainFields(_ bytes: UnsafeRawBufferPointer) -> [PlainField]? {
        var reader = JSONReader(bytes)
        return reader.takePlainObject()
    }

    /// Whether the bytes are one object of scalars, with a positive number in this field.
    ///
    /// - Parameter bytes: valid UTF-8.
    static func isFlatObject(_ bytes: UnsafeRawBufferPointer, withNumber field: StaticString) -> Bool {
        var reader = JSONReader(bytes)
        return reader.takeFlatObject(withNumber: field)
    }

    private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { index += 1 }
    }

    /// Parses the document in a loop with an explicit stack, so that no input can exhaust the thread's stack.
    private mutating func takeDocument() -> Bool {
        /// One entry for each open bracket: true for an object, false for an array.
        var open: [Bool] = []
        while true {
            skipSpace()
            // A value begins here.
            if skip("{") {
                skipSpace()
                if !skip("}") {
                    guard open.count < JSONReader.maximumDepth, takeName() else { return false }
                    open.append(true)
                    continue
                }
            } else if skip("[") {
                isText = false
                skipSpace()
                if !skip("]") {
                    guard open.count < JSONReader.maximumDepth else { return false }
                    open.append(false)
                    continue
                }
            } else if !takeScalar() {
                return false
            }
            // A value ends here. The values around it may end here, too.
            while true {
                skipSpace()
                guard let isObject = open.last else { return index == bytes.count }
                if skip(",") {
                    skipSpace()
                    if isObject, !takeName() { return false }
                    break
                }
                guard skip(isObject ? "}" : "]") else { return false }
                open.removeLast()
                isText = false
            }
        }
    }

    private mutating func takePlainObject() -> [PlainField]? {
        var fields: [PlainField] = []
        let isPlain = takeObject { reader, name in
            guard name.isPlain else { return false }
            let start = reader.index
            if reader.next == UInt8(ascii: "\"") {
                guard let value = reader.takeString(), value.isPlain else { return false }
                fields.append(PlainField(name: name.range, value: value.range, isString: true))
            } else {
                guard reader.takeWord("true") || reader.takeWord("false") else { return false }
                fields.append(PlainField(name: name.range, value: start..<reader.index, isString: false))
            }
            return true
        }
        return isPlain ? fields : nil
    }

    private mutating func takeFlatObject(withNumber field: StaticString) -> Bool {
        var isFound = false
        let isFlat = takeObject { reader, name in
            guard reader.bytes.hasWord(field, at: name.range) else { return reader.takeScalar() }
            isFound = true
            // No more digits than any UInt64 can have.
            return reader.next != UInt8(ascii: "0") && (1...19).contains(reader.takeDigits())
        }
        return isFlat && isFound
    }

    /// Parses an object that is the whole document and has at least one field.
    ///
    /// - Parameter takeValue: called with each name, at its value.
    @inline(__always)
    private mutating func takeObject(_ takeValue: (inout JSONReader, Text) -> Bool) -> Bool {
        skipSpace()
        guard skip("{") else { return false }
        repeat {
            skipSpace()
            guard let name = takeString() else { return false }
            skipSpace()
            guard skip(":") else { return false }
            skipSpace()
            guard takeValue(&self, name) else { return false }
            skipSpace()
        } while skip(",")
        guard skip("}") else { return false }
        skipSpace()
        return index == bytes.count
    }

    /// Reads a field's name and its colon.
    private mutating func takeName() -> Bool {
        guard let name = takeString() else { return false }
        if name.range.count > JSONReader.maximumNameBytes { longStrings.names.append(name.range) }
        isText = bytes.hasWord("text", at: name.range)
        skipSpace()
        return skip(":")
    }

    private mutating func takeScalar() -> Bool {
        switch next {
        case UInt8(ascii: "\""): takeValue()
        case UInt8(ascii: "t"): takeWord("true")
        case UInt8(ascii: "f"): takeWord("false")
        case UInt8(ascii: "n"): takeWord("null")
        default: takeNumber()
        }
    }

    private mutating func takeValue() -> Bool {
        guard let value = takeString() else { return false }
        if !isText, value.range.count > JSONReader.maximumNameBytes {
            longStrings.values.append(value.range.lowerBound - 1..<value.range.upperBound + 1)
        }
        return true
    }

    private mutating func takeWord(_ word: StaticString) -> Bool {
        let end = index + word.utf8CodeUnitCount
        guard end <= bytes.count, bytes.hasWord(word, at: index..<end) else { return false }
        index = end
        return true
    }

    /// - Returns: nil if there is no string here or it is malformed.
    private mutating func takeString() -> Text? {
        guard skip("\"") else { return nil }
        let start = index
        var isPlain = true
        while true {
            index = bytes.endOfJSONRun(from: index)
            if skip("\"") { return Text(range: start..<index - 1, isPlain: isPlain) }
            guard skip("\\"), takeEscape() else { return nil }
            isPlain = false
        }
    }

    /// Reads an escape after its backslash.
    private mutating func takeEscape() -> Bool {
        guard let byte = next else { return false }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return true
        case UInt8(ascii: "u"):
            switch takeHexDigits() {
            case nil: return false
            case .some(0xD800...0xDBFF):
                guard skip("\\"), skip("u"), let second = takeHexDigits() else { return false }
                return (0xDC00...0xDFFF).contains(second)
            case .some(let value): return !(0xDC00...0xDFFF).contains(value)
            }
        default: return false
        }
    }

    private mutating func takeHexDigits() -> UInt16? {
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = next?.hexDigitValue else { return nil }
            value = value << 4 | UInt16(digit)
            index += 1
        }
        return value
    }

    private mutating func takeNumber() -> Bool {
        _ = skip("-")
        // Only the number zero may begin with a zero.
        if !skip("0"), takeDigits() == 0 { return false }
        if skip("."), takeDigits() == 0 { return false }
        if skip("e") || skip("E") {
            if !skip("+") { _ = skip("-") }
            return takeDigits() > 0
        }
        return true
    }

    private mutating func takeDigits() -> Int {
        let start = index
        while let byte = next, byte.isASCIIDigit { index += 1 }
        return index - start
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func hasWord(_ word: StaticString, at range: Range<Int>) -> Bool {
        range.count == word.utf8CodeUnitCount
            && range.allSatisfy { self[$0] == word.utf8Start[$0 - range.lowerBound] }
    }
}

extension SendRequest {
    /// Reads one object of plain strings, with each field once.
    ///
    /// - Returns: nil for anything else. Then the decoder reads it or reports the error.
    init?(plain bytes: UnsafeRawBufferPointer, conversation usual: String?) {
        guard let fields = JSONReader.plainFields(bytes) else { return nil }
        var (conversation, text, id): (String?, String?, String?)
        var conversationID: ConversationID?
        func assign(_ value: Range<Int>, _ target: inout String?) -> Bool {
            guard target == nil else { return false }
            // A JSON string has no zero byte, so this accepts nothing that `WireJSON.decode` would refuse.
            target = String(utf8: UnsafeRawBufferPointer(rebasing: bytes[value]))
            return target != nil
        }
        func takeID(_ value: Range<Int>) -> Bool {
            var digits: String?
            guard assign(value, &digits) else { return false }
            conversationID = digits.flatMap { ConversationID(hex: $0) }
            return conversationID != nil
        }
        for field in fields {
            guard field.isString else { return nil }
            let isTaken =
                if bytes.hasWord("text", at: field.name) {
                    assign(field.value, &text)
                } else if bytes.hasWord("conversation", at: field.name) {
                    assign(field.value, &conversation)
                } else if bytes.hasWord("id", at: field.name) {
                    assign(field.value, &id)
                } else if bytes.hasWord("conversation_id", at: field.name), conversationID == nil {
                    takeID(field.value)
                } else {
                    // An unknown field must be UTF-8, too. The decoder's path checks that.
                    false
                }
            guard isTaken else { return nil }
        }
        guard let conversation = conversation ?? usual ?? conversationID?.description, let text else { return nil }
        self.init(conversation: conversation, conversationID: conversationID, text: text, id: id)
    }
}
