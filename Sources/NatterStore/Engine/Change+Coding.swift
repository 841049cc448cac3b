internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterLog

/// The bytes of a change in a shared log: one byte for the kind, then the fields in order; see `ChangeField`. The meaning of a kind
/// never changes.
extension Change {
    func encode(to bytes: inout [UInt8]) {
        switch self {
        case .accountAdded(let new):
            bytes.put(kind: 1, new.id, new.name, new.password, new.isAdmin, new.created, new.lastSeen)
        case .accountChanged(let account, let isDisabled, let isAdmin, let password):
            bytes.put(kind: 2, account, isDisabled, isAdmin, password)
        case .displaySet(let account, let display): bytes.put(kind: 42, account, display)
        case .visitsNoted(let accounts, let tokens): bytes.put(kind: 3, accounts, tokens)
        case .tokenAdded(let digest, let token):
            // Kind 4 is a token without an origin, and kind 41 one that is good for several things.
            let isBroad = token.scope.grants.count > 1
            let hasOrigin = isBroad || token.origin != SessionOrigin()
            bytes.put(
                kind: isBroad ? 41 : hasOrigin ? 31 : 4, digest, token.number, token.account, token.scope,
                token.label, token.created, token.expires)
            if hasOrigin { bytes.put(token.origin.host, token.origin.program) }
        case .tokensRemoved(let digests): bytes.put(kind: 5, digests)
        case .sessionsEnded(let account, let kept, let robots): bytes.put(kind: 6, account, kept, robots)
        case .inviteAdded(let digest, let invite):
            bytes.put(kind: 7, digest, invite.maker, invite.created, invite.expires)
        case .inviteRemoved(let digest): bytes.put(kind: 8, digest)
        case .conversationAdded(let new):
            // Kind 9 is a conversation without a maker.
            bytes.put(
                kind: new.maker == nil ? 9 : 32, new.number, new.id, new.kind, new.name, new.isOpen, new.users,
                new.accounts)
            if let maker = new.maker { bytes.put(maker) }
        case .topicSet(let number, let topic): bytes.put(kind: 44, number, topic)
        case .groupChanged(let number, let name, let isOpen): bytes.put(kind: 10, number, name, isOpen)
        case .groupDeleted(let number): bytes.put(kind: 11, number)
        case .memberPut(let account, let number, let membership):
            // Kind 12 is a member whom nobody added.
            bytes.put(
                kind: membership.adder == nil ? 12 : 40, account, number, membership.isAdmin, membership.since)
            if let adder = membership.adder { bytes.put(adder) }
        case .memberRemoved(let account, let number): bytes.put(kind: 13, account, number)
        case .contactSet(let account, let peer, let isSet): bytes.put(kind: 14, account, peer, isSet)
        case .blockSet(let account, let peer, let isSet): bytes.put(kind: 15, account, peer, isSet)
        case .readMarked(let account, let conversation, let mark):
            // Kind 16 is a mark that the user has moved.
            bytes.put(kind: mark.isStart ? 43 : 16, account, conversation, mark.seq, mark.ownBefore)
        case .noted(let account, let conversation, let kind, let data):
            bytes.put(kind: 17, account, conversation, kind, data)
        case .audited(let number, let entry):
            bytes.put(kind: 18, number, entry.time, entry.actor, entry.action, entry.subject)
        case .tailSealed(let sealed):
            bytes.put(
                kind: 19, sealed.conversation, sealed.lastSeq, sealed.hashAfter, sealed.lastCommit,
                sealed.content.serverTime, sealed.content.sent)
        case .importSettled(let settled):
            bytes.put(
                kind: 20, settled.conversation, settled.lastSeq, settled.hashAfter, UInt64(clamping: settled.uncounted))
        case .importRemembered(let remembered):
            bytes.put(kind: 33, remembered.conversation, remembered.file, remembered.time, remembered.keys)
        case .tailsMoved(let tails): bytes.put(kind: 21, tails)
        case .epochBegun(let epoch, let first): bytes.put(kind: 22, epoch, first)
        case .retentionSet(let conversation, let retention): bytes.put(kind: 36, conversation, retention)
        case .messagesDropped(let dropped):
            bytes.put(kind: 37, dropped.conversation, dropped.first, dropped.sent)
        case .runEnded(let conversation): bytes.put(kind: 38, conversation)
        case .fileSet(let row):
            bytes.put(kind: 45, row.id, row.state, row.account, row.size, row.time, row.conversation, row.seq)
        case .related(let relation, let conversation, let author):
            bytes.put(
                kind: 23, conversation, relation.about, relation.kind, relation.seq, relation.time, author)
        case .erased(let messages, let conversation):
            // Kind 24 has messages without authors.
            let hasAuthors = messages.contains { $0.author != nil }
            bytes.put(kind: hasAuthors ? 39 : 24, conversation, UInt64(messages.count))
            for message in messages {
                bytes.put(message.seq, message.digest)
                if hasAuthors { bytes.put(message.author) }
            }
        }
    }

