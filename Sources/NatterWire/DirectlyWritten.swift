/// Objects of which there are so many that the encoder would take longer than all else together: they write themselves, the
/// same bytes as the encoder would.
public protocol DirectlyWritten: Encodable, Sendable {
    /// Appends the object without a line break, keys in alphabetical order.
    func write(to bytes: inout [UInt8])
}

/// One object on its way: its braces, its names, and the commas between.
private enum Field {
    static func begin(_ bytes: inout [UInt8]) { bytes.append(UInt8(ascii: "{")) }
    static func end(_ bytes: inout [UInt8]) { bytes.append(UInt8(ascii: "}")) }

    static func name(_ name: StaticString, to bytes: inout [UInt8]) {
        if bytes.last != UInt8(ascii: "{") { bytes.append(UInt8(ascii: ",")) }
        bytes.append(UInt8(ascii: "\""))
        name.withUTF8Buffer { bytes.append(contentsOf: $0) }
        bytes += [UInt8(ascii: "\""), UInt8(ascii: ":")]
    }

    static func string(_ name: StaticString, _ value: String, to bytes: inout [UInt8]) {
        self.name(name, to: &bytes)
        JSONText.append(value, to: &bytes)
    }

    static func number(_ name: StaticString, _ value: some BinaryInteger, to bytes: inout [UInt8]) {
        self.name(name, to: &bytes)
        JSONText.append(value, to: &bytes)
    }

    static func flag(_ name: StaticString, _ value: Bool, to bytes: inout [UInt8]) {
        self.name(name, to: &bytes)
        bytes.append(contentsOf: (value ? "true" : "false").utf8)
    }

    /// A value that may be `null`.
    static func value(_ name: StaticString, _ value: (some DirectlyWritten)?, to bytes: inout [UInt8]) {
        self.name(name, to: &bytes)
        if let value { value.write(to: &bytes) } else { bytes.append(contentsOf: "null".utf8) }
    }

    static func list(_ name: StaticString, _ values: [some DirectlyWritten], to bytes: inout [UInt8]) {
        self.name(name, to: &bytes)
        bytes.append(UInt8(ascii: "["))
        for (index, value) in values.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            value.write(to: &bytes)
        }
        bytes.append(UInt8(ascii: "]"))
    }
}

extension MessageObject: DirectlyWritten {
    public func write(to bytes: inout [UInt8]) {
        Field.begin(&bytes)
        if let about { Field.number("about", about, to: &bytes) }
        Field.string("conversation", conversation, to: &bytes)
        Field.string("conversation_id", conversationID, to: &bytes)
        Field.string("cursor", cursor, to: &bytes)
        if let imported { Field.flag("imported", imported, to: &bytes) }
        if let kind { Field.string("kind", kind, to: &bytes) }
        Field.string("sender", sender, to: &bytes)
        Field.number("seq", seq, to: &bytes)
        Field.string("text", text, to: &bytes)
        Field.string("time", time, to: &bytes)
        Field.number("ts", ts, to: &bytes)
        if let type { Field.string("type", type, to: &bytes) }
        Field.end(&bytes)
    }
}

extension ConversationObject: DirectlyWritten {
    public func write(to bytes: inout [UInt8]) {
        Field.begin(&bytes)
        Field.number("first", first, to: &bytes)
        Field.string("hash", hash, to: &bytes)
        Field.number("head", head, to: &bytes)
        Field.string("id", id, to: &bytes)
        Field.string("kind", kind, to: &bytes)
        Field.value("last", last, to: &bytes)
        Field.string("name", name, to: &bytes)
        Field.number("read", read, to: &bytes)
        if let type { Field.string("type", type, to: &bytes) }
        Field.number("unread", unread, to: &bytes)
        Field.end(&bytes)
    }
}

extension MessageList: DirectlyWritten {
    public func write(to bytes: inout [UInt8]) {
        Field.begin(&bytes)
        Field.number("head", head, to: &bytes)
        Field.list("messages", messages, to: &bytes)
        Field.flag("more", more, to: &bytes)
        Field.number("next", next, to: &bytes)
        Field.end(&bytes)
    }
}

extension ConversationList: DirectlyWritten {
    public func write(to bytes: inout [UInt8]) {
        Field.begin(&bytes)
        Field.list("conversations", conversations, to: &bytes)
        Field.flag("more", more, to: &bytes)
        Field.name("next", to: &bytes)
        if let next { JSONText.append(next, to: &bytes) } else { bytes.append(contentsOf: "null".utf8) }
        Field.end(&bytes)
    }
}
