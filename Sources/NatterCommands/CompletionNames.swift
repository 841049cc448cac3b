internal import NatterCommandLine
internal import NatterClient

/// The names that a shell offers. They come from the files of the home directory, because completion makes no request.
enum CompletionNames {
    /// A longer list would not help the user.
    static let limit = 1_000

    @Sendable static func find(
        _ kind: WordKind.Names, from start: String, _ arguments: Arguments, _ console: Console
    ) throws -> [String] {
        let context = Context(arguments, console)
        switch kind {
        case .profiles: return try context.home().profileNames()
        case .settings: return Setting.names
        case .users, .conversations, .groups, .watches: return try known(kind, from: start, context)
        }
    }

    /// The names that the account in use knows.
    private static func known(_ kind: WordKind.Names, from start: String, _ context: Context) throws -> [String] {
        let account = try context.offlineAccount()
        guard let location = try context.home().replica(of: account) else { return [] }
        let words = context.arguments
        if kind == .watches || words.path == ["watch"] && words.operands.first == "drop" {
            return try WatchPlace.all(in: WatchPlace.directory(of: location)).map(\.place.title)
        }
        guard let replica = try Replica.open(at: location) else { return [] }
        return switch kind {
        // Every command takes a user's name with '@', too.
        case .users where start.hasPrefix("@"): try addressed(replica, from: start)
        case .users: try users(replica, from: start)
        case .groups: try replica.groupNames(from: start, limit: limit)
        default: try conversations(replica, from: start)
        }
    }

    /// All users, with those that have a conversation first.
    private static func users(_ replica: Replica, from start: String) throws -> [String] {
        let known = try replica.correspondents(from: start, limit: limit)
        let all = try replica.userNames(from: start, limit: limit)
        let listed = Set(all)
        return known.filter { !listed.contains($0) } + all
    }

    /// The users, each with `@`, and the one of one's own notes.
    private static func addressed(_ replica: Replica, from start: String) throws -> [String] {
        let users = try users(replica, from: String(start.dropFirst()))
        return ["@me"].filter { $0.hasPrefix(start) } + users.map { "@" + $0 }
    }

    /// Offers all users only after `@`, because most of them have no conversation with this user.
    private static func conversations(_ replica: Replica, from start: String) throws -> [String] {
        if start.hasPrefix("@") { return try addressed(replica, from: start) }
        let correspondents = start.isEmpty ? try replica.correspondents(from: "", limit: limit) : []
        return ["general"].filter { $0.hasPrefix(start.lowercased()) }
            + (try replica.groupNames(from: start, limit: limit)) + correspondents.map { "@" + $0 }
    }
}
