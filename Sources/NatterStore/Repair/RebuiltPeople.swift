internal import NatterConversation
internal import NatterSystem
internal import NatterLog
internal import NatterModel
internal import NatterSQLite

/// Recreates accounts and conversations that only the logs still know.
final class RebuiltPeople {
    private let connection: Connection
    private let now: Timestamp
    private var accounts: [String: Int64] = [:]
    private var groups: Set<String> = []
    /// A random password that nobody knows. An administrator must set another.
    private lazy var nobodysPassword = PasswordHash(of: Token.random().text)
    /// The names of accounts that were created.
    private(set) var made: [String] = []
    /// The highest numbers that rows name, also those of accounts and conversations whose own rows are lost. Under such a
    /// number another account would get foreign tokens, and another conversation foreign members and messages.
    private var highest: (account: Int64, conversation: Int64)

    private static let accountColumns = [
        ("account", "number"), ("token", "account"), ("membership", "account"), ("membership", "adder"),
        ("read_mark", "account"),
        ("change", "account"), ("contact", "account"), ("contact", "peer"), ("block_list", "account"),
        ("block_list", "peer"), ("conversation", "user_a"), ("conversation", "user_b"), ("conversation", "maker"),
        ("erasure", "author"),
    ]
    private static let conversationColumns = [
        ("conversation", "number"), ("membership", "conversation"), ("read_mark", "conversation"),
        ("change", "conversation"), ("loss", "conversation"), ("erasure", "conversation"),
        ("import_key", "conversation"), ("import_file", "conversation"),
    ]

    /// - Parameters:
    ///   - journal: may have messages of conversations whose rows are lost.
    ///   - erased: accounts that stay erased, with their numbers, which events in the logs name.
    init(
        _ connection: Connection, now: Timestamp, journal: JournalContents,
        erased: [RememberedErasures.Account]
    ) throws(SQLiteError) {
        (self.connection, self.now) = (connection, now)
        func highest(_ columns: [(table: String, name: String)]) throws(SQLiteError) -> Int64 {
            var found: Int64 = 0
            for column in columns {
                // A damaged row may name any.
                let sql = "SELECT coalesce(max(\(column.name)),0) FROM \(column.table) WHERE \(column.name) < 1<<62"
                found = max(found, try connection.row(sql) { $0.int64(0) } ?? 0)
            }
            return found
        }
        let former = try StateLoader.highestNumbers(on: connection)
        self.highest = (
            max(former.account, try highest(RebuiltPeople.accountColumns)),
            max(former.conversation, try highest(RebuiltPeople.conversationColumns), journal.conversations.max() ?? 0)
        )
        let rows = try connection.statement("SELECT name_key,number FROM account")
        while try rows.step() { accounts[rows.text(0)] = rows.int64(1) }
        groups = Set(
            try connection.rows("SELECT name_key FROM conversation WHERE kind=1 AND is_deleted=0") { $0.text(0) })
        let insert = try connection.statement(
            """
            INSERT INTO account (number,name,name_key,password,disabled,created)
            SELECT CASE WHEN EXISTS (SELECT 1 FROM account WHERE number=?1) THEN NULL ELSE ?1 END,?2,?3,'',1,?4
            """)
        for account in erased where accounts[account.name.caseKey] == nil {
            try insert.run(
                account.id.rawValue, account.name.text, account.name.caseKey, account.created.milliseconds)
            accounts[account.name.caseKey] = connection.lastInsertedRow
            self.highest.account = max(self.highest.account, connection.lastInsertedRow)
        }
    }

    /// Finds the account of a name, or creates it. A name that has written once is never given to another account.
    func account(_ name: String) throws(SQLiteError) -> Int64 {
        let key = NameRule.caseKey(name)
        if let known = accounts[key] { return known }
        try insert(name, as: highest.account + 1)
        return highest.account
    }

    private func insert(_ name: String, as number: Int64) throws(SQLiteError) {
        let key = NameRule.caseKey(name)
        try connection.run(
            "INSERT INTO account (number,name,name_key,password,created) VALUES (?,?,?,?,?)", number, name, key,
            nobodysPassword?.text ?? "", now.milliseconds)
        highest.account = max(highest.account, number)
        accounts[key] = number
        made.append(name)
    }

