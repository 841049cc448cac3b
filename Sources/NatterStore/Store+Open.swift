internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
public import NatterLanguage
internal import NatterLog
internal import NatterModel
public import NatterSystem

/// Why a store could not be opened.
public enum StoreOpenError: Error, PhraseConvertible {
    /// Another process has it.
    case locked(String)
    case cannotCreate(DiskError)
    case newer(Phrase)
    case damaged(Phrase)
    /// A part of the directory is not there.
    case incomplete(Phrase)

    public var phrase: Phrase {
        switch self {
        case .locked(let directory): "another natterd is using '\(directory)'; stop it first"
        case .cannotCreate(let error): error.phrase
        case .newer(let detail): detail
        case .damaged(let detail): detail
        case .incomplete(let detail): detail
        }
    }
}

extension Store {
    /// Opens the store of a directory, or makes one; recovers what a crash has left, and starts its threads.
    ///
    /// - Throws: `StoreOpenError`.
    public static func open(
        _ directory: String, disk: any Disk = PosixDisk(), clock: any WallClock = SystemClock(),
        options: Options = Options()
    ) throws -> Store {
        let lock = try takeLock(directory, disk: disk)
        try checkComplete(directory, disk)
        if let offset = try walDamage(databasePath(directory), disk) {
            throw StoreOpenError.damaged(
                "'\(databasePath(directory))-wal' is damaged at byte \(offset), before acknowledged commits; put a backup in "
                    + "place, or let 'natterd fsck --repair' go on without them")
        }
        do {
            return try open(directory, lock, disk: disk, clock: clock, options: options)
        } catch is StoreRecovery.StaleIndex {
            // All that is there is looked at, once; then it is opened with what was found.
            options.report("the index is older than the logs; it is made again from them")
            _ = try StoreRebuild.rebuild(directory, .reindex, disk: disk, clock: clock, report: options.report)
            return try open(directory, lock, disk: disk, clock: clock, options: options, isRebuilt: true)
        }
    }

    /// Where the write-ahead log of a database is damaged, so that SQLite would pass over commits without a word.
    static func walDamage(_ database: String, _ disk: any Disk) throws(DiskError) -> UInt64? {
        let path = database + "-wal"
        guard let found = try disk.information(path), found.size > 0 else { return nil }
        return try WALScan.damage(of: disk.open(path, .read))
    }

    /// Logs without a database would be served as an empty store, which gives their numbers again.
    private static func checkComplete(_ directory: String, _ disk: any Disk) throws {
        if try disk.information(directory + "/" + StoreRestore.unfinishedName) != nil {
            throw StoreOpenError.incomplete(
                "'\(directory)' holds a restore that was not finished; run 'natterd restore' again")
        }
        let logs = directory + "/logs"
        guard try (disk.information(databasePath(directory))?.size ?? 0) == 0,
            try disk.information(logs)?.isDirectory == true, try disk.list(logs).contains(where: { $0 != "epoch" })
        else { return }
        throw StoreOpenError.incomplete(
            "'\(directory)' has logs but no database 'store.db'; put it back from a backup, or run 'natterd reindex'")
    }

    private static func open(
        _ directory: String, _ lock: any DiskLock, disk: any Disk, clock: any WallClock, options: Options,
        isRebuilt: Bool = false
    ) throws -> Store {
        do {
            // What another process left may be there to be read only until the machine stops: nothing is moved out of it into
            // the database, or written behind it, before it is on the disk.
            try Connection.makeLogDurable(of: databasePath(directory), on: disk)
            let connection = try Connection(path: databasePath(directory), role: .writer, disk: disk)
            // And what a transaction has left there that was not finished would look like damage behind the next one.
            try connection.checkpoint(truncating: true)
            try StoreSchema.current.migrate(connection)
            let (id, secret) = try identity(connection)
            let store = Store(
                directory: directory, id: id, keySecret: secret, disk: disk, clock: clock, lock: lock, options: options)
            let core = try WriterCore(store: store, connection: connection, retentionDays: options.idRetentionDays)
            try store.load(core, isRebuilt: isRebuilt)
            try store.start(core)
            return store
        } catch let error as SQLiteError where error.reason == .newerSchema {
            throw StoreOpenError.newer(error.phrase)
        } catch let error as SQLiteError where error.reason == .corrupt {
            throw StoreOpenError.damaged(error.phrase)
        } catch let error as SQLiteError where error.reason == .cannotOpen {
            throw StoreOpenError.cannotCreate(
                DiskError(code: .permissionDenied, operation: "open", path: databasePath(directory)))
        }
    }