    /// Decodes the next change.
    /// - Throws: `FormatViolation` for anything that `encode` does not write.
    static func decode(_ reader: inout ByteReader) throws(FormatViolation) -> Change {
        let kind: UInt8 = try reader.field()
        switch kind {
        case 1:
            return try .accountAdded(
                NewAccount(
                    id: reader.field(), name: reader.field(), password: reader.field(), isAdmin: reader.field(),
                    created: reader.field(), lastSeen: reader.field()))
        case 2:
            return try .accountChanged(
                reader.field(), isDisabled: reader.field(), isAdmin: reader.field(), password: reader.field())
        case 42: return try .displaySet(reader.field(), reader.field())
        case 44: return try .topicSet(reader.field(), reader.field())
        case 3: return try .visitsNoted(accounts: reader.field(), tokens: reader.field())
        case 4, 31, 41:
            let digest: Digest = try reader.field()
            var token = try TokenState(
                number: reader.field(), account: reader.field(), scope: Scope(field: &reader), label: reader.field(),
                created: reader.field(), expires: reader.field())
            if kind != 4 { token.origin = try SessionOrigin(host: reader.field(), program: reader.field()) }
            return .tokenAdded(digest, token)
        case 5: return try .tokensRemoved(reader.field())
        case 6: return try .sessionsEnded(reader.field(), keeping: reader.field(), robots: reader.field())
        case 7:
            return try .inviteAdded(
                reader.field(), Invite(maker: reader.field(), created: reader.field(), expires: reader.field()))
        case 8: return try .inviteRemoved(reader.field())
        case 9, 32:
            return try .conversationAdded(
                NewConversation(
                    number: reader.field(), id: reader.field(), kind: reader.field(), name: reader.field(),
                    isOpen: reader.field(), users: reader.field(), accounts: reader.field(),
                    maker: kind == 32 ? AccountID(field: &reader) : nil))
        case 10: return try .groupChanged(reader.field(), name: reader.field(), isOpen: reader.field())
        case 11: return try .groupDeleted(reader.field())
        case 12, 40:
            return try .memberPut(
                reader.field(), in: reader.field(),
                ConversationState.Membership(
                    isAdmin: reader.field(), since: reader.field(), adder: kind == 40 ? AccountID(field: &reader) : nil)
            )
        case 13: return try .memberRemoved(reader.field(), from: reader.field())
        case 14: return try .contactSet(reader.field(), peer: reader.field(), isContact: reader.field())
        case 15: return try .blockSet(reader.field(), peer: reader.field(), isBlocked: reader.field())
        case 16, 43:
            return try .readMarked(
                reader.field(), in: reader.field(),
                ReadMark(seq: reader.field(), ownBefore: reader.field(), isStart: kind == 43))
        case 17:
            return try .noted(reader.field(), conversation: reader.field(), reader.field(), data: reader.field())
        case 18:
            return try .audited(
                reader.field(),
                AuditEntry(
                    time: reader.field(), actor: reader.field(), action: reader.field(), subject: reader.field()))
        case 19:
            return try .tailSealed(
                SealedTail(
                    conversation: reader.field(), lastSeq: reader.field(), hashAfter: reader.field(),
                    lastCommit: reader.field(),
                    content: SealedContent(serverTime: reader.field(), sent: reader.field())))
        case 20:
            return try .importSettled(
                SettledImport(
                    conversation: reader.field(), lastSeq: reader.field(), hashAfter: reader.field(),
                    uncounted: Int(clamping: UInt64(field: &reader))))
        case 33:
            return try .importRemembered(
                RememberedImport(
                    conversation: reader.field(), file: reader.field(), time: reader.field(), keys: reader.field()))
        case 21: return try .tailsMoved(reader.field())
        case 22: return try .epochBegun(reader.field(), first: reader.field())
        case 23:
            let conversation: Int64 = try reader.field()
            let relation = try Relation(
                about: reader.field(), kind: reader.field(), seq: reader.field(), time: reader.field())
            return try .related(relation, in: conversation, author: reader.field())
        case 24, 39:
            let conversation: Int64 = try reader.field()
            let messages = try reader.list { reader throws(FormatViolation) in
                try ErasedMessage(
                    seq: reader.field(), digest: reader.field(), author: kind == 39 ? reader.field() : nil)
            }
            return .erased(messages, in: conversation)
        case 36: return try .retentionSet(reader.field(), reader.field())
        case 37:
            return try .messagesDropped(
                DroppedMessages(conversation: reader.field(), first: reader.field(), sent: reader.field()))
        case 38: return try .runEnded(reader.field())
        case 45:
            return try .fileSet(
                FileRow(
                    id: reader.field(), state: reader.field(), account: reader.field(), size: reader.field(),
                    time: reader.field(), conversation: reader.field(), seq: reader.field()))
        default: throw FormatViolation("a change has an unknown kind", isNewer: true)
        }
    }
}
