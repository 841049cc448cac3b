internal import NatterCLI
internal import NatterClient

/// `__names KIND [START]`: prints names for a shell to offer, one a line. It asks nobody but the replica, and where there
/// is none it prints nothing: whoever presses a key for completion wants no error.
enum NamesCommand {
    static let name = "__names"
    /// A person who is shown more would type another letter.
    static let limit = 1_000

    static let spec = CommandSpec(
        name, "print names for a shell's completion", isHidden: true,
        operands: [
            .required("KIND", oneOf: ["users", "conversations", "groups"], "which names"),
            .optional("START", "what they begin with"),
        ],
        run: { arguments, console in
            guard let names = try? names(Context(arguments, console)) else { return .success }
            for name in names { try console.output.writeLine(name) }
            return .success
        })

    private static func names(_ context: Context) throws -> [String] {
        let account = try context.offlineAccount()
        guard let user = account.name, let store = account.store,
            let replica = try Replica.open(at: try context.home().replica(store: store, user: user))
        else { return [] }
        let start = context.arguments.operand("START") ?? ""
        switch context.arguments.operand("KIND") {
        case "users": return try users(replica, from: start, withUnknown: true)
        case "groups": return try replica.groupNames(from: start, limit: limit)
        default: return try conversations(replica, from: start)
        }
    }

    /// - Parameter withUnknown: also users with whom there is no conversation yet.
    private static func users(_ replica: Replica, from start: String, withUnknown: Bool) throws -> [String] {
        let known = try replica.correspondents(from: start, limit: limit)
        guard withUnknown else { return known }
        let all = try replica.userNames(from: start, limit: limit)
        let listed = Set(all)
        return known.filter { !listed.contains($0) } + all
    }

    /// Only behind an `@` come all users: to most of them nothing was ever written.
    private static func conversations(_ replica: Replica, from start: String) throws -> [String] {
        if start.hasPrefix("@") {
            let users = try users(replica, from: String(start.dropFirst()), withUnknown: true)
            return ["@me"].filter { $0.hasPrefix(start) } + users.map { "@" + $0 }
        }
        var names = ["general"].filter { $0.hasPrefix(start.lowercased()) }
        names += try replica.groupNames(from: start, limit: limit)
        guard start.isEmpty else { return names }
        return names + (try users(replica, from: "", withUnknown: false)).map { "@" + $0 }
    }
}
