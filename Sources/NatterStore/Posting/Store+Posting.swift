internal import NatterConversation
internal import NatterLog
internal import NatterModel

extension Store {
    /// Sends messages. May read the disk if one of them is about another, so call it on a worker's thread then.
    public func post(
        _ messages: consuming [NewMessage], by principal: Principal, stopAtRefusal: Bool,
        _ completion: @escaping @Sendable ([PostOutcome]) -> Void
    ) {
        // Or what another server has just acknowledged would not be there to be read.
        if isShared, messages.contains(where: { $0.about != nil }) { try? catchUp() }
        for index in messages.indices {
            if messages[index].about != nil { messages[index].original = original(of: messages[index], for: principal) }
            messages[index].files = messages[index].uploads.prefix(Limits.filesPerMessage + 1)
                .compactMap { open(upload: $0, of: principal.account) }
            if let key = messages[index].key {
                messages[index].recentKey = RecentKey(key, of: principal.account, keySecret)
            }
        }
        submit(
            .posting(
                StoreWriter.Posting(
                    messages: messages[...], principal: principal, stopAtRefusal: stopAtRefusal, completion: completion)
            ))
    }

    /// Reads the message that a new one is about.
    ///
    /// - Returns: nil if it is not there, or the reader may not see it. Then the writer's thread finds out why.
    func original(of message: NewMessage, for principal: Principal) -> ReadOriginal? {
        guard let seq = message.about,
            let snapshot = try? snapshot(
                message.conversation, id: message.conversationID, for: principal, scope: .write),
            seq >= snapshot.tail.first,
            seq <= snapshot.tail.head
        else { return nil }
        let message: Result<OriginalMessage, StoreError>
        do throws(StoreError) {
            let found = try read(snapshot) { reader -> OriginalMessage? in
                let records = try reader.storedBlock(containing: seq).records
                guard let index = records.index(of: seq) else { return nil }
                var original = OriginalMessage(records, index)
                guard records.isErased(at: index) else { return original }
                // The author of the text that people see instead of an erased one may edit it again.
                let connection = reader.archive.connection
                if let author = try ErasedTexts.author(of: seq, in: snapshot.identity.number, connection) {
                    original.author = author
                }
                if let edit = try MessageFolder(reader, folds: true, needsEdits: true).newestEdit(of: seq) {
                    (original.sender, original.via) = (edit.sender, edit.via)
                }
                return original
            }
            guard let found else { return nil }
            message = .success(found)
        } catch {
            message = .failure(error)
        }
        return ReadOriginal(
            conversation: snapshot.identity.id, message: message, erasedCommit: snapshot.erasedCommit)
    }
}

extension OriginalMessage {
    init(_ records: Records, _ index: Int) {
        let record = records[index]
        self.init(
            sender: record.sender, kind: record.kind, isImported: record.isImported, via: record.via,
            author: records.author(at: index))
    }
}
