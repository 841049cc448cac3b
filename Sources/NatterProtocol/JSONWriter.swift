internal import NatterModel

/// A type that writes its own JSON, with the same bytes as the encoder.
///
/// The server and the client handle so many messages and conversations that the encoder would take longer than all
/// other work together. All other types use `WireJSON` and the encoder. WireTests compares both writers.
public protocol JSONWritable: Encodable, Sendable {
    /// Appends the object without a line break, with its keys in alphabetical order.
    func write(to bytes: inout [UInt8])
}

extension MessageObject: JSONWritable {
    public func write(to bytes: inout [UInt8]) {
        bytes.beginObject()
        if let about { bytes.appendField("about", about) }
        bytes.appendField("conversation", conversation)
        bytes.appendField("conversation_id", conversationID)
        bytes.appendField("cursor", cursor)
        if let deleted { bytes.appendField("deleted", deleted) }
        if let edited { bytes.appendField("edited", edited) }
        if let edits { bytes.appendField("edits", edits) }
        if let erased { bytes.appendField("erased", erased) }
        if let file { bytes.appendField("file", file) }
        if let files { bytes.appendField("files", files) }
        if let hash { bytes.appendField("hash", hash) }
        if let imported { bytes.appendField("imported", imported) }
        if let kind { bytes.appendField("kind", kind) }
        if let replies { bytes.appendField("replies", replies) }
        bytes.appendField("sender", sender)
        bytes.appendField("seq", seq)
        bytes.appendField("text", text)
        bytes.appendField("time", time)
        bytes.appendField("ts", ts)
        if let type { bytes.appendField("type", type) }
        if let via { bytes.appendField("via", via) }
        if let written { bytes.appendField("written", written) }
        bytes.endObject()
    }
}

extension FileObject: JSONWritable {
    public func write(to bytes: inout [UInt8]) {
        bytes.beginObject()
        bytes.appendField("id", id)
        if let key { bytes.appendField("key", key) }
        bytes.appendField("name", name)
        bytes.appendField("size", size)
        bytes.appendField("type", type)
        bytes.endObject()
    }
}

extension ConversationObject: JSONWritable {
    public func write(to bytes: inout [UInt8]) {
        bytes.beginObject()
        bytes.appendField("first", first)
        bytes.appendField("hash", hash)
        bytes.appendField("head", head)
        bytes.appendField("id", id)
        bytes.appendField("kind", kind)
        bytes.appendField("last", last)
        bytes.appendField("name", name)
        bytes.appendField("read", read)
        if let topic {
            bytes.appendFieldName("topic")
            if let topic { bytes.appendJSON(topic) } else { bytes.append(contentsOf: "null".utf8) }
        }
        if let type { bytes.appendField("type", type) }
        bytes.appendField("unread", unread)
        bytes.endObject()
    }
}

extension MessageList: JSONWritable {
    public func write(to bytes: inout [UInt8]) {
        bytes.beginObject()
        bytes.appendField("head", head)
        bytes.appendField("messages", messages)
        bytes.appendField("more", more)
        bytes.appendField("next", next)
        bytes.endObject()
    }
}

/// For fields whose names come before `more` in the alphabet.
extension ListAnswer: JSONWritable where Item: JSONWritable {
    public func write(to bytes: inout [UInt8]) {
        bytes.beginObject()
        bytes.appendField(Field.name, items)
        bytes.appendField("more", more)
        bytes.appendFieldName("next")
        if let next { bytes.appendJSON(next) } else { bytes.append(contentsOf: "null".utf8) }
        bytes.endObject()
    }
}

extension SyncEnd: JSONWritable {
    public func write(to bytes: inout [UInt8]) {
        bytes.beginObject()
        bytes.appendField("cursor", cursor)
        bytes.appendField("more", more)
        bytes.appendField("type", type)
        bytes.endObject()
    }
}

extension SendRequest: JSONWritable {
    public func write(to bytes: inout [UInt8]) {
        bytes.beginObject()
        if let about { bytes.appendField("about", about) }
        bytes.appendField("conversation", conversation)
        if let conversationID { bytes.appendField("conversation_id", conversationID) }
        if let files { bytes.appendField("files", files) }
        if let id { bytes.appendField("id", id) }
        if let kind { bytes.appendField("kind", kind) }
        if !isDeletion { bytes.appendField("text", text) }
        if let written { bytes.appendField("written", written) }
        bytes.endObject()
    }
}

extension ExportLine: JSONWritable {
    public func write(to bytes: inout [UInt8]) {
        bytes.beginObject()
        if let about { bytes.appendField("about", about) }
        if let conversation { bytes.appendField("conversation", conversation) }
        if let deleted { bytes.appendField("deleted", deleted) }
        if let erased { bytes.appendField("erased", erased) }
        if let file { bytes.appendField("file", file) }
        if let files { bytes.appendField("files", files) }
        if let kind { bytes.appendField("kind", kind) }
        bytes.appendField("sender", sender)
        if let seq { bytes.appendField("seq", seq) }
        bytes.appendField("text", text)
        bytes.appendField("ts", ts)
        if let via { bytes.appendField("via", via) }
        if let written { bytes.appendField("written", written) }
        bytes.endObject()
    }

