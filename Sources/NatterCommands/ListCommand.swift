internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterSystem
internal import NatterModel
internal import NatterProtocol

/// `ls`: lists the conversations.
enum ListCommand {
    static let spec = CommandSpec(
        "ls", "list the conversations", group: NatterProgram.Group.reading,
        description: [
            "Print each conversation with its number of unread messages and its last message, most recent first, after "
                + "a quick sync as 'log' does. On a terminal, an '@' behind the number means that an unread message has '@' "
                + "and your name.",
            "The server keeps what you have read, for all your machines; 'mark' and 'log --mark' set it.",
        ],
        examples: [Example("natter ls", "see where there are new messages")], run: run)

    private static let run: CommandBody = inContext { context in
        let synced = try SyncedReplica(context)
        let (replica, _) = try synced.quicklySynced()
        // A personal conversation exists always, and may have lost its messages with a restore of the server.
        let conversations = try replica.conversations().filter { $0.kind != .personal || $0.head > .zero }.sorted {
            ($0.latestTime, $1.name) > ($1.latestTime, $0.name)
        }
        let isForPeople = context.console.output.isTerminal && !context.wantsJSON
        let mentioned = Set(
            try conversations.filter { try isForPeople && replica.hasUnreadMention(in: $0) }.map { "\($0.id)" })
        try context.list(
            try conversations.map { try ConversationObject($0, in: replica) },
            [
                Column("NAME") { $0.name },
                Column("UNREAD", .right) { String($0.unread) + (mentioned.contains($0.id) ? "@" : "") },
                Column("LAST") { context.age($0.last?.time.rfc3339) },
                Column("MESSAGE", .text) { $0.last.map { excerpt(of: $0, context.console.output) } ?? "" },
            ])
        try context.console.output.flush()
        return .success
    }

    /// How many characters of the last message a terminal shows.
    private static let excerptLength = 60

    private static func excerpt(of message: MessageObject, _ output: Output) -> String {
        let line = line(of: message, output)
        return output.isTerminal && line.count > excerptLength ? line.prefix(excerptLength) + "…" : line
    }

    /// The beginning of a message, as `log` would print it.
    private static func line(of message: MessageObject, _ output: Output) -> String {
        if message.kind == MessageKind.event.name {
            return "* \(message.sender) \(output.word(EventText.phrase(message.text)))"
        }
        // An erased message has no sender any more.
        if message.sender.isEmpty { return firstLine(of: message) }
        let sender = message.via.map { "\(message.sender)/\($0)" } ?? message.sender
        switch (message.kind, message.about) {
        case ("delete", let about?): return "\(sender) (deletes \(about))"
        case ("edit", let about?): return "\(sender) (edits \(about)): \(firstLine(of: message))"
        default: return "\(sender): \(firstLine(of: message))"
        }
    }

    private static func firstLine(of message: MessageObject) -> String {
        if message.deleted == true { return "(deleted)" }
        if message.erased == true { return "(erased)" }
        if let file = message.file { return FileWords.text(file.name, file.size) }
        // By bytes, because comparing a character takes the square of its combining marks.
        let bytes = message.text.utf8
        guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return message.text }
        let line = bytes[..<end]
        return String(Substring(line.last == UInt8(ascii: "\r") ? line.dropLast() : line))
    }
}

extension ConversationObject {
    /// Makes the object from the replica.
    init(_ conversation: ReplicaConversation, in replica: Replica) throws {
        try self.init(
            name: conversation.name, id: conversation.id.description, kind: conversation.kind.name,
            first: conversation.first.rawValue, head: conversation.head.rawValue,
            hash: (conversation.hash ?? .zero).description, read: conversation.read.rawValue,
            unread: conversation.unread,
            topic: conversation.kind == .group ? .some(conversation.topic) : nil,
            last: replica.newestMessage(of: conversation).map { MessageObject($0) })
    }
}

extension Replica {
    /// The most unread messages in which a mention is looked for.
    private static let mentionLimit = 1_000

    /// Whether one of the newest unread messages mentions the user.
    func hasUnreadMention(in conversation: ReplicaConversation) throws -> Bool {
        guard conversation.unread > 0, conversation.head > conversation.read else { return false }
        let mention = Mention(of: location.user)
        let head = conversation.head.rawValue
        let lowest = Seq(head - min(head, UInt64(Replica.mentionLimit)))
        var filter = MessageFilter(after: max(conversation.read, lowest))
        filter.isFolded = true
        filter.unreadFor = location.user
        filter.text = { mention.isIn($0) }
        var isFound = false
        try backward(conversation, filter, limit: 1) { piece in
            if case .messages = piece { isFound = true }
            return !isFound
        }
        return isFound
    }
}
