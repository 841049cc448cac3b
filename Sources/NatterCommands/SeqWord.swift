internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel

/// The words that may stand for the number of a message: `last` is the newest one, as is `-1`, and `-2` the one before it.
enum SeqWord {
    /// Nobody counts further back.
    private static let most = 10_000

    /// The place of a message from the end, counted from 1; nil for a number and for any other word.
    static func place(_ word: String) -> Int? {
        if word == "last" { return 1 }
        guard word.hasPrefix("-"), let place = Int(word.dropFirst()), (1...most).contains(place) else { return nil }
        return place
    }
}

extension Context {
    /// The number of a message from a number, `last` or `-N`. Texts count, but not deleted ones.
    ///
    /// - Parameters:
    ///   - isOwn: whether only the user's own messages count, without those that tokens sent.
    ///   - isSynced: whether the replica decides which message is the last, because the user has seen no later one.
    /// - Throws: 64 for another word, 67 if there is no such message.
    func seq(_ word: String, in conversation: String, isOwn: Bool = false, isSynced: Bool = false) throws -> Seq {
        guard let place = SeqWord.place(word) else { return try arguments.seq(word) }
        let synced = try SyncedReplica(self)
        var filter = MessageFilter()
        filter.isFolded = true
        if isOwn { filter.senders = [synced.location.user] }
        func counts(_ message: Message) -> Bool {
            guard message.kind == .text, !message.isDeleted, !message.isErased else { return false }
            return !isOwn || !message.isImported && (message.via == nil || tokenFile != nil)
        }
        var found: Seq?
        if isOffline || isSynced {
            found = try newest(place, of: conversation, in: synced, filter, counts)
        } else {
            do {
                let page = ServerPage(api: try synced.api(), conversation: conversation, filter: filter)
                var count = max(place, LogRequest.terminalCount)
                while found == nil {
                    let messages = try page.newest(count)
                    found = messages.filter(counts).reversed().dropFirst(place - 1).first?.seq
                    if messages.count < count { break }
                    count *= 10
                }
            } catch let error as RequestError where error.isNotReached {
                found = try newest(place, of: conversation, in: synced, filter, counts)
                if let found { note("\(error.reason); in the replica, '\(word)' is message \(found)") }
            }
        }
        if isOwn, let waiting = try lastWaiting(in: conversation, groupID(named: conversation)) {
            throw CommandFailure(
                .invalidData, code: "waiting",
                "what you wrote last waits in the outbox; 'natter outbox drop \(waiting.number)' drops it")
        }
        guard let found else {
            throw CommandFailure(
                .notFound, code: "no_such_message",
                isOwn
                    ? "'\(conversation)' has no message of yours that '\(word)' could mean"
                    : "'\(conversation)' has no message that '\(word)' could mean")
        }
        return found
    }

    private func newest(
        _ place: Int, of name: String, in synced: SyncedReplica, _ filter: MessageFilter, _ counts: (Message) -> Bool
    ) throws -> Seq? {
        guard let replica = try synced.replica(), let conversation = try replica.conversation(named: name) else {
            return nil
        }
        var (left, found) = (place, Seq?.none)
        try replica.backward(conversation, filter) { piece in
            guard case .messages(let run) = piece else { return true }
            for message in try replica.changed(run, folds: true) ?? run.messages() where counts(message) {
                left -= 1
                if left == 0 { found = message.seq }
            }
            return left > 0
        }
        return found
    }
}
