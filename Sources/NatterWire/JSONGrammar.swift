/// Whether bytes are one JSON value as RFC 8259 has it, in which each string is one of Unicode (half a surrogate pair is not).
///
/// Foundation's decoder takes more than that (a comma before a closing bracket, `01`), and does not look closely at fields
/// that nobody asks for; so whether a body is JSON would depend on what else is in it. This looks at all of it, and once.
struct JSONGrammar {
    /// Foundation's own limit; what lies deeper is refused.
    static let maximumDepth = 512

    /// A field of the outermost object whose name and value are strings that stand for themselves, without an escape: where
    /// they are, without the quotes.
    struct PlainField {
        let name: Range<Int>
        let value: Range<Int>
    }

    private let bytes: UnsafeRawBufferPointer
    private var index = 0

    private init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// - Parameter bytes: valid UTF-8.
    static func accepts(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var grammar = JSONGrammar(bytes)
        return grammar.takeDocument()
    }

    /// The fields of an object that has none but plain ones. Whether they are UTF-8 is for the caller to see.
    ///
    /// - Returns: nil for what is not JSON, and for all other JSON.
    static func plainFields(_ bytes: UnsafeRawBufferPointer) -> [PlainField]? {
        var grammar = JSONGrammar(bytes)
        return grammar.takePlainObject()
    }

    private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { index += 1 }
    }

    /// A loop with a stack of its own, so that no input can exhaust the thread's.
    private mutating func takeDocument() -> Bool {
        /// For each open bracket whether it is an object's.
        var open: [Bool] = []
        while true {
            skipSpace()
            // A value begins here.
            if take("{") {
                skipSpace()
                if !take("}") {
                    guard open.count < JSONGrammar.maximumDepth, takeName() else { return false }
                    open.append(true)
                    continue
                }
            } else if take("[") {
                skipSpace()
                if !take("]") {
                    guard open.count < JSONGrammar.maximumDepth else { return false }
                    open.append(false)
                    continue
                }
            } else if !takeScalar() {
                return false
            }
            // A value has ended here, and with it perhaps what it stands in.
            while true {
                skipSpace()
                guard let isObject = open.last else { return index == bytes.count }
                if take(",") {
                    skipSpace()
                    if isObject, !takeName() { return false }
                    break
                }
                guard take(isObject ? "}" : "]") else { return false }
                open.removeLast()
            }
        }
    }

    private mutating func takePlainObject() -> [PlainField]? {
        skipSpace()
        guard take("{") else { return nil }
        var fields: [PlainField] = []
        while true {
            skipSpace()
            guard let name = takePlainString() else { return nil }
            skipSpace()
            guard take(":") else { return nil }
            skipSpace()
            guard let value = takePlainString() else { return nil }
            fields.append(PlainField(name: name, value: value))
            skipSpace()
            if take(",") { continue }
            guard take("}") else { return nil }
            skipSpace()
            return index == bytes.count ? fields : nil
        }
    }

    private mutating func takePlainString() -> Range<Int>? {
        guard take("\"") else { return nil }
        let start = index
        while let byte = next {
            if byte == UInt8(ascii: "\"") {
                index += 1
                return start..<index - 1
            }
            guard byte >= 0x20, byte != UInt8(ascii: "\\") else { return nil }
            index += 1
        }
        return nil
    }

    /// A field's name and its colon.
    private mutating func takeName() -> Bool {
        guard takeString() else { return false }
        skipSpace()
        return take(":")
    }

    private mutating func takeScalar() -> Bool {
        switch next {
        case UInt8(ascii: "\""): takeString()
        case UInt8(ascii: "t"): takeWord("true")
        case UInt8(ascii: "f"): takeWord("false")
        case UInt8(ascii: "n"): takeWord("null")
        default: takeNumber()
        }
    }

    private mutating func takeWord(_ word: StaticString) -> Bool {
        word.withUTF8Buffer { word in
            guard bytes.count - index >= word.count, bytes[index..<index + word.count].elementsEqual(word) else {
                return false
            }
            index += word.count
            return true
        }
    }

    private mutating func takeString() -> Bool {
        guard take("\"") else { return false }
        while let byte = next {
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return true
            case UInt8(ascii: "\\"): if !takeEscape() { return false }
            case 0..<0x20: return false
            default: break
            }
        }
        return false
    }

    /// What follows a backslash.
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
                guard take("\\"), take("u"), let second = takeHexDigits() else { return false }
                return (0xDC00...0xDFFF).contains(second)
            case .some(let value): return !(0xDC00...0xDFFF).contains(value)
            }
        default: return false
        }
    }

    private mutating func takeHexDigits() -> UInt16? {
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = next.flatMap(JSONGrammar.hexDigit) else { return nil }
            value = value << 4 | digit
            index += 1
        }
        return value
    }

    private mutating func takeNumber() -> Bool {
        _ = take("-")
        // Only zero itself begins with a zero.
        if !take("0"), takeDigits() == 0 { return false }
        if take("."), takeDigits() == 0 { return false }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            return takeDigits() > 0
        }
        return true
    }

    private mutating func takeDigits() -> Int {
        let start = index
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { index += 1 }
        return index - start
    }

    private static func hexDigit(_ byte: UInt8) -> UInt16? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt16(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt16(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt16(byte - UInt8(ascii: "A") + 10)
        default: nil
        }
    }
}
