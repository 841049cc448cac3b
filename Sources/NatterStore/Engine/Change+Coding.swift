internal import NatterArchive
internal import NatterLanguage
internal import NatterLog
internal import NatterModel

/// The bytes of a change in a shared log: one byte for the kind, then the fields in order. Numbers are LEB128, signed
/// ones zigzag. Text and bytes follow their length, and digests have 32 bytes. An optional field is the byte 0, or
/// the byte 1 and the value. The meaning of a kind never changes.
extension Change {
    func encode(to bytes: inout [UInt8]) {
        var output = FieldWriter(bytes: bytes)
        bytes = []
        encodeFields(&output)
        bytes = output.bytes
    }

    private func encodeFields(_ output: inout FieldWriter) {
        switch self {
        case .accountAdded(let new):
            output.byte(1)
            output.put(new.id.rawValue)
            output.put(new.name.text)
            output.put(new.password)
            output.put(new.isAdmin)
            output.put(new.created.milliseconds)
            output.optional(new.lastSeen) { $0.put($1.milliseconds) }
        case .accountChanged(let account, let isDisabled, let isAdmin, let password):
            output.byte(2)
            output.put(account.rawValue)
            output.optional(isDisabled) { $0.put($1) }
            output.optional(isAdmin) { $0.put($1) }
            output.optional(password) { $0.put($1) }
        case .visitsNoted(let accounts, let tokens):
            output.byte(3)
            for visits in [accounts, tokens] { output.list(visits) { $1.encode(&$0) } }
        case .tokenAdded(let digest, let token):
            // Kind 4 is a token without an origin.
            let hasOrigin = token.origin != SessionOrigin()
            output.byte(hasOrigin ? 31 : 4)
            output.put(digest)
            output.put(token.number)
            output.put(token.account.rawValue)
            output.put(token.scope.description)
            output.optional(token.scopeID) { $0.put($1.bytes) }
            output.optional(token.label) { $0.put($1) }
            output.put(token.created.milliseconds)
            output.optional(token.expires) { $0.put($1.milliseconds) }
            if hasOrigin {
                for text in [token.origin.host, token.origin.program] { output.optional(text) { $0.put($1) } }
            }
        case .tokensRemoved(let digests):
            output.byte(5)
            output.list(digests) { $0.put($1) }
        case .sessionsEnded(let account, let kept, let robots):
            output.byte(6)
            output.put(account.rawValue)
            output.optional(kept) { $0.put($1) }
            output.put(robots)
        case .inviteAdded(let digest, let invite):
            output.byte(7)
            output.put(digest)
            output.put(invite.maker)
            output.put(invite.created.milliseconds)
            output.put(invite.expires.milliseconds)
        case .inviteRemoved(let digest):
            output.byte(8)
            output.put(digest)
        case .conversationAdded(let new):
            // Kind 9 is a conversation without a maker.
            output.byte(new.maker == nil ? 9 : 32)
            output.put(new.number)
            output.put(new.id.bytes)
            output.byte(new.kind.rawValue)
            output.put(new.name)
            output.put(new.isOpen)
            output.list(new.users) { $0.put($1) }
            output.optional(new.accounts) { output, pair in
                output.put(pair.first.rawValue)
                output.put(pair.second.rawValue)
            }
            if let maker = new.maker { output.put(maker.rawValue) }
        case .groupChanged(let number, let name, let isOpen):
            output.byte(10)
            output.put(number)
            output.put(name)
            output.put(isOpen)
        case .groupDeleted(let number):
            output.byte(11)
            output.put(number)
        case .memberPut(let account, let number, let membership):
            // Kind 12 is a member whom nobody added.
            output.byte(membership.adder == nil ? 12 : 40)
            output.put(account.rawValue)
            output.put(number)
            output.put(membership.isAdmin)
            output.put(membership.since.rawValue)
            if let adder = membership.adder { output.put(adder.rawValue) }
        case .memberRemoved(let account, let number):
            output.byte(13)
            output.put(account.rawValue)
            output.put(number)
        case .contactSet(let account, let peer, let isSet), .blockSet(let account, let peer, let isSet):
            if case .contactSet = self { output.byte(14) } else { output.byte(15) }
            output.put(account.rawValue)
            output.put(peer.rawValue)
            output.put(isSet)
        case .readMarked(let account, let conversation, let mark):
            output.byte(16)
            output.put(account.rawValue)
            output.put(conversation)
            output.put(mark.seq.rawValue)
            output.put(mark.ownBefore)
        case .noted(let account, let conversation, let kind, let data):
            output.byte(17)
            output.put(account.rawValue)
            output.put(conversation)
            output.byte(UInt8(truncatingIfNeeded: kind.rawValue))
            output.optional(data) { $0.put($1) }
        case .audited(let number, let entry):
            output.byte(18)
            output.put(number)
            output.put(entry.time.milliseconds)
            output.put(entry.actor)
            output.put(entry.action)
            output.put(entry.subject)
        case .tailSealed(let sealed):
            output.byte(19)
            output.put(sealed.conversation)
            output.put(sealed.lastSeq.rawValue)
            output.put(sealed.hashAfter)
            output.put(sealed.lastCommit.rawValue)
            output.optional(sealed.content.serverTime) { $0.put($1.milliseconds) }
            output.counts(sealed.content.sent)
        case .importSettled(let settled):
            output.byte(20)
            output.put(settled.conversation)
            output.put(settled.lastSeq.rawValue)
            output.put(settled.hashAfter)
            output.put(UInt64(clamping: settled.uncounted))
        case .importRemembered(let remembered):
            output.byte(33)
            output.put(remembered.conversation)
            output.optional(remembered.file) { $0.put($1) }
            output.put(remembered.time.milliseconds)
            output.list(remembered.keys) { output, key in
                output.put(key.hash)
                output.put(key.seq.rawValue)
                output.put(key.content)
            }
        case .tailsMoved(let tails):
            output.byte(21)
            output.list(tails) { output, tail in
                output.put(tail.conversation)
                output.put(tail.lastSeq.rawValue)
            }
        case .epochBegun(let epoch, let first):
            output.byte(22)
            output.put(epoch.rawValue)
            output.put(first.rawValue)
        case .retentionSet(let conversation, let retention):
            output.byte(36)
            output.put(conversation)
            output.put(UInt64(retention.days ?? 0))
        case .messagesDropped(let dropped):
            output.byte(37)
            output.put(dropped.conversation)
            output.put(dropped.first.rawValue)
            output.counts(dropped.sent)
        case .runEnded(let conversation):
            output.byte(38)
            output.put(conversation)
        case .related(let relation, let conversation, let author):
            output.byte(23)
            output.put(conversation)
            output.put(relation.about.rawValue)
            output.byte(relation.kind.rawValue)
            output.put(relation.seq.rawValue)
            output.put(relation.time.milliseconds)
            output.optional(author) { $0.put($1) }
        case .erased(let messages, let conversation):
            // Kind 24 has messages without authors.
            let hasAuthors = messages.contains { $0.author != nil }
            output.byte(hasAuthors ? 39 : 24)
            output.put(conversation)
            output.list(messages) { output, message in
                output.put(message.seq.rawValue)
                output.put(message.digest)
                if hasAuthors { output.optional(message.author) { $0.put($1) } }
            }
        }
    }

