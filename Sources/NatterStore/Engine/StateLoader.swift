internal import NatterConversation
internal import NatterSystem
internal import NatterSQLite
internal import NatterModel
internal import NatterLog

/// Loads the state from the tables of `store.db`.
struct StateLoader {
    let connection: Connection
    /// The messages of the journal that are about others.
    private var relations: [(conversation: Int64, relation: Relation)] = []
    /// The journal's idempotency keys, in order of arrival.
    private(set) var keys: [MovedKey] = []

    init(_ connection: Connection) { self.connection = connection }

    /// Loads everything except the tails.
    func loadRows(_ store: StoreID) throws -> StoreState {
        var state = StoreState()
        state.store = store
        try loadAccounts(&state)
        try loadTokens(&state)
        try loadConversations(&state)
        let groups = state.conversations.values.filter { $0.identity.kind == .group }
        state.renameScopes(of: Array(state.tokens.keys), in: Dictionary(groups.map { ($0.identity.id, $0) }) { $1 })
        try loadPeers(&state)
        try loadReads(&state)
        try loadErasures(&state)
        try loadEpochs(&state)
        try loadCommit(&state)
        try loadNumbers(&state)
        state.files = FileUsage(
            try FileRows.uses(on: connection), waiting: try FileRows.unnamed(on: connection))
        return state
    }

    /// The highest numbers that were ever given. They are recorded, because rows of those whose own row is lost may be left:
    /// whoever gets such a number would get tokens, members or messages with it.
    static func highestNumbers(
        on connection: Connection
    ) throws(SQLiteError) -> (account: Int64, conversation: Int64) {
        func value(_ key: MetaKey) throws(SQLiteError) -> Int64 { try connection.meta(key) { $0.int64(0) } ?? 0 }
        return (try value(.highestAccount), try value(.highestConversation))
    }

    private func loadNumbers(_ state: inout StoreState) throws {
        state.counters.token = max(state.counters.token, try connection.meta(.highestToken) { $0.int64(0) } ?? 0)
        let recorded = try StateLoader.highestNumbers(on: connection)
        state.counters.account = max(recorded.account, state.accounts.keys.map(\.rawValue).max() ?? 0)
        state.counters.conversation = max(recorded.conversation, state.counters.conversation)
    }

    private func loadAccounts(_ state: inout StoreState) throws {
        let accounts = try connection.statement(
            "SELECT number,name,password,admin,disabled,created,last_seen,last_address,display FROM account")
        while try accounts.step() {
            let id = AccountID(rawValue: try accounts.ordinal(0))
            let name = UserName(trusted: accounts.text(1))
            state.accounts[id] = AccountState(
                id: id, name: name, passwordHash: accounts.text(2), isAdmin: accounts.bool(3),
                isDisabled: accounts.bool(4), created: Timestamp(milliseconds: accounts.int64(5)),
                lastSeen: accounts.optionalInt64(6).map { Timestamp(milliseconds: $0) },
                lastAddress: accounts.optionalText(7), display: accounts.optionalText(8))
            state.accountKeys[name.caseKey] = id
        }
        state.names = AccountNames(state.accounts.values)
    }

    private func loadTokens(_ state: inout StoreState) throws {
        let tokens = try connection.statement(
            """
            SELECT digest,number,account,scope,created,expires,label,scope_id,last_used,last_address,host,program
            FROM token
            """)
        while try tokens.step() {
            let number = try tokens.ordinal(1)
            // That of a row that can't be read is not given again, either.
            state.counters.token = max(state.counters.token, number)
            guard let digest = Digest(bytes: tokens.blob(0)), let scope = Scope(tokens.text(3), ids: tokens.blob(7))
            else { continue }
            let token = TokenState(
                number: number, account: AccountID(rawValue: tokens.int64(2)), scope: scope,
                label: tokens.optionalText(6), lastUsed: tokens.optionalInt64(8).map { Timestamp(milliseconds: $0) },
                lastAddress: tokens.optionalText(9), created: Timestamp(milliseconds: tokens.int64(4)),
                expires: tokens.optionalInt64(5).map { Timestamp(milliseconds: $0) },
                origin: SessionOrigin(host: tokens.optionalText(10), program: tokens.optionalText(11)))
            state.add(token, digest)
        }
        let invites = try connection.statement("SELECT digest,maker,created,expires FROM invite")
        while try invites.step() {
            guard let digest = Digest(bytes: invites.blob(0)) else { continue }
            state.invites[digest] = Change.Invite(
                maker: invites.text(1), created: Timestamp(milliseconds: invites.int64(2)),
                expires: Timestamp(milliseconds: invites.int64(3)))
        }
        let audit = try connection.statement("SELECT coalesce(max(number),0) FROM audit")
        if try audit.step() { state.counters.audit = try audit.ordinal(0) }
    }

