public import NatterModel

/// Why an import fails. A failed import leaves nothing behind.
public enum ImportError: FailureConvertible, Equatable {
    case badName(String, NameError)
    /// Nobody may import into a personal conversation, because only its two users write there.
    case personal(String)
    case badMessage(ImportedMessageError)
    case store(StoreError)

    public var failure: CommandFailure {
        switch self {
        case .badName(let name, let error): StoreError.badName(name, error).failure
        case .personal(let name):
            CommandFailure(
                .invalidData, code: "personal_conversation",
                "'\(name)' is a personal conversation, which takes no import; import into 'general' or a group")
        case .badMessage(let error): CommandFailure(.invalidData, code: "bad_line", error.phrase)
        case .store(.diskFull):
            CommandFailure(.temporary, code: "disk_full", "the disk is full; nothing was imported")
        case .store(let error): error.failure
        }
    }

    public var phrase: Phrase { if case .store(let error) = self { error.phrase } else { failure.problem } }
}

/// Why a message cannot be imported.
public enum ImportedMessageError: Error, Equatable, PhraseConvertible {
    case senderLength(bytes: Int)
    case senderContainsNul
    case labelLength(bytes: Int)
    case labelContainsNul
    case text(TextError)
    /// A time outside the years 0 to 9999.
    case timeOutOfRange(Int64)
    /// A time more than a day ahead of this machine's clock.
    case timeAhead(Timestamp)
    /// A kind that no export has, or an edit or a deletion of nothing.
    case badKind(String)
    /// It is about a message that is not on an earlier line.
    case badAbout(UInt64)
    /// An edit, a deletion or a reply that is about an edit or a deletion.
    case aboutChange(UInt64)
    /// It is about a message that an earlier line deletes.
    case aboutDeleted(UInt64)
    /// An event that is about another message.
    case eventAbout(UInt64)
    /// An edit of an event.
    case aboutEvent(UInt64)
    /// A reply to an event.
    case replyToEvent(UInt64)
    /// A time that may be seconds instead of milliseconds.
    case timeOld(Timestamp)
    /// A time in seconds, probably.
    case timeWithFraction
    case badID(String)
    /// An id that another message of the conversation has.
    case reusedID(String)
    /// An erased message with a sender or a text.
    case notErased

    public var phrase: Phrase {
        switch self {
        case .badKind(let kind): "the kind '\(kind)' is not known, or 'about' is missing"
        case .badAbout(let seq): "it is about message \(seq), which is not on an earlier line"
        case .aboutChange(let seq):
            "message \(seq) is itself an edit or a deletion; name the original message"
        case .aboutDeleted(let seq): "message \(seq) is deleted"
        case .eventAbout(let seq): "an event is about no message, so not about \(seq)"
        case .aboutEvent(let seq): "message \(seq) is an event, which nobody can edit"
        case .replyToEvent(let seq): "message \(seq) is no text; only texts have replies"
        case .notErased: "an erased message has neither sender nor text"
        case .senderLength(let bytes): "the sender has \(bytes) bytes; 1 to \(NameRule.maximumBytes) are allowed"
        case .senderContainsNul: "the sender contains U+0000"
        case .labelLength(let bytes):
            "'via' has \(bytes) bytes; 1 to \(Limits.labelBytes.upperBound) are allowed"
        case .labelContainsNul: "'via' contains U+0000"
        case .text(let error): error.phrase
        case .timeOutOfRange(let time): "the time \(time) lies outside the years 0 to 9999"
        case .timeOld(let time):
            "the time \(time.rfc3339) lies before 1990; if it is right and not in seconds, give --old"
        case .timeWithFraction: "the 'ts' has a fraction; it is Unix time in whole milliseconds"
        case .badID(let id): "the id '\(id)' is not valid; use 1 to 64 printable ASCII characters"
        case .reusedID(let id): "the id '\(id)' is that of another message"
        case .timeAhead(let time): "the time \(time.rfc3339) is more than a day in the future"
        }
    }

    /// Throws if a message cannot be imported. Unlike a message that a user sends, it may be empty.
    public static func check(
        time: Timestamp, sender: [UInt8], text: [UInt8], kind: MessageKind, via: [UInt8]?, now: Timestamp,
        takesOld: Bool
    ) throws(ImportedMessageError) {
        guard (1...NameRule.maximumBytes).contains(sender.count) else { throw .senderLength(bytes: sender.count) }
        guard !sender.contains(0) else { throw .senderContainsNul }
        if let via {
            // Older servers took labels with other control characters, and their exports have them.
            guard Limits.labelBytes.contains(via.count) else { throw .labelLength(bytes: via.count) }
            guard !via.contains(0) else { throw .labelContainsNul }
        }
        guard text.count <= Limits.textBytes.upperBound else { throw .text(.tooLong(bytes: text.count)) }
        guard !text.contains(0) else { throw .text(.containsNul) }
        guard kind != .delete || text.isEmpty else { throw .text(.notEmpty) }
        guard Timestamp.range.contains(time) else { throw .timeOutOfRange(time.milliseconds) }
        guard takesOld || time.milliseconds >= Limits.importOldMilliseconds else { throw .timeOld(time) }
        guard time <= now.advanced(milliseconds: Limits.importAheadMilliseconds) else { throw .timeAhead(time) }
    }
}