    /// Decodes the next change.
    /// - Throws: `FormatViolation` for anything that `encode` does not write.
    static func decode(_ reader: inout ByteReader) throws(FormatViolation) -> Change {
        var input = FieldReader(reader: reader)
        defer { reader = input.reader }
        let kind = try input.byte()
        switch kind {
        case 1:
            return .accountAdded(
                NewAccount(
                    id: try input.account(), name: UserName(trusted: try input.text()), password: try input.text(),
                    isAdmin: try input.bool(), created: try input.time(),
                    lastSeen: try input.optional { input throws(FormatViolation) in try input.time() }))
        case 2:
            return .accountChanged(
                try input.account(),
                isDisabled: try input.optional { input throws(FormatViolation) in try input.bool() },
                isAdmin: try input.optional { input throws(FormatViolation) in try input.bool() },
                password: try input.optional { input throws(FormatViolation) in try input.text() })
        case 3:
            return .visitsNoted(
                accounts: try input.list { input throws(FormatViolation) in try Visit(&input) },
                tokens: try input.list { input throws(FormatViolation) in try Visit(&input) })
        case 4: return try decodeToken(&input, hasOrigin: false)
        case 31: return try decodeToken(&input, hasOrigin: true)
        case 5:
            return .tokensRemoved(try input.list { input throws(FormatViolation) in try input.digest() })
        case 6:
            return .sessionsEnded(
                try input.account(),
                keeping: try input.optional { input throws(FormatViolation) in try input.digest() },
                robots: try input.bool())
        case 7:
            return .inviteAdded(
                try input.digest(),
                Invite(maker: try input.text(), created: try input.time(), expires: try input.time()))
        case 8: return .inviteRemoved(try input.digest())
        case 9: return try decodeConversation(&input, hasMaker: false)
        case 32: return try decodeConversation(&input, hasMaker: true)
        case 10: return .groupChanged(try input.signed(), name: try input.text(), isOpen: try input.bool())
        case 11: return .groupDeleted(try input.signed())
        case 12, 40:
            return .memberPut(
                try input.account(), in: try input.signed(),
                ConversationState.Membership(
                    isAdmin: try input.bool(), since: Commit(try input.unsigned()),
                    adder: kind == 40 ? try input.account() : nil))
        case 13: return .memberRemoved(try input.account(), from: try input.signed())
        case 14: return .contactSet(try input.account(), peer: try input.account(), isContact: try input.bool())
        case 15: return .blockSet(try input.account(), peer: try input.account(), isBlocked: try input.bool())
        case 16:
            return .readMarked(
                try input.account(), in: try input.signed(),
                ReadMark(seq: Seq(try input.unsigned()), ownBefore: try input.unsigned()))
        case 17:
            let (account, conversation) = (try input.account(), try input.signed())
            guard let kind = ChangeKind(rawValue: Int(try input.byte())) else { throw FieldReader.malformed }
            return .noted(
                account, conversation: conversation, kind,
                data: try input.optional { input throws(FormatViolation) in try input.text() })
        case 18:
            return .audited(
                try input.signed(),
                AuditEntry(
                    time: try input.time(), actor: try input.text(), action: try input.text(),
                    subject: try input.text()))
        case 19: return try decodeSealed(&input)
        case 20:
            return .importSettled(
                SettledImport(
                    conversation: try input.signed(), lastSeq: Seq(try input.unsigned()),
                    hashAfter: try input.digest(), uncounted: Int(clamping: try input.unsigned())))
        case 33:
            return .importRemembered(
                RememberedImport(
                    conversation: try input.signed(),
                    file: try input.optional { input throws(FormatViolation) in try input.digest() },
                    time: try input.time(),
                    keys: try input.list { input throws(FormatViolation) in
                        ImportedKey(
                            hash: try input.unsigned(), seq: Seq(try input.unsigned()), content: try input.unsigned())
                    }))
        case 21:
            return .tailsMoved(
                try input.list { input throws(FormatViolation) in
                    MovedTail(conversation: try input.signed(), lastSeq: Seq(try input.unsigned()))
                })
        case 22:
            return .epochBegun(Epoch(rawValue: try input.unsigned()), first: Commit(try input.unsigned()))
        case 23:
            let conversation = try input.signed()
            return .related(
                Relation(
                    about: Seq(try input.unsigned()), kind: MessageKind(rawValue: try input.byte()),
                    seq: Seq(try input.unsigned()), time: try input.time()),
                in: conversation,
                author: try input.optional { input throws(FormatViolation) in try input.text() })
        case 24, 39:
            let conversation = try input.signed()
            return .erased(
                try input.list { input throws(FormatViolation) in
                    var message = ErasedMessage(seq: Seq(try input.unsigned()), digest: try input.digest())
                    if kind == 39 {
                        message.author = try input.optional { input throws(FormatViolation) in try input.signed() }
                    }
                    return message
                }, in: conversation)
        case 36:
            let (conversation, days) = (try input.signed(), try input.unsigned())
            return .retentionSet(conversation, Retention(days: days == 0 ? nil : Int(clamping: days)))
        case 37:
            return .messagesDropped(
                DroppedMessages(
                    conversation: try input.signed(), first: Seq(try input.unsigned()), sent: try input.counts()))
        case 38: return .runEnded(try input.signed())
        default: throw FormatViolation("a change has an unknown kind", isNewer: true)
        }
    }

