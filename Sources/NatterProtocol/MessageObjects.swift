public import NatterModel

/// A file in the API.
public struct FileObject: Codable, Sendable, Equatable {
    public var id: String
    /// In a record of kind `file` only: with it, the bytes can be verified.
    public var key: String?
    public var name: String
    public var type: String
    public var size: UInt64

    public init(_ file: FileRecord, withKey: Bool) {
        (id, key) = (file.id.description, withKey ? Hex.encode(file.key) : nil)
        (name, type, size) = (file.name, file.type, file.size)
    }

    /// The file of a record of kind `file`, and the files of any other message.
    static func fields(of message: Message) -> (file: FileObject?, files: [FileObject]?) {
        if message.kind == .file { return (message.files.first.map { FileObject($0, withKey: true) }, nil) }
        return (nil, message.files.isEmpty ? nil : message.files.map { FileObject($0, withKey: false) })
    }

    /// Nil if a field has a value that no natter server sends.
    public var record: FileRecord? {
        guard let id = FileID(hex: id), let key = Hex.decode((key ?? "")[...]) else { return nil }
        return FileRecord(id: id, key: key, size: size, type: type, name: name)
    }
}

/// A file that was uploaded.
public struct UploadAnswer: Codable, Sendable {
    /// For the `files` of a message.
    public var upload: String
    public var name: String
    public var type: String
    public var size: UInt64

    public init(upload: String, name: String, type: String, size: UInt64) {
        (self.upload, self.name, self.type, self.size) = (upload, name, type, size)
    }
}

/// A message in the API.
public struct MessageObject: Codable, Sendable, Equatable {
    public var conversation: String
    public var conversationID: ConversationID
    public var seq: UInt64
    public var cursor: MessageCursor
    public var time: Timestamp
    /// Unix milliseconds.
    public var ts: Int64
    public var sender: String
    public var text: String
    /// Absent for plain text.
    public var kind: String?
    /// The seq of the message that a reply, an edit or a deletion refers to.
    public var about: UInt64?
    public var imported: Bool?
    /// The label of the token that sent it.
    public var via: String?
    /// When it was written, in Unix milliseconds, if that was long before it was sent.
    public var written: Int64?
    /// The time of its last edit.
    public var edited: Timestamp?
    /// True if it was deleted, or is an edit of a deleted message. Then the text is empty.
    public var deleted: Bool?
    /// True if text and sender were removed from the log. An event that named an erased account still says what happened.
    public var erased: Bool?
    /// The seqs of its replies and of its edits, if it was asked for alone.
    public var replies: [UInt64]?
    public var edits: [UInt64]?
    /// The hash chain after it, if it was asked for alone.
    public var hash: String?
    /// The file that a record of kind `file` names.
    public var file: FileObject?
    /// The files of a folded text, if it has any.
    public var files: [FileObject]?
    /// `message` in a line of `sync`, absent in other answers.
    public var type: String?

    enum CodingKeys: String, CodingKey {
        case conversation, seq, cursor, time, ts, sender, text, kind, about, imported, type
        case via, written, edited, deleted, erased, replies, edits, hash, file, files
        case conversationID = "conversation_id"
    }

    public init(_ message: Message, type: String? = nil) {
        conversation = message.conversation
        conversationID = message.conversationID
        seq = message.seq.rawValue
        cursor = message.cursor
        time = message.time
        ts = message.time.milliseconds
        sender = message.sender
        text = message.text
        kind = message.kind == .text ? nil : message.kind.name
        about = message.about?.rawValue
        imported = message.isImported ? true : nil
        via = message.via
        written = message.written?.milliseconds
        edited = message.edited
        deleted = message.isDeleted ? true : nil
        erased = message.hasNoText ? true : nil
        (file, files) = FileObject.fields(of: message)
        self.type = type
    }

    /// Whether every field is one that a record can have: a block of records with longer texts or names would not be one.
    private var isPossible: Bool {
        Limits.seqs.contains(Seq(seq)) && text.utf8.count <= Limits.textBytes.upperBound
            && sender.utf8.count <= Limits.senderBytes && (about.map { $0 > 0 && $0 < seq } ?? true)
            && Timestamp.range.contains(Timestamp(milliseconds: ts))
    }