    /// Writes a line directly from the bytes of a stored message, which are known to be UTF-8, without making strings.
    ///
    /// - Parameter kind: nil for plain text.
    public static func write(
        seq: UInt64, ts: Int64, sender: UnsafeRawBufferPointer, text: UnsafeRawBufferPointer, kind: String?,
        to bytes: inout [UInt8]
    ) {
        bytes.beginObject()
        if let kind { bytes.appendField("kind", kind) }
        bytes.appendFieldName("sender")
        bytes.appendJSON(utf8: sender)
        bytes.appendField("seq", seq)
        bytes.appendFieldName("text")
        bytes.appendJSON(utf8: text)
        bytes.appendField("ts", ts)
        bytes.endObject()
    }
}

// MARK: - Objects and their fields

extension [UInt8] {
    fileprivate mutating func beginObject() { append(UInt8(ascii: "{")) }
    fileprivate mutating func endObject() { append(UInt8(ascii: "}")) }

    fileprivate mutating func appendFieldName(_ name: StaticString) {
        if last != UInt8(ascii: "{") { append(UInt8(ascii: ",")) }
        append(UInt8(ascii: "\""))
        name.withUTF8Buffer { append(contentsOf: $0) }
        append(UInt8(ascii: "\""))
        append(UInt8(ascii: ":"))
    }

    fileprivate mutating func appendField(_ name: StaticString, _ value: String) {
        appendFieldName(name)
        appendJSON(value)
    }

    fileprivate mutating func appendField<Value: WireText>(_ name: StaticString, _ value: Value) {
        appendFieldName(name)
        append(UInt8(ascii: "\""))
        // Without a string on the way, because each message of an answer has three of them.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Value.longestText) { text in
            append(contentsOf: UnsafeBufferPointer(rebasing: text[..<value.write(to: text)]))
        }
        append(UInt8(ascii: "\""))
    }

    fileprivate mutating func appendField(_ name: StaticString, _ value: some FixedWidthInteger) {
        appendFieldName(name)
        appendDecimal(value)
    }

    fileprivate mutating func appendField(_ name: StaticString, _ value: Bool) {
        appendFieldName(name)
        append(contentsOf: (value ? "true" : "false").utf8)
    }

    fileprivate mutating func appendField(_ name: StaticString, _ values: [String]) {
        appendArray(name, values) { $0.appendJSON($1) }
    }

    fileprivate mutating func appendField(_ name: StaticString, _ values: [UInt64]) {
        appendArray(name, values) { $0.appendDecimal($1) }
    }

    /// Appends a number as `String(value)` has it, which takes three times as long.
    private mutating func appendDecimal(_ value: some FixedWidthInteger) {
        if value < 0 { append(UInt8(ascii: "-")) }
        // Twenty digits are enough for 64 bits.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var (first, rest) = (digits.count, UInt64(truncatingIfNeeded: value.magnitude))
            repeat {
                first -= 1
                digits[first] = UInt8(ascii: "0") + UInt8(rest % 10)
                rest /= 10
            } while rest > 0
            append(contentsOf: digits[first...])
        }
    }

    fileprivate mutating func appendField(_ name: StaticString, _ value: (some JSONWritable)?) {
        appendFieldName(name)
        if let value { value.write(to: &self) } else { append(contentsOf: "null".utf8) }
    }

    fileprivate mutating func appendField(_ name: StaticString, _ values: [some JSONWritable]) {
        appendArray(name, values) { $1.write(to: &$0) }
    }

    private mutating func appendArray<Value>(
        _ name: StaticString, _ values: [Value], _ write: (inout [UInt8], Value) -> Void
    ) {
        appendFieldName(name)
        append(UInt8(ascii: "["))
        for (index, value) in values.enumerated() {
            if index > 0 { append(UInt8(ascii: ",")) }
            write(&self, value)
        }
        append(UInt8(ascii: "]"))
    }

    // MARK: Strings

    /// Appends a JSON string with its quotes. Only characters that RFC 8259 requires are escaped.
    mutating func appendJSON(_ text: String) {
        var text = text
        text.withUTF8 { appendJSON(utf8: UnsafeRawBufferPointer($0)) }
    }

    fileprivate mutating func appendJSON(utf8 text: UnsafeRawBufferPointer) {
        append(UInt8(ascii: "\""))
        // Runs without escapes are copied whole, because most texts are one run.
        var run = 0
        while true {
            let end = text.endOfJSONRun(from: run)
            if run < end { append(contentsOf: UnsafeRawBufferPointer(rebasing: text[run..<end])) }
            guard end < text.count else { break }
            appendEscape(text[end])
            run = end + 1
        }
        append(UInt8(ascii: "\""))
    }

    private mutating func appendEscape(_ byte: UInt8) {
        append(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): append(byte)
        case 0x08: append(UInt8(ascii: "b"))
        case 0x09: append(UInt8(ascii: "t"))
        case 0x0A: append(UInt8(ascii: "n"))
        case 0x0C: append(UInt8(ascii: "f"))
        case 0x0D: append(UInt8(ascii: "r"))
        default:
            // Byte by byte, because an array for each of 60,000 control characters takes longer than all the rest.
            append(UInt8(ascii: "u"))
            append(UInt8(ascii: "0"))
            append(UInt8(ascii: "0"))
            let digits: StaticString = "0123456789abcdef"
            append(digits.utf8Start[Int(byte >> 4)])
            append(digits.utf8Start[Int(byte & 15)])
        }
    }
}