    private func loadConversations(_ state: inout StoreState) throws {
        var members: [Int64: [Int64: ConversationState.Membership]] = [:]
        let rows = try connection.statement("SELECT conversation,account,is_admin,since_commit,adder FROM membership")
        while try rows.step() {
            members[rows.int64(0), default: [:]][rows.int64(1)] = ConversationState.Membership(
                isAdmin: rows.bool(2), since: Commit(rows.uint64(3)),
                adder: rows.optionalInt64(4).map { AccountID(rawValue: $0) })
        }
        var (sent, dropped): ([Int64: [String: UInt64]], [Int64: [String: UInt64]]) = ([:], [:])
        let counts = try connection.statement("SELECT conversation,sender,count,dropped FROM sent")
        while try counts.step() {
            let (all, gone) = (UInt64(try counts.ordinal(2)), UInt64(try counts.ordinal(3)))
            sent[counts.int64(0), default: [:]][counts.text(1)] = all
            if gone > 0 { dropped[counts.int64(0), default: [:]][counts.text(1)] = gone }
        }
        let conversations = try connection.statement(
            """
            SELECT number,id,kind,name,is_open,user_a,user_b,is_deleted,sealed_seq,sealed_hash,sealed_commit,sealed_time,
            maker,first_seq,first_commit,retain_days,topic FROM conversation
            """)
        while try conversations.step() {
            guard let id = ConversationID(bytes: conversations.blob(1)),
                let kind = ConversationKind(rawValue: UInt8(truncatingIfNeeded: conversations.int64(2))),
                let hash = Digest(bytes: conversations.blob(9))
            else {
                throw StoreOpenError.damaged(
                    "the database '\(connection.path)' has a malformed row for conversation \(conversations.int64(0))")
            }
            let accounts =
                kind == .personal
                ? AccountPair(
                    AccountID(rawValue: conversations.int64(5)), AccountID(rawValue: conversations.int64(6))) : nil
            let users = accounts.map { pair in
                ConversationID.inOrder([pair.first, pair.second].compactMap { state.accounts[$0]?.name.text })
            }
            let conversation = ConversationState(
                identity: ConversationIdentity(
                    number: try conversations.ordinal(0), id: id, kind: kind, name: conversations.text(3),
                    users: users ?? []),
                isOpen: conversations.bool(4), accounts: accounts, sealedSeq: Seq(UInt64(try conversations.ordinal(8))),
                sealedHash: hash, sealedCommit: Commit(UInt64(try conversations.ordinal(10))),
                lastServerTime: Timestamp(milliseconds: conversations.int64(11)))
            conversation.isDeleted = conversations.bool(7)
            conversation.maker = conversations.optionalInt64(12).map { AccountID(rawValue: $0) }
            conversation.members = members[conversation.identity.number] ?? [:]
            conversation.sent = sent[conversation.identity.number] ?? [:]
            conversation.dropped = dropped[conversation.identity.number] ?? [:]
            (conversation.first, conversation.firstCommit) = (
                Seq(UInt64(try conversations.ordinal(13))), Commit(UInt64(try conversations.ordinal(14)))
            )
            if !conversations.isNull(15) { conversation.retention = Retention(days: conversations.int(15)) }
            conversation.topic = conversations.optionalText(16)
            state.add(conversation)
        }
    }

