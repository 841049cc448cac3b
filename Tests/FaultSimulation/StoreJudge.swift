internal import Glibc
internal import NatterSystem
internal import NatterModel
internal import NatterStore
internal import StoreSupport
package import SystemSupport
internal import TestSupport

/// Judges a server's disk after a fault. Every promised message must exist once, with its seq, and there must be no
/// other message. Ids must still be known, the store must accept messages, fsck must find no damage, and no file may hold an
/// erased text.
package struct StoreJudge {
    private let promises: Promises
    private let seed: UInt64

    /// - Parameters:
    ///   - promises: the promises and attempts before the fault.
    ///   - seed: chooses which ids are sent again.
    package init(_ promises: Promises, seed: UInt64) { (self.promises, self.seed) = (promises, seed) }

    /// - Throws: `Violation`; any error while opening or reading.
    package func judge(_ disk: SimulatedDisk, clock: TestClock) throws {
        let driver = try StoreDriver(disk, clock: clock)
        do {
            defer { driver.close() }
            let tokens = Dictionary(
                promises.sessions.map { ($0.value.name, $0.value.token) }, uniquingKeysWith: { $1 })
            for token in tokens.values { _ = try driver.principal(token) }
            try judgeMemberships(driver, tokens)
            let found = try judgeMessages(driver, tokens)
            try judgeReads(driver, tokens)
            try judgeIDs(driver, tokens, found)
            try demand(!driver.store.isFailed, "the store stopped writing")
        }
        var damages: [String] = []
        _ = try StoreCheck.run(StoreDriver.directory, disk: disk) { damages.append("\($0)") }
        try demand(damages.isEmpty, "fsck finds: \(damages.joined(separator: "; "))")
        try disk.mustNotHold(promises.erasedTexts(), below: StoreDriver.directory)
    }

    /// Checks members and former members of a group against the last promise.
    private func judgeMemberships(_ driver: StoreDriver, _ tokens: [String: Token]) throws {
        var last: [String: Promises.Dated<(name: String, group: String, isMember: Bool)>] = [:]
        for promise in promises.memberships { last["\(promise.value.name) \(promise.value.group)"] = promise }
        for promise in last.values {
            let (name, group, isMember) = promise.value
            guard let token = tokens[name] else { continue }
            let principal = try driver.principal(token)
            let isThere = (try? driver.store.conversation(group, for: principal)) != nil
            // A change that began after the last promise may have happened or not.
            let isOpen = promises.membershipChanges.contains {
                $0.value == (name, group) && $0.operations >= promise.operations
            }
            if isOpen { continue }
            try demand(isThere == isMember, "\(name) is \(isThere ? "" : "not ")in '\(group)'")
        }
    }

    /// - Returns: the seq of each text.
    private func judgeMessages(_ driver: StoreDriver, _ tokens: [String: Token]) throws -> [String: Message] {
        let sent = Dictionary(promises.sendings.map { ($0.value.text, $0.value) }, uniquingKeysWith: { $1 })
        var found: [String: Message] = [:]
        var histories: [ConversationID: [Message]] = [:]
        var places: [String: Message] = [:]
        for (name, token) in tokens {
            for (conversation, messages) in try driver.export(as: token) {
                let view = try driver.store.conversation(conversation, for: driver.principal(token))
                let id = view.id
                if let other = histories[id] {
                    try demand(
                        other.map(\.text) == messages.map(\.text), "'\(conversation)' is another one for \(name)")
                    continue
                }
                histories[id] = messages
                try demand(
                    messages.map(\.seq) == messages.indices.map { view.first.advanced(by: $0) }
                        && view.head.next == view.first.advanced(by: messages.count),
                    "the numbers of '\(conversation)' are not dense")
                for message in messages where message.kind != .event {
                    places["\(id) \(message.seq)"] = message
                    if message.text.isEmpty { continue }
                    try demand(
                        sent[message.text]?.sender == message.sender,
                        "'\(conversation)' \(message.seq) is nothing that \(message.sender) sent")
                    try demand(
                        found.updateValue(message, forKey: message.text) == nil,
                        "'\(conversation)' \(message.seq) is there twice")
                }
            }
        }
        for promise in promises.messages {
            let wanted = promise.value
            let name = "the acknowledged \(wanted.seq) of '\(wanted.conversation)' by \(wanted.sender)"
            guard let message = places["\(wanted.conversationID) \(wanted.seq)"] else {
                try demand(promises.may(.retention, wanted), "\(name) is lost")
                continue
            }
            try demand(!promises.must(.retention, promise), "\(name) is there again")
            try demand(
                message.cursor == wanted.cursor && message.time == wanted.time && message.kind == wanted.kind,
                "\(name) is another message now")
            try judge(message, promise, name)
            found[wanted.text] = message
        }
        return found
    }

    /// Judges text and sender of an acknowledged message.
    private func judge(_ message: Message, _ promise: Promises.Dated<Message>, _ name: String) throws {
        let wanted = promise.value
        if message.isErased {
            try demand(promises.may(.erasure, wanted), "\(name) is erased")
            return try demand(message.text.isEmpty && message.sender.isEmpty, "\(name) is erased in part")
        }
        try demand(!promises.must(.erasure, promise), "\(name) is not erased any more")
        try demand(message.sender == wanted.sender, "\(name) is by \(message.sender) now")
        if message.isDeleted {
            try demand(promises.may(.deletion, wanted), "\(name) is deleted")
            return try demand(message.text.isEmpty, "\(name) is deleted, but its text is there")
        }
        try demand(!promises.must(.deletion, promise), "\(name) is not deleted any more")
        try demand(message.text == wanted.text, "\(name) has another text now")
    }

    private func judgeReads(_ driver: StoreDriver, _ tokens: [String: Token]) throws {
        for promise in promises.reads {
            guard let token = tokens[promise.value.name] else { continue }
            let view = try driver.store.conversation(promise.value.conversation, for: driver.principal(token))
            try demand(view.read >= promise.value.seq, "a read mark of \(promise.value.name) is lost")
        }
    }

    /// Sends the unanswered messages and some acknowledged ones again.
    private func judgeIDs(_ driver: StoreDriver, _ tokens: [String: Token], _ found: [String: Message]) throws {
        var generator = SeededGenerator(seed: seed)
        let acknowledged = Set(promises.messages.map(\.value.text))
        let open = promises.sendings.filter { !acknowledged.contains($0.value.text) }.suffix(6)
        // An id of a message that is not kept any more answers nothing.
        let known = promises.sendings.filter { found[$0.value.text] != nil && acknowledged.contains($0.value.text) }
        for sending in known.suffix(1) + [known.randomElement(using: &generator)].compactMap(\.self) + open {
            guard let token = tokens[sending.value.sender] else { continue }
            let outcome = try driver.post([sending.value.message], by: token).first
            // A user who was removed from the group since then does not learn whether the message exists.
            if case .noSuchConversation? = outcome?.refusal, sending.value.conversation.hasPrefix("group") { continue }
            if let former = found[sending.value.text] {
                try demand(
                    outcome?.isRepeated == true && outcome?.message?.seq == former.seq,
                    "sending '\(sending.value.key)' again gave \(outcome.map { "\($0)" } ?? "nothing")")
            } else if outcome?.isRepeated != false, outcome?.message?.text != "" {
                throw Violation("'\(sending.value.key)' is known, but its message is not there")
            }
        }
    }
}

extension SimulatedDisk {
    /// Demands that the last word of each of these texts is in no file of a directory.
    func mustNotHold(_ texts: [String], below directory: String) throws {
        guard !texts.isEmpty else { return }
        let words = texts.compactMap { $0.split(separator: " ").last.map { Array($0.utf8) } }
        for (path, bytes) in image.files() where path.hasPrefix(directory + "/") {
            for word in words where bytes.holds(word) {
                throw Violation("the erased '\(String(decoding: word, as: UTF8.self))' is in \(path)")
            }
        }
    }
}

extension [UInt8] {
    /// Quick in a debug build, too.
    fileprivate func holds(_ word: [UInt8]) -> Bool {
        withUnsafeBytes { bytes in
            guard var place = bytes.baseAddress, let first = word.first else { return false }
            let end = place + bytes.count
            while end - place >= word.count, let found = memchr(place, Int32(first), end - place) {
                place = UnsafeRawPointer(found)
                if end - place >= word.count, memcmp(place, word, word.count) == 0 { return true }
                place += 1
            }
            return false
        }
    }
}