    /// The message, or nil if a field has a value that no natter server sends.
    public var message: Message? {
        guard isPossible, let kind = MessageKind(name: kind ?? MessageKind.text.name) else { return nil }
        var message = Message(
            conversation: conversation, conversationID: conversationID, seq: Seq(seq), cursor: cursor,
            time: Timestamp(milliseconds: ts), sender: sender, text: text, kind: kind, about: about.map { Seq($0) },
            isImported: imported ?? false, via: via, written: written.map { Timestamp(milliseconds: $0) },
            isErased: erased ?? false)
        message.isDeleted = deleted ?? false
        message.edited = edited
        message.files = (file.map { [$0] } ?? files ?? []).compactMap(\.record)
        return message
    }
}

/// A conversation in the API, as one reader sees it.
public struct ConversationObject: Codable, Sendable, Equatable {
    public var name: String
    public var id: String
    /// `general`, `group` or `personal`.
    public var kind: String
    public var first: UInt64
    public var head: UInt64
    /// The hash chain at the head, as 64 hexadecimal digits.
    public var hash: String
    public var read: UInt64
    public var unread: UInt64
    /// What a group is about: a text or null. Only a group has it.
    @Given public var topic: String??
    /// `null` in an empty conversation.
    @OrNull public var last: MessageObject?
    /// `conversation` in a line of `sync`, absent in other answers.
    public var type: String?

    public init(
        name: String, id: String, kind: String, first: UInt64, head: UInt64, hash: String, read: UInt64,
        unread: UInt64, topic: String?? = nil, last: MessageObject?, type: String? = nil
    ) {
        (self.name, self.id, self.kind, self.first, self.head) = (name, id, kind, first, head)
        (self.hash, self.read, self.unread, self.topic, self.last, self.type) = (hash, read, unread, topic, last, type)
    }
}

public struct MessageList: Codable, Sendable {
    public var messages: [MessageObject]
    public var head: UInt64
    public var more: Bool
    public var next: UInt64

    public init(messages: [MessageObject], head: UInt64, more: Bool, next: UInt64) {
        (self.messages, self.head, self.more, self.next) = (messages, head, more, next)
    }
}

/// A line that `export` writes and `import` reads. `import` ignores `seq`.
public struct ExportLine: Codable, Sendable, Equatable {
    /// Only where a stream has several conversations.
    public var conversation: String?
    public var seq: UInt64?
    public var ts: Int64
    public var sender: String
    public var text: String
    /// Absent for plain text.
    public var kind: String?
    public var about: UInt64?
    public var via: String?
    public var written: Int64?
    public var deleted: Bool?
    public var erased: Bool?
    /// The file that a record of kind `file` names.
    public var file: FileObject?
    /// The files of a folded text, if it has any.
    public var files: [FileObject]?

    public init(_ message: Message) {
        (file, files) = FileObject.fields(of: message)
        seq = message.seq.rawValue
        ts = message.time.milliseconds
        sender = message.sender
        text = message.text
        kind = message.kind == .text ? nil : message.kind.name
        about = message.about?.rawValue
        via = message.via
        written = message.written?.milliseconds
        deleted = message.isDeleted ? true : nil
        erased = message.isErased ? true : nil
    }

    /// A line of a message that is not deleted.
    public init(
        seq: Seq, time: Timestamp, sender: [UInt8], text: UnsafeRawBufferPointer, kind: MessageKind, about: Seq?,
        via: [UInt8]?, written: Timestamp?, isErased: Bool
    ) {
        (self.seq, ts) = (seq.rawValue, time.milliseconds)
        (self.sender, self.text) = (String(decoding: sender, as: UTF8.self), String(decoding: text, as: UTF8.self))
        self.kind = kind == .text ? nil : kind.name
        self.about = about?.rawValue
        self.via = via.map { String(decoding: $0, as: UTF8.self) }
        self.written = written?.milliseconds
        erased = isErased ? true : nil
    }
}
