internal import NatterConversation
internal import NatterModel

/// Conversations in the order of their names. Those of one account are sorted when a list is asked for, and dropped when a
/// name or a membership changes, so that a page costs no more for an account with many conversations.
struct ConversationListing: Sendable {
    struct Entry: Sendable {
        /// The account's name for it.
        let name: String
        let number: Int64
    }

    private(set) var entries: [Entry]

    init(_ entries: [Entry]) {
        self.entries = entries.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    /// The entries behind a name, which need not be here.
    func behind(_ name: String?) -> ArraySlice<Entry> {
        guard let name else { return entries[...] }
        return entries[entries.indices.partitionPoint { name.utf8.lexicographicallyPrecedes(entries[$0].name.utf8) }...]
    }

    mutating func insert(_ entry: Entry) { entries.insert(entry, at: behind(entry.name).startIndex) }

    mutating func remove(_ name: String) {
        let last = behind(name).startIndex - 1
        if entries.indices.contains(last), entries[last].name == name { entries.remove(at: last) }
    }
}

/// The conversations of a store in the order of their last commits, so that a sync with little news need not look at
/// each conversation of its reader.
struct CommitOrder: Sendable {
    /// A conversation is here once for each of its commits since the array was made. Its last entry counts.
    private var entries: [(commit: Commit, conversation: Int64)]
    private var limit: Int

    init(_ conversations: some Collection<ConversationState>) {
        entries = conversations.map { (max($0.lastCommit, $0.firstCommit, $0.erasedCommit), $0.identity.number) }
        entries.sort { $0.commit < $1.commit }
        limit = CommitOrder.limit(entries.count)
    }

    private static func limit(_ count: Int) -> Int { 2 * count + 1_024 }

    mutating func note(_ conversation: Int64, at commit: Commit) {
        // In bulk, one conversation has many commits in a row.
        if entries.last?.conversation == conversation { entries.removeLast() }
        entries.append((commit, conversation))
        guard entries.count > limit else { return }
        var seen: Set<Int64> = []
        entries = entries.reversed().filter { seen.insert($0.conversation).inserted }.reversed()
        limit = CommitOrder.limit(entries.count)
    }

    /// The conversations with a commit after this one, the newest first; nil if they may be more than `most`.
    func changed(after commit: Commit, most: Int) -> [Int64]? {
        var found: [Int64] = []
        var seen: Set<Int64> = []
        for (looked, entry) in entries.reversed().enumerated() {
            if entry.commit <= commit { return found }
            if seen.insert(entry.conversation).inserted { found.append(entry.conversation) }
            if found.count > most || looked > CommitOrder.limit(most) { return nil }
        }
        return found
    }
}