    private func loadPeers(_ state: inout StoreState) throws {
        let contacts = try connection.statement("SELECT account,peer FROM contact")
        while try contacts.step() {
            state.accounts[AccountID(rawValue: contacts.int64(0))]?.contacts.insert(
                AccountID(rawValue: contacts.int64(1)))
        }
        let blocked = try connection.statement("SELECT account,peer FROM block_list")
        while try blocked.step() {
            state.accounts[AccountID(rawValue: blocked.int64(0))]?.blocked.insert(AccountID(rawValue: blocked.int64(1)))
        }
    }

    private func loadReads(_ state: inout StoreState) throws {
        let marks = try connection.statement("SELECT account,conversation,seq,own_before,is_start FROM read_mark")
        while try marks.step() {
            state.accounts[AccountID(rawValue: marks.int64(0))]?.reads[marks.int64(1)] = ReadMark(
                seq: Seq(UInt64(try marks.ordinal(2))), ownBefore: UInt64(try marks.ordinal(3)),
                isStart: marks.int64(4) != 0)
        }
        let changes = try connection.statement("SELECT account,max(commit_number) FROM change GROUP BY account")
        while try changes.step() {
            let commit = Commit(UInt64(try changes.ordinal(1)))
            state.accounts[AccountID(rawValue: changes.int64(0))]?.lastChange = commit
            state.commit = max(state.commit, commit)
        }
    }

    private func loadErasures(_ state: inout StoreState) throws {
        let erasures = try connection.statement(
            "SELECT conversation,max(commit_number) FROM erasure GROUP BY conversation")
        while try erasures.step() {
            let commit = Commit(UInt64(try erasures.ordinal(1)))
            state.conversations[erasures.int64(0)]?.noteErasure(at: commit)
            state.commit = max(state.commit, commit)
        }
    }

    private func loadCommit(_ state: inout StoreState) throws {
        let commit = try connection.meta(.commit) { row throws(SQLiteError) in try row.ordinal(0) }
        state.commit = max(state.commit, Commit(UInt64(commit ?? 0)))
    }

    private func loadEpochs(_ state: inout StoreState) throws {
        let epochs = try connection.statement("SELECT value,first_commit FROM epoch ORDER BY run")
        while try epochs.step() {
            state.epochs.append((Epoch(rawValue: epochs.uint64(0)), Commit(UInt64(try epochs.ordinal(1)))))
        }
    }

    /// The newest commit in the journal; zero if it is empty.
    func lastJournaled() throws -> Commit {
        let newest = try connection.row("SELECT number FROM batch ORDER BY number DESC LIMIT 1") {
            row throws(SQLiteError) in try row.ordinal(0)
        }
        return Commit(UInt64(newest ?? 0) / 2)
    }

    /// The newest commit that a database contains, in its journal or in other rows.
    static func lastCommit(on connection: Connection) throws(SQLiteError) -> Commit {
        let newest = try connection.row(
            """
            SELECT max(coalesce((SELECT number/2 FROM batch ORDER BY number DESC LIMIT 1),0),
                coalesce((SELECT max(sealed_commit) FROM conversation),0),
                coalesce((SELECT value FROM meta WHERE key='commit'),0),
                coalesce((SELECT max(commit_number) FROM erasure),0),
                coalesce((SELECT max(commit_number) FROM change),0))
            """
        ) { Commit($0.uint64(0)) }
        return newest ?? .zero
    }

    /// The journal's records of each conversation, by seq. Some may be there twice.
    func journal() throws -> [Int64: [Record]] {
        var found: [Int64: [Record]] = [:]
        try JournalReader.visit(connection) { row in
            for entry in row.entries { found[entry.value.conversation, default: []].append(entry.value.record) }
        }
        return found.mapValues { $0.sorted { $0.seq < $1.seq } }
    }

