internal import NatterModel
internal import NatterSystem

/// All accounts in the order of their names, so that a page of them costs no more on a large server than on a small
/// one. A copy costs nothing until an account is added.
struct AccountNames: Sendable {
    struct Entry: Sendable {
        /// The name's case key.
        let key: String
        let id: AccountID
    }

    private(set) var entries: [Entry] = []

    init() {}

    init(_ accounts: some Sequence<AccountState>) {
        entries = accounts.map { Entry(key: $0.name.caseKey, id: $0.id) }
        entries.sort { AccountNames.precedes($0.key, $1.key) }
    }

    mutating func add(_ key: String, _ id: AccountID) {
        entries.insert(Entry(key: key, id: id), at: index(behind: key))
    }

    /// The index of the first name behind this one, which need not be a name here.
    func index(behind key: String) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if AccountNames.precedes(key, entries[middle].key) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    static func precedes(_ one: String, _ other: String) -> Bool {
        one.utf8.lexicographicallyPrecedes(other.utf8)
    }
}

extension Store {
    /// How many names a page looks through, by its pattern, and how many accounts it looks up. Then it ends with `more`.
    private static let pageNames = 100_000
    private static let pageGlobNames = 20_000
    private static let pageLookups = 10_000
    /// How many accounts are looked up while the lock is held once.
    private static let lockedLookups = 256

    /// Looks something up for each item, in parts, so that the lock that everybody needs is never held long.
    func lookUp<Item, Found>(_ items: some Collection<Item>, _ find: (inout StoreState, Item) -> Found?) -> [Found] {
        var found: [Found] = []
        var rest = items[...]
        while !rest.isEmpty {
            state.withLock { state in
                for item in rest.prefix(Store.lockedLookups) {
                    if let one = find(&state, item) { found.append(one) }
                }
            }
            rest = rest.dropFirst(Store.lockedLookups)
        }
        return found
    }

    /// Users by name.
    public func users(_ query: UserQuery) -> UserPage {
        let now = clock.now()
        let names = state.withLock { $0.names }
        let pattern = query.pattern.flatMap { $0.isEmpty ? nil : NamePattern($0) }
        var next = query.after.map { names.index(behind: NameRule.caseKey($0)) } ?? 0
        let end = min(names.entries.count, next + (pattern?.isGlob == true ? Store.pageGlobNames : Store.pageNames))
        var users: [(place: Int, view: UserView)] = []
        var lookups = 0
        while next < end, users.count <= query.limit, lookups < Store.pageLookups {
            var candidates: [Int] = []
            while next < end, candidates.count < min(Store.lockedLookups, query.limit + 1) {
                if pattern?.matches(key: names.entries[next].key) ?? true { candidates.append(next) }
                next += 1
            }
            lookups += candidates.count
            users += lookUp(candidates) { state, place in
                guard let account = state.accounts[names.entries[place].id], !account.isDisabled,
                    !query.onlineOnly || account.isOnline(at: now)
                else { return nil }
                return (place, account.view(at: now))
            }
        }
        let page = users.prefix(query.limit)
        if let first = users.dropFirst(query.limit).first { next = first.place }
        let hasMore = next < names.entries.count
        // A page that its filter left short ends behind the last name that it looked at.
        let isFull = page.count == query.limit
        return UserPage(
            users: page.map(\.view), more: hasMore,
            next: hasMore && !isFull ? names.entries[next - 1].key : page.last?.view.name ?? query.after)
    }

    /// All accounts, the last seen first.
    public func accountViews() -> [AccountView] {
        let now = clock.now()
        let names = state.withLock { $0.names }
        return lookUp(names.entries) { state, entry in state.accounts[entry.id]?.adminView(at: now) }
            .sorted { one, other in
                (one.lastSeen ?? one.created, other.name) > (other.lastSeen ?? other.created, one.name)
            }
    }

    /// Accounts as users see them, by name.
    func views(of accounts: some Collection<AccountID>) -> [UserView] {
        let now = clock.now()
        return lookUp(accounts) { state, id in
            state.accounts[id].map { (key: $0.name.caseKey, view: $0.view(at: now)) }
        }.sorted { AccountNames.precedes($0.key, $1.key) }.map(\.view)
    }
}

extension AccountState {
    func view(at now: Timestamp) -> UserView {
        UserView(name: name.text, isOnline: isOnline(at: now), lastSeen: lastSeen)
    }

    func adminView(at now: Timestamp) -> AccountView {
        AccountView(
            name: name.text, isAdmin: isAdmin, isDisabled: isDisabled, created: created, lastSeen: lastSeen,
            lastAddress: lastAddress, isOnline: !isDisabled && isOnline(at: now))
    }
}