    /// Makes the directory if need be and keeps everybody else out of it.
    static func takeLock(_ directory: String, disk: any Disk) throws(StoreOpenError) -> any DiskLock {
        do throws(DiskError) {
            try disk.makeDirectories(directory)
            if let lock = try disk.lock(directory + "/store.lock") { return lock }
        } catch {
            throw .cannotCreate(error)
        }
        throw .locked(directory)
    }

    /// The store's id and the secret of its short hashes, made when it is new.
    private static func identity(_ connection: Connection) throws -> (StoreID, ShortHashKey) {
        let statement = try connection.statement("SELECT value FROM meta WHERE key=?")
        func value(_ key: String) throws -> [UInt8]? {
            statement.reset()
            try statement.bind(key)
            return try statement.step() ? statement.blob(0) : nil
        }
        if let known = try value("store_id") {
            guard let id = StoreID(bytes: known),
                let secret = try value("key_secret").flatMap({ ShortHashKey(bytes: $0) })
            else { throw StoreOpenError.damaged("the database '\(connection.path)' has lost its store's id") }
            return (id, secret)
        }
        statement.reset()
        var random = SecureRandom()
        let id = StoreID(using: &random)
        let secret = ShortHashKey.random()
        try connection.transaction {
            let insert = try connection.statement("INSERT INTO meta VALUES (?,?)")
            try insert.run("store_id", id.bytes)
            try insert.run("key_secret", secret.bytes)
        }
        return (id, secret)
    }

    /// Fills the memory from the database and the ends of the logs.
    private func load(_ core: WriterCore, isRebuilt: Bool) throws {
        let connection = core.connection
        var state = StoreState()
        state.store = id
        try loadAccounts(connection, &state)
        try loadConversations(connection, &state)
        try loadPeers(connection, &state)
        try loadReads(connection, &state)
        try loadEpochs(connection, &state)
        try loadCommit(connection, &state)
        let isClean = try Store.takeCleanMark(connection)
        let journal = try loadJournal(core, &state)
        let known = state.conversations.values.reduce(state.commit) { max($0, $1.lastCommit) }
        let recovery = StoreRecovery(store: self, connection: connection, journal: journal, isRebuilt: isRebuilt)
        try recovery.run(&state, isClean: isClean)
        try fillTails(journal, &state)
        if state.general == 0 {
            let general = try connection.transaction {
                try insertConversation(kind: .general, name: "general", users: [], accounts: nil, on: connection)
            }
            state.add(general)
        }
        state.commit = state.conversations.values.reduce(state.commit) { max($0, $1.lastCommit) }
        // Commits that were found in the logs alone: what else belonged to them nobody knows.
        try beginEpoch(at: min(known, state.commit).next, connection, &state)
        self.state.signal { $0 = state }
    }