    private static func decodeToken(
        _ input: inout FieldReader, hasOrigin: Bool
    ) throws(FormatViolation) -> Change {
        let (digest, number, account) = (try input.digest(), try input.signed(), try input.account())
        guard let scope = Scope(try input.text()) else { throw FieldReader.malformed }
        let scopeID = try input.optional { input throws(FormatViolation) in try input.conversation() }
        let label = try input.optional { input throws(FormatViolation) in try input.text() }
        let created = try input.time()
        let expires = try input.optional { input throws(FormatViolation) in try input.time() }
        var origin = SessionOrigin()
        if hasOrigin {
            origin.host = try input.optional { input throws(FormatViolation) in try input.text() }
            origin.program = try input.optional { input throws(FormatViolation) in try input.text() }
        }
        return .tokenAdded(
            digest,
            TokenState(
                number: number, account: account, scope: scope, scopeID: scopeID, label: label, created: created,
                expires: expires, origin: origin))
    }

    private static func decodeConversation(
        _ input: inout FieldReader, hasMaker: Bool
    ) throws(FormatViolation) -> Change {
        let (number, id) = (try input.signed(), try input.conversation())
        guard let kind = ConversationKind(rawValue: try input.byte()) else { throw FieldReader.malformed }
        return .conversationAdded(
            NewConversation(
                number: number, id: id, kind: kind, name: try input.text(), isOpen: try input.bool(),
                users: try input.list { input throws(FormatViolation) in try input.text() },
                accounts: try input.optional { input throws(FormatViolation) in
                    AccountPair(try input.account(), try input.account())
                }, maker: hasMaker ? try input.account() : nil))
    }

    private static func decodeSealed(_ input: inout FieldReader) throws(FormatViolation) -> Change {
        let (conversation, lastSeq) = (try input.signed(), Seq(try input.unsigned()))
        let (hash, lastCommit) = (try input.digest(), Commit(try input.unsigned()))
        let serverTime = try input.optional { input throws(FormatViolation) in try input.time() }
        return .tailSealed(
            SealedTail(
                conversation: conversation, lastSeq: lastSeq, hashAfter: hash, lastCommit: lastCommit,
                content: SealedContent(serverTime: serverTime, sent: try input.counts())))
    }
}

extension Change.Visit {
    fileprivate func encode(_ output: inout FieldWriter) {
        output.put(number)
        output.put(time.milliseconds)
        output.optional(address) { $0.put($1) }
    }

    fileprivate init(_ input: inout FieldReader) throws(FormatViolation) {
        self.init(
            number: try input.signed(), time: try input.time(),
            address: try input.optional { input throws(FormatViolation) in try input.text() })
    }
}
