internal import NatterCLI
internal import NatterModel
internal import NatterWire

/// Users in columns: the name, what else there is to say, whether online, and when last seen.
struct UserTable {
    private let context: Context
    private let isTerminal: Bool
    private let now: Timestamp
    private var table: Table

    /// - Parameter more: headings of columns between the name and the state.
    init(_ context: Context, more: [Phrase] = []) {
        self.context = context
        isTerminal = context.console.output.isTerminal
        now = context.now
        table = Table(
            Array(repeating: .left, count: more.count + 3),
            header: isTerminal ? ["NAME"] + more + ["STATE", "LAST SEEN"] : nil)
    }

    mutating func add(_ user: UserObject, _ more: [String] = []) {
        add(user.name, more, isOnline: user.online, lastSeen: user.lastSeen)
    }

    /// - Parameter lastSeen: RFC 3339; nil for never.
    mutating func add(_ name: String, _ more: [String], isOnline: Bool, lastSeen: String?) {
        var seen = lastSeen ?? ""
        if isTerminal, let time = Timestamp(rfc3339: seen) { seen = Age.text(of: time, now: now).text }
        table.add([name] + more + [context.console.output.word(isOnline ? "online" : "offline"), seen])
    }

    /// All of them; with `--json` the objects.
    static func write(_ users: [UserObject], _ context: Context) throws {
        guard !context.wantsJSON else {
            for user in users { try context.console.output.writeJSON(WireJSON.encode(user)) }
            return
        }
        var table = UserTable(context)
        for user in users { table.add(user) }
        try table.write()
    }

    func write() throws { try table.write(to: context.console.output, paint: context.paint) }
}