    private func loadAccounts(_ connection: Connection, _ state: inout StoreState) throws {
        let accounts = try connection.statement(
            "SELECT number,name,password,admin,disabled,created,last_seen,last_address FROM account")
        while try accounts.step() {
            let id = AccountID(rawValue: accounts.int64(0))
            let name = UserName(trusted: accounts.text(1))
            state.accounts[id] = AccountState(
                id: id, name: name, passwordHash: accounts.text(2), isAdmin: accounts.bool(3),
                isDisabled: accounts.bool(4), created: Timestamp(milliseconds: accounts.int64(5)),
                lastSeen: accounts.isNull(6) ? nil : Timestamp(milliseconds: accounts.int64(6)),
                lastAddress: accounts.optionalText(7))
            state.accountKeys[name.caseKey] = id
        }
        let tokens = try connection.statement(
            "SELECT digest,number,account,scope,created,expires,label,scope_id,last_used,last_address FROM token")
        while try tokens.step() {
            guard let digest = Digest(bytes: tokens.blob(0)), let scope = Scope(tokens.text(3)) else { continue }
            state.tokens[digest] = TokenState(
                number: tokens.int64(1), account: AccountID(rawValue: tokens.int64(2)), scope: scope,
                scopeID: ConversationID(bytes: tokens.blob(7)), label: tokens.optionalText(6),
                lastUsed: tokens.isNull(8) ? nil : Timestamp(milliseconds: tokens.int64(8)),
                lastAddress: tokens.optionalText(9), created: Timestamp(milliseconds: tokens.int64(4)),
                expires: tokens.isNull(5) ? nil : Timestamp(milliseconds: tokens.int64(5)))
        }
    }

    private func loadConversations(_ connection: Connection, _ state: inout StoreState) throws {
        var members: [Int64: [Int64: ConversationState.Membership]] = [:]
        let rows = try connection.statement("SELECT conversation,account,is_admin,since_commit FROM membership")
        while try rows.step() {
            members[rows.int64(0), default: [:]][rows.int64(1)] = ConversationState.Membership(
                isAdmin: rows.bool(2), since: Commit(rows.uint64(3)))
        }
        var sent: [Int64: [String: UInt64]] = [:]
        let counts = try connection.statement("SELECT conversation,sender,count FROM sent")
        while try counts.step() { sent[counts.int64(0), default: [:]][counts.text(1)] = counts.uint64(2) }
        let conversations = try connection.statement(
            """
            SELECT number,id,kind,name,is_open,user_a,user_b,is_deleted,sealed_seq,sealed_hash,sealed_commit,sealed_time
            FROM conversation
            """)
        while try conversations.step() {
            guard let id = ConversationID(bytes: conversations.blob(1)),
                let kind = ConversationKind(rawValue: UInt8(truncatingIfNeeded: conversations.int64(2))),
                let hash = Digest(bytes: conversations.blob(9))
            else {
                throw StoreOpenError.damaged(
                    "the database '\(connection.path)' has a malformed row for conversation \(conversations.int64(0))")
            }
            let accounts = kind == .personal ? (conversations.int64(5), conversations.int64(6)) : nil
            let users = accounts.map { accounts in
                [accounts.0, accounts.1].compactMap { state.accounts[AccountID(rawValue: $0)]?.name.text }
                    .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            }
            let conversation = ConversationState(
                identity: ConversationIdentity(
                    number: conversations.int64(0), id: id, kind: kind, name: conversations.text(3), users: users ?? []),
                isOpen: conversations.bool(4), accounts: accounts, sealedSeq: Seq(conversations.uint64(8)),
                sealedHash: hash, sealedCommit: Commit(conversations.uint64(10)),
                lastServerTime: Timestamp(milliseconds: conversations.int64(11)))
            conversation.isDeleted = conversations.bool(7)
            conversation.members = members[conversation.identity.number] ?? [:]
            conversation.sent = sent[conversation.identity.number] ?? [:]
            state.add(conversation)
        }
    }

