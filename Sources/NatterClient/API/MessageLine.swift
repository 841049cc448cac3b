public import NatterModel
public import NatterWire

/// A message as a line of JSON, the same bytes as `WireJSON` gives for a `MessageObject`, without the encoder: a log
/// may have hundreds of thousands of them.
public enum MessageLine {
    public static func append(_ message: Message, to bytes: inout [UInt8]) {
        append(MessageObject(message), to: &bytes)
    }

    /// Appends the object without a line break, keys in alphabetical order.
    public static func append(_ message: MessageObject, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "{"))
        if let about = message.about { number("about", about, to: &bytes) }
        string("conversation", message.conversation, to: &bytes)
        string("conversation_id", message.conversationID, to: &bytes)
        string("cursor", message.cursor, to: &bytes)
        if let imported = message.imported { plain("imported", imported ? "true" : "false", to: &bytes) }
        if let kind = message.kind { string("kind", kind, to: &bytes) }
        string("sender", message.sender, to: &bytes)
        number("seq", message.seq, to: &bytes)
        string("text", message.text, to: &bytes)
        string("time", message.time, to: &bytes)
        number("ts", message.ts, to: &bytes)
        if let type = message.type { string("type", type, to: &bytes) }
        bytes.append(UInt8(ascii: "}"))
    }

    private static func key(_ name: StaticString, to bytes: inout [UInt8]) {
        if bytes.last != UInt8(ascii: "{") { bytes.append(UInt8(ascii: ",")) }
        bytes.append(UInt8(ascii: "\""))
        name.withUTF8Buffer { bytes.append(contentsOf: $0) }
        bytes += [UInt8(ascii: "\""), UInt8(ascii: ":")]
    }

    private static func string(_ name: StaticString, _ value: String, to bytes: inout [UInt8]) {
        key(name, to: &bytes)
        JSONText.append(value, to: &bytes)
    }

    private static func number(_ name: StaticString, _ value: some BinaryInteger, to bytes: inout [UInt8]) {
        key(name, to: &bytes)
        JSONText.append(value, to: &bytes)
    }

    private static func plain(_ name: StaticString, _ value: String, to bytes: inout [UInt8]) {
        key(name, to: &bytes)
        bytes.append(contentsOf: value.utf8)
    }
}