    /// Reads the journal and fills each tail with the records behind the sealed end. Throws if there is a gap.
    mutating func loadJournal(_ state: inout StoreState) throws {
        // Records of a tail that was written again, which the journal has behind newer messages.
        var early: [Int64: [(record: Record, digest: Digest)]] = [:]
        try JournalReader.visit(connection) { row in
            state.commit = max(state.commit, row.commit)
            state.journalBytes += row.byteCount
            for entry in row.entries {
                let (number, record) = (entry.value.conversation, entry.value.record)
                if let key = entry.value.key {
                    let used = FoundKey(conversation: number, seq: record.seq, content: key.content)
                    keys.append(MovedKey(key: key.recent, found: used, commit: record.commit))
                }
                if let relation = Relation(record) { relations.append((number, relation)) }
                guard let conversation = state.conversations[number] else { continue }
                if row.isMoved { conversation.lastMove = row.commit }
                if record.seq == conversation.head.next {
                    conversation.append(record, hash: HashChain.advance(conversation.headHash, by: entry.digest))
                } else if record.seq > conversation.head {
                    early[number, default: []].append((record, entry.digest))
                }
            }
        }
        for (number, records) in early {
            guard let conversation = state.conversations[number] else { continue }
            let sorted = records.sorted { $0.record.seq < $1.record.seq }
            for (record, digest) in sorted where record.seq > conversation.head {
                guard record.seq == conversation.head.next else {
                    throw StoreOpenError.damaged(
                        "the journal in '\(connection.path)' has messages up to \(record.seq) of conversation "
                            + "\(conversation.identity.id), but not \(conversation.head.next); 'natterd fsck' tells more"
                    )
                }
                conversation.append(record, hash: HashChain.advance(conversation.headHash, by: digest))
            }
        }
    }

    /// Restores rows of the journal's messages that a rebuilt index lacks.
    func restoreRelations() throws {
        for (number, relation) in relations { try RelationRows.insert(relation, of: number, on: connection) }
    }

    /// Adds rows of files that only their records know, as after an index was made from the logs. One that can't be read stays
    /// without, and its blob where it is.
    func restoreFiles(_ state: inout StoreState, cache: ArchiveCache) throws {
        for (number, seq) in try FileRows.unknown(on: connection) {
            guard let conversation = state.conversations[number] else { continue }
            let log = Tail(conversation).log(of: conversation.identity, named: conversation.name)
            let reader = LogReader(log, ArchiveReader(connection: connection, cache: cache))
            guard let record = (try? reader.block(containing: seq)?.records[seq]) ?? nil, !record.isErased,
                let file = FileRecord(line: record.text)
            else { continue }
            let account = state.account(named: String(decoding: record.sender, as: UTF8.self))
            let row = FileRow(
                id: file.id, state: .named, account: account?.id.rawValue ?? 0, size: file.size, time: record.time,
                conversation: number, seq: seq)
            try FileRows.put(row, on: connection)
            state.files.set(row)
        }
    }

    /// Loads the deletions.
    ///
    /// - Parameter cache: for looking up authors that are missing, as in an index that was rebuilt. Found ones are stored.
    func loadDeletions(_ state: StoreState, cache: ArchiveCache? = nil) throws {
        for (number, seq, known) in try RelationRows.deletions(on: connection) {
            // A deletion of what is not kept any more counts for nobody.
            guard let conversation = state.conversations[number], seq >= conversation.first else { continue }
            var author = known
            if author == nil, let cache {
                let log = Tail(conversation).log(of: conversation.identity, named: conversation.name)
                let reader = LogReader(log, ArchiveReader(connection: connection, cache: cache))
                // Nobody is the author of a message that can't be read.
                author = RelationRows.nobody
                if let records = try? reader.block(containing: seq)?.records, let index = records.index(of: seq) {
                    author =
                        try ErasedTexts.author(of: seq, in: number, connection) ?? records.author(at: index)
                }
                try RelationRows.setAuthor(
                    author ?? RelationRows.nobody, ofDeleted: seq, in: number, on: connection)
            }
            conversation.deletions.insert(seq, author: author.map(state.author) ?? RelationRows.nobody)
        }
    }
}
