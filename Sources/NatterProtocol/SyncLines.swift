/// The last line of a sync.
public struct SyncEnd: Codable, Sendable, Equatable {
    public var type = "end"
    public var cursor: String
    public var more: Bool
    public init(cursor: String, more: Bool) { (self.cursor, self.more) = (cursor, more) }

    /// Reads the line as a server writes it. Most syncs get only this line, and the decoder would be a third of their work.
    ///
    /// - Returns: nil for anything else. Then the decoder reads it or reports the error.
    public init?(plain line: [UInt8]) {
        var (cursor, more, isEnd): (String?, Bool?, Bool) = (nil, nil, false)
        let count = line.withUnsafeBytes { bytes -> Int? in
            let fields = JSONReader.plainFields(bytes)
            for field in fields ?? [] {
                let (name, value) = (bytes[field.name], UnsafeRawBufferPointer(rebasing: bytes[field.value]))
                if name.elementsEqual("type".utf8) {
                    isEnd = field.isString && value.elementsEqual("end".utf8)
                } else if name.elementsEqual("cursor".utf8), field.isString {
                    cursor = String(validating: value, as: UTF8.self)
                } else if name.elementsEqual("more".utf8), !field.isString {
                    more = value.elementsEqual("true".utf8)
                }
            }
            return fields?.count
        }
        // Each field once, and no other.
        guard count == 3, isEnd, let cursor, let more else { return nil }
        self.init(cursor: cursor, more: more)
    }
}

/// A line of sync: a range of messages that the server cannot read.
public struct SyncDamage: Codable, Sendable, Equatable {
    public var type = "damaged"
    public var conversation: String
    public var conversationID: String
    public var from: UInt64
    public var to: UInt64

    enum CodingKeys: String, CodingKey {
        case type, conversation, from, to
        case conversationID = "conversation_id"
    }

    public init(conversation: String, conversationID: String, from: UInt64, to: UInt64) {
        (self.conversation, self.conversationID) = (conversation, conversationID)
        (self.from, self.to) = (from, to)
    }
}

/// A line of sync: the position up to which the user has read.
public struct SyncRead: Codable, Sendable, Equatable {
    public var type = "read"
    public var conversation: String
    public var conversationID: String
    public var read: UInt64
    /// How many messages after `read` are unread; nil from an older server.
    public var unread: UInt64?

    enum CodingKeys: String, CodingKey {
        case type, conversation, read, unread
        case conversationID = "conversation_id"
    }

    public init(conversation: String, conversationID: String, read: UInt64, unread: UInt64?) {
        (self.conversation, self.conversationID) = (conversation, conversationID)
        (self.read, self.unread) = (read, unread)
    }
}

/// A line of sync: a conversation that the user is no longer a member of.
public struct SyncGone: Codable, Sendable, Equatable {
    public var type = "gone"
    public var conversation: String
    public var conversationID: String
    /// `removed`, `left` or `deleted`.
    public var reason: String

    enum CodingKeys: String, CodingKey {
        case type, conversation, reason
        case conversationID = "conversation_id"
    }

    public init(conversation: String, conversationID: String, reason: String) {
        (self.conversation, self.conversationID, self.reason) = (conversation, conversationID, reason)
    }
}

/// A line of sync: the user's contacts, or the users whom they block, changed. Both lists have requests of their own.
public struct SyncContacts: Codable, Sendable, Equatable {
    public var type = "contacts"
    public init() {}
}

/// A line of sync: messages that were erased after the reader got them.
public struct SyncErased: Codable, Sendable, Equatable {
    public var type = "erased"
    public var conversationID: String
    public var seqs: [UInt64]

    enum CodingKeys: String, CodingKey {
        case type, seqs
        case conversationID = "conversation_id"
    }

    public init(conversationID: String, seqs: [UInt64]) { (self.conversationID, self.seqs) = (conversationID, seqs) }
}
