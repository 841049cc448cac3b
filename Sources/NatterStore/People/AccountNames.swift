internal import NatterModel
internal import NatterSystem

/// All accounts in the order of their names, so that a page of them costs no more on a large server than on a small
/// one. A copy costs nothing until an account is added.
struct AccountNames: Sendable {
    /// The accounts, in the order of their names' case keys.
    private(set) var ids: [AccountID] = []
    /// The case keys in order, with a zero byte before and behind each, so that one search looks through all of them.
    private var keys: [UInt8] = [0]
    /// Where each key begins in `keys`, and where the next one would.
    private var starts = [1]

    init() {}

    init(_ accounts: some Sequence<AccountState>) {
        let sorted = accounts.map { (key: $0.name.caseKey, id: $0.id) }
            .sorted { AccountNames.precedes($0.key, $1.key) }
        for (key, id) in sorted { insert(key, id, at: ids.count) }
    }

    mutating func add(_ key: String, _ id: AccountID) { insert(key, id, at: index(behind: key)) }

    private mutating func insert(_ key: String, _ id: AccountID, at index: Int) {
        let bytes = Array(key.utf8) + [0]
        let start = starts[index]
        keys.insert(contentsOf: bytes, at: start)
        starts.insert(start, at: index)
        for later in starts.indices[(index + 1)...] { starts[later] += bytes.count }
        ids.insert(id, at: index)
    }

    private func bytes(at index: Int) -> ArraySlice<UInt8> { keys[starts[index]..<starts[index + 1] - 1] }

    func key(at index: Int) -> String { String(decoding: bytes(at: index), as: UTF8.self) }

    /// The index of the first name behind this one, which need not be a name here.
    func index(behind key: String) -> Int {
        ids.indices.partitionPoint { key.utf8.lexicographicallyPrecedes(bytes(at: $0)) }
    }

    /// The index of the first name in a range whose key has these bytes in it.
    func firstIndex(in range: Range<Int>, with part: [UInt8]) -> Int? {
        guard let first = range.first, !part.isEmpty else { return range.first }
        guard !part.contains(0), let offset = keys[starts[first]..<starts[range.upperBound]].offset(ofPart: part[...])
        else {
            return nil
        }
        let place = starts[first] + offset
        return range.partitionPoint { starts[$0] > place } - 1
    }

    static func precedes(_ one: String, _ other: String) -> Bool {
        one.utf8.lexicographicallyPrecedes(other.utf8)
    }
}

extension Store {
    /// How many names a page looks through, how many it compares with a glob, and how many accounts it looks up. Then it ends
    /// with `more`.
    private static let pageNames = 10_000
    private static let pageGlobs = 2_000
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
        let end = min(names.ids.count, next + Store.pageNames)
        var users: [(place: Int, view: UserView)] = []
        var (lookups, globs) = (0, 0)
        while next < end, users.count <= query.limit, lookups < Store.pageLookups, globs < Store.pageGlobs {
            var candidates: [Int] = []
            while next < end, candidates.count < min(Store.lockedLookups, query.limit + 1), globs < Store.pageGlobs {
                guard let found = names.firstIndex(in: next..<end, with: pattern?.part ?? []) else {
                    next = end
                    break
                }
                next = found + 1
                if let pattern, pattern.isGlob {
                    globs += 1
                    guard pattern.matches(key: names.key(at: found)) else { continue }
                }
                candidates.append(found)
            }
            lookups += candidates.count
            users += lookUp(candidates) { state, place in
                guard let account = state.accounts[names.ids[place]], !account.isDisabled,
                    !query.onlineOnly || account.isOnline(at: now)
                else { return nil }
                return (place, account.view(at: now))
            }
        }
        let page = users.prefix(query.limit)
        if let first = users.dropFirst(query.limit).first { next = first.place }
        let hasMore = next < names.ids.count
        // A page that its filter left short ends behind the last name that it looked at.
        let isFull = page.count == query.limit
        return UserPage(
            users: page.map(\.view), more: hasMore,
            next: hasMore && !isFull ? names.key(at: next - 1) : page.last?.view.name ?? query.after)
    }

    /// All accounts that were not erased, the last seen first.
    public func accountViews() -> [AccountView] {
        let now = clock.now()
        let names = state.withLock { $0.names }
        return lookUp(names.ids) { state, id in
            state.accounts[id].flatMap { $0.isErased ? nil : $0.adminView(at: now, state.files) }
        }
        .sorted { one, other in
            (one.lastSeen ?? one.created, other.name) > (other.lastSeen ?? other.created, one.name)
        }
    }

    /// Accounts as users see them, by name.
    func views(of accounts: some Collection<AccountID>) -> [UserView] {
        let now = clock.now()
        return lookUp(accounts) { state, id in
            state.accounts[id].flatMap { $0.isErased ? nil : (key: $0.name.caseKey, view: $0.view(at: now)) }
        }.sorted { AccountNames.precedes($0.key, $1.key) }.map(\.view)
    }
}

extension AccountState {
    /// An account as other users see it. The moment in which a request of theirs stops to wait would show who has written to
    /// them, so for those who wait, the present time stands for it.
    func view(at now: Timestamp) -> UserView {
        let waited = lastWaited.map { $0.advanced(milliseconds: Store.onlineMilliseconds) > now } ?? false
        return UserView(
            name: name.text, isOnline: isOnline(at: now), lastSeen: waiting > 0 || waited ? now : lastSeen,
            display: display)
    }

    func adminView(at now: Timestamp, _ files: FileUsage) -> AccountView {
        AccountView(
            name: name.text, isAdmin: isAdmin, isDisabled: isDisabled, created: created, lastSeen: lastSeen,
            lastAddress: lastAddress, isOnline: isOnline(at: now), fileBytes: files.bytes(of: id))
    }
}
