package import NatterSystem
package import NatterModel
package import NatterStore
package import SystemSupport
internal import TestSupport

extension Store {
    /// The account of a token, if the token is good.
    package func principal(of token: Token, address: String) -> Principal? {
        if case .good(let principal) = authenticate(token, address: address) { principal } else { nil }
    }
}

extension Store {
    /// A whole answer of sync.
    package func changes(
        since position: SyncPosition, earliest: Timestamp? = nil, for principal: Principal, form: SyncAnswer.Form,
        limitBytes: Int
    ) throws(StoreError) -> SyncAnswer {
        let plan = try planSync(
            since: position, earliest: earliest, for: principal, form: form, limitBytes: limitBytes)
        while true {
            if let answer = try plan.next() { return answer }
        }
    }
}

/// The reports of a store so far.
package final class Reports: Sendable {
    private let all = Monitor<[String]>([])

    package var lines: [String] { all.withLock { $0 } }
    package func add(_ line: String) { all.withLock { $0.append(line) } }
    package func contains(_ part: String) -> Bool { lines.contains { $0.contains(part) } }
}

/// A store whose users need no password, with calls that wait for their answer.
package final class TestStore: Sendable {
    /// The directory of the data.
    package let directory: String
    package let disk: any Disk
    package let clock: TestClock
    package let reports: Reports
    /// The temporary directory, if the store has created one. It is removed with the store.
    private let own: TemporaryDirectory?
    private let open: @Sendable () throws -> Store
    private let opened: Monitor<Store>
    private let users = Monitor<[String: Principal]>([:])

    package var store: Store { opened.withLock { $0 } }

    /// - Parameters:
    ///   - directory: the data directory, or nil for a new temporary directory.
    ///   - journalBytes: the limit of the journal, or nil for the standard one.
    ///   - users: users to register now. Others are registered when they are first named.
    ///   - open: opens the store over another engine.
    ///
    /// A new store without a disk of its own is in PostgreSQL if the tests are run so.
    package init(
        _ directory: String? = nil, disk: any Disk = PosixDisk(), clock: TestClock = TestClock(stepMilliseconds: 1),
        journalBytes: Int? = nil, users: [String] = [], open: (@Sendable (Store.Options) throws -> Store)? = nil
    ) throws {
        let own = directory == nil ? try TemporaryDirectory() : nil
        let path = directory ?? own?("data") ?? ""
        let reports = Reports()
        var options = Store.Options()
        if let journalBytes { options.journalBytes = journalBytes }
        options.report = { reports.add($0.english) }
        options.failed = { reports.add("failed: \($0)") }
        let isShared = PostgresCluster.servesTests && directory == nil && disk is PosixDisk && open == nil
        let shared = isShared ? try SharedStore(PostgresCluster.makeSchema()) : nil
        let open = { @Sendable [options] in
            if let shared { return try Store.open(shared, cache: path, clock: clock, options: options) }
            return try open?(options) ?? Store.open(path, disk: disk, clock: clock, options: options)
        }
        (self.own, self.directory, self.disk, self.clock) = (own, path, disk, clock)
        (self.reports, self.open) = (reports, open)
        opened = Monitor(try open())
        for name in users { _ = try user(name) }
    }

    deinit { store.close() }

    /// Closes the store, calls `change`, and opens the store again.
    package func reopen(_ change: (String) throws -> Void = { _ in }) throws {
        store.close()
        users.withLock { $0 = [:] }
        try change(directory)
        let again = try open()
        opened.withLock { $0 = again }
    }

    /// A user by name. The first call registers them.
    package func user(_ name: String) throws -> Principal {
        if let known = users.withLock({ $0[name] }) { return known }
        guard let principal = store.principal(of: try token(name), address: "127.0.0.1") else {
            throw StoreError.noSuchUser(name)
        }
        users.withLock { $0[name] = principal }
        return principal
    }

    /// A new session of a user.
    package func token(_ name: String) throws -> Token {
        let account: AccountID
        if let known = store.credentials(of: name) {
            account = known.account
        } else {
            let user = try UserName(name)
            account = try waitFor { store.register(user, password: PasswordHash(stored: "$none"), $0) }.get()
        }
        return try waitFor { store.addSession(of: account, expires: nil, $0) }.get()
    }

    @discardableResult
    package func post(
        _ texts: [String], to conversation: String = "general", by name: String = "alice", key: String? = nil
    ) throws -> [PostOutcome] {
        let messages = texts.enumerated().map { index, text in
            NewMessage(
                conversation: conversation, text: text,
                key: key.flatMap { IdempotencyKey("\($0)\(index == 0 ? "" : ":\(index)")") })
        }
        return post(messages, by: try user(name))
    }

    package func post(_ messages: [NewMessage], by principal: Principal) -> [PostOutcome] {
        (try? waitFor { store.post(messages, by: principal, stopAtRefusal: false, $0) }) ?? []
    }

    /// Adds a member of a group, or changes one.
    package func put(_ name: String, in group: String, isAdmin: Bool? = nil, by principal: Principal) throws {
        _ = try waitFor { store.putMember(name, in: group, isAdmin: isAdmin, mayAdd: true, by: principal, $0) }.get()
    }

    /// Posts texts of about 100 bytes, 1,000 at a time.
    package func fill(
        _ count: Int, in conversation: String = "general", by name: String = "alice", label: String = "message"
    )
        throws
    {
        var next = 1
        while next <= count {
            let texts = (next..<min(count + 1, next + 1_000)).map { TestStore.text($0, label) }
            try post(texts, to: conversation, by: name)
            next += texts.count
        }
    }

    package static func text(_ number: Int, _ label: String = "message") -> String {
        "\(label) \(number): \(String(repeating: String(number &* 7_919, radix: 36), count: 12))"
    }

    /// Fills `general`, and seals it.
    package func seal(after count: Int) throws {
        try fill(count)
        try seal()
    }

    package func erasesDue() {
        store.eraseDue()
        store.waitForErasures()
    }

    /// Seals a conversation to its last message.
    package func seal(_ conversation: String = "general", as name: String = "alice") throws {
        let principal = try user(name)
        if let error = try waitFor({ try store.seal(conversation, for: principal, $0) }) { throw error }
    }

    package func page(
        _ conversation: String = "general", as name: String = "alice", _ change: (inout PageQuery) -> Void
    ) throws
        -> MessagePage
    {
        var query = PageQuery(conversation: conversation, limit: 100)
        change(&query)
        return try store.messages(query, for: try user(name))
    }

    /// All messages of a conversation, read page by page.
    package func all(_ conversation: String = "general", as name: String = "alice", limit: Int = 1_000) throws
        -> [Message]
    {
        var messages: [Message] = []
        var next = Seq.zero
        while true {
            let page = try page(conversation, as: name) { ($0.after, $0.limit) = (next, limit) }
            messages += page.messages
            next = page.next
            if !page.more { return messages }
        }
    }

    /// The files that imports have left behind.
    package func staged() throws -> [String] {
        try PosixDisk().list(directory + (store.isShared ? "/shared/import" : "/import"))
    }

    /// The paths of a conversation's log files. A shared store has none.
    package func logs(_ conversation: String = "general", as name: String = "alice") throws -> [String] {
        if store.isShared { return [] }
        let id = try store.conversation(conversation, for: try user(name)).id.description
        let path = "\(directory)/logs/\(id.prefix(2))/\(id)"
        return try PosixDisk().list(path).map { path + "/" + $0 }
    }
}

extension PostOutcome {
    package var message: Message? {
        switch self {
        case .posted(let message), .repeated(let message): message
        case .refused: nil
        }
    }

    package var refusal: StoreError? {
        if case .refused(let error) = self { error } else { nil }
    }

    package var isRepeated: Bool {
        if case .repeated = self { true } else { false }
    }
}