    /// Makes the accounts that sent messages and have no row, under their own numbers if these are known: the tokens of their
    /// holders are good again.
    ///
    /// - Parameter senders: names with numbers.
    func addSenders(_ senders: [String: Int64?]) throws(SQLiteError) {
        let missing = senders.filter { accounts[NameRule.caseKey($0.key)] == nil }.sorted { $0.key < $1.key }
        var taken = Set(accounts.values)
        for case let (name, number?) in missing where taken.insert(number).inserted { try insert(name, as: number) }
        // Afterwards, so that none of the others gets such a number.
        for (name, _) in missing { _ = try account(name) }
    }

    /// Records the numbers that are never given again, because not all that names them has a row of its own.
    func keepNumbers() throws(SQLiteError) {
        try connection.setMeta(.highestAccount, highest.account)
        try connection.setMeta(.highestConversation, highest.conversation)
    }

    /// The accounts of two names.
    func pair(_ one: String, _ other: String) throws(SQLiteError) -> AccountPair {
        AccountPair(AccountID(rawValue: try account(one)), AccountID(rawValue: try account(other)))
    }

    /// The users of a personal conversation by its id; nil if not both have accounts, or none is known.
    ///
    /// - Parameter known: has one of them. To try all pairs of accounts would take too long.
    func users(of id: ConversationID, in store: StoreID, knowing known: Set<String>) throws(SQLiteError) -> [String]? {
        let names = try connection.rows("SELECT name FROM account") { $0.text(0) }
        for one in known.sorted() {
            for other in names {
                let users = ConversationID.inOrder([one, other])
                if ConversationID.derived(store: store, kind: .personal, users: users) == id { return users }
            }
        }
        return nil
    }

    /// A conversation as its log describes it.
    struct Origin {
        let kind: ConversationKind
        let name: String
        let users: [String]
        let history: GroupHistory
    }

    /// Creates the row of a conversation.
    ///
    /// - Parameter number: under which the journal has messages of it, if that is known.
    func conversation(
        _ id: ConversationID, _ origin: Origin, as number: Int64? = nil
    ) throws(SQLiteError) -> ConversationIdentity {
        var name = origin.name
        var pair: AccountPair?
        switch origin.kind {
        case .general: name = "general"
        case .group:
            // If two groups have the same name, one was deleted or renamed. Only the lost database knew which.
            if !origin.history.isDeleted, !groups.insert(NameRule.caseKey(name)).inserted {
                name = "\(String(decoding: name.utf8.prefix(48), as: UTF8.self))~\(id.description.prefix(8))"
                groups.insert(NameRule.caseKey(name))
            }
        case .personal:
            pair = try self.pair(origin.users.first ?? "", origin.users.last ?? "")
        }
        let insert = try connection.statement(
            """
            INSERT INTO conversation (number,id,kind,name,name_key,is_open,user_a,user_b,is_deleted,sealed_hash,topic)
            VALUES (?,?,?,?,?,?,?,?,?,?,?)
            """)
        let number = number ?? highest.conversation + 1
        highest.conversation = max(highest.conversation, number)
        try insert.run(
            number, id.bytes, Int(origin.kind.rawValue), name, NameRule.caseKey(name), origin.history.isOpen,
            pair?.first.rawValue, pair?.second.rawValue, origin.history.isDeleted, HashChain.start(of: id).bytes,
            origin.history.topic)
        if origin.kind == .group { try addMembers(origin.history, to: number) }
        return ConversationIdentity(number: number, id: id, kind: origin.kind, name: name, users: origin.users)
    }

    /// Creates the accounts of the members that have none.
    func addAccounts(of history: GroupHistory) throws(SQLiteError) {
        for name in history.members.keys.sorted() where name.utf8.first != ErasedAccount.mark { _ = try account(name) }
    }

    private func addMembers(_ history: GroupHistory, to group: Int64) throws(SQLiteError) {
        guard !history.isDeleted else { return }
        let insert = try connection.statement("INSERT OR REPLACE INTO membership VALUES (?,?,?,?,?)")
        for (name, member) in history.members.sorted(by: { $0.key < $1.key })
        where name.utf8.first != ErasedAccount.mark {
            let adder = member.adder.flatMap { accounts[NameRule.caseKey($0)] }
            try insert.run(group, try account(name), member.isAdmin, member.since.rawValue, adder)
        }
    }
}