    private func loadPeers(_ connection: Connection, _ state: inout StoreState) throws {
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

    private func loadReads(_ connection: Connection, _ state: inout StoreState) throws {
        let marks = try connection.statement("SELECT account,conversation,seq,own_before FROM read_mark")
        while try marks.step() {
            state.accounts[AccountID(rawValue: marks.int64(0))]?.reads[marks.int64(1)] = ReadMark(
                seq: Seq(marks.uint64(2)), ownBefore: marks.uint64(3))
        }
        let changes = try connection.statement("SELECT account,max(commit_number) FROM change GROUP BY account")
        while try changes.step() {
            let commit = Commit(changes.uint64(1))
            state.accounts[AccountID(rawValue: changes.int64(0))]?.lastChange = commit
            state.commit = max(state.commit, commit)
        }
    }

    /// The newest commit that no row of its own remembers.
    private func loadCommit(_ connection: Connection, _ state: inout StoreState) throws {
        let statement = try connection.statement("SELECT value FROM meta WHERE key='commit'")
        if try statement.step() { state.commit = max(state.commit, Commit(statement.uint64(0))) }
    }

    private func loadEpochs(_ connection: Connection, _ state: inout StoreState) throws {
        let epochs = try connection.statement("SELECT value,first_commit FROM epoch ORDER BY run")
        while try epochs.step() {
            state.epochs.append((Epoch(rawValue: epochs.uint64(0)), Commit(epochs.uint64(1))))
        }
    }

    /// Reads the journal. A row that can't be read holds messages that were acknowledged, nobody knows whose: to go on would
    /// give their numbers to others, so the store is not opened.
    ///
    /// - Returns: for each conversation what the journal has of it, by seq.
    private func loadJournal(_ core: WriterCore, _ state: inout StoreState) throws -> [Int64: [Record]] {
        var found: [Int64: [Record]] = [:]
        let rows = try core.connection.statement("SELECT number,data FROM batch ORDER BY number")
        while try rows.step() {
            let commit = Commit(rows.uint64(0) / 2)
            state.commit = max(state.commit, commit)
            do {
                try rows.withBlob(1) { bytes in
                    state.journalBytes += bytes.count
                    try Batch.decode(bytes) { entry in
                        if let key = entry.key {
                            core.remember(
                                key, conversation: entry.conversation, seq: entry.record.seq,
                                commit: entry.record.commit)
                        }
                        found[entry.conversation, default: []].append(entry.record)
                    }
                }
            } catch {
                throw StoreOpenError.damaged(
                    "the journal's batch \(commit) in '\(core.connection.path)' is damaged: \(error); 'natterd fsck' tells "
                        + "more, and a backup has it whole")
            }
        }
        // A tail that was moved up stands in the journal twice, the second time behind newer messages.
        return found.mapValues { $0.sorted { $0.seq < $1.seq } }
    }

    /// What the journal has beyond the sealed end of each conversation is its tail, without a hole.
    private func fillTails(_ journal: [Int64: [Record]], _ state: inout StoreState) throws {
        for (number, records) in journal {
            guard let conversation = state.conversations[number] else { continue }
            for record in records where record.seq == conversation.head.next {
                conversation.append(record, hash: HashChain.advance(conversation.headHash, over: record))
            }
            if let last = records.last, last.seq > conversation.head {
                throw StoreOpenError.damaged(
                    "the journal in '\(Store.databasePath(directory))' has messages up to \(last.seq) of conversation "
                        + "\(conversation.identity.id), but not \(conversation.head.next); 'natterd fsck' tells more")
            }
        }
    }

    /// Whether the store was closed in order; the mark is taken away, so that the next crash shows.
    private static func takeCleanMark(_ connection: Connection) throws -> Bool {
        let statement = try connection.statement("SELECT 1 FROM meta WHERE key='clean'")
        let isClean = try statement.step()
        statement.reset()
        if isClean { try connection.execute("DELETE FROM meta WHERE key='clean'") }
        return isClean
    }

    private func beginEpoch(at first: Commit, _ connection: Connection, _ state: inout StoreState) throws {
        var random = SecureRandom()
        let run = (state.epochs.last?.epoch.run ?? 0) &+ 1
        let epoch = Epoch(run: run, random: UInt32(truncatingIfNeeded: random.next()))
        // Runs in which nothing was committed leave no cursor behind that names them.
        state.epochs.removeAll { $0.firstCommit >= first }
        state.epochs.append((epoch, first))
        let kept = state.epochs
        try connection.transaction {
            let delete = try connection.statement("DELETE FROM epoch WHERE first_commit>=?")
            try delete.run(first.rawValue)
            let insert = try connection.statement("INSERT INTO epoch VALUES (?,?,?)")
            try insert.run(Int64(run), epoch.rawValue, first.rawValue)
        }
        state.epochs = kept
        try StoreRecovery.writeMark(epoch, in: directory, disk: disk)
    }
}
