internal import NatterCommandLine
internal import NatterClient
internal import NatterHTTP
internal import NatterModel

/// `status`: prints unread and unsent messages.
enum StatusCommand {
    static let spec = CommandSpec(
        "status", "show unread and unsent messages", group: NatterProgram.Group.account,
        options: [
            .flag(
                "short", "print a short line for a prompt, or nothing if nothing waits",
                long:
                    "The '@' is about the newest 1,000 messages of each conversation. It prints nothing if you are not "
                    + "logged in.")
        ],
        description: [
            "Print your account, the server, the age of the last sync, the number of unread messages and what waits in "
                + "the outbox. It does not contact the server: everything is as of the last sync.",
            "With --short: the number of unread messages, with '@' if one of them has '@' and your name, then '+' and the number of messages in the outbox, or "
                + "nothing if both are 0.",
        ],
        examples: [Example("PS1='$(natter status --short) $ '", "use it in a prompt")], run: run)

    private struct Status: Encodable {
        /// nil for the token of a file of which it is not known yet.
        var name: String?
        var server: String
        var lastSync: String?
        /// The time at which the replica begins, if it was limited with `--since`.
        var earliest: String?
        var unread: UInt64
        /// Whether an unread message mentions the user.
        var mentioned: Bool?
        var waiting: Int
        var parked: Int
        /// How many replaced histories were set aside.
        var aside: Int

        enum CodingKeys: String, CodingKey {
            case name, server, earliest, unread, mentioned, waiting, parked, aside
            case lastSync = "last_sync"
        }
    }

    private static let run: CommandBody = inContext { context in
        let account: Account
        do {
            account = try context.offlineAccount()
        } catch  where context.arguments.flag("short") {
            // Without a session, a prompt shows nothing.
            return .success
        }
        let status = try read(account, context)
        if try context.writeJSON(status) { return .success }
        if context.arguments.flag("short") {
            let parts = [
                status.unread > 0 ? "\(status.unread)\(status.mentioned == true ? "@" : "")" : nil,
                status.waiting + status.parked > 0 ? "+\(status.waiting + status.parked)" : nil,
            ].compactMap { $0 }
            if !parts.isEmpty { try context.console.output.writeLine(parts.joined()) }
        } else {
            try write(status, context)
        }
        return .success
    }

    private static func read(_ account: Account, _ context: Context) throws -> Status {
        var status = Status(
            name: account.name, server: try context.address(of: account).description,
            lastSync: nil, unread: 0, waiting: 0, parked: 0, aside: 0)
        if let location = try context.home().replica(of: account), let replica = try Replica.open(at: location) {
            status.lastSync = replica.lastSync()?.rfc3339
            status.earliest = try replica.earliest()?.rfc3339
            status.aside = try DivergedHistory.all(at: replica.location).count
            let conversations = try replica.unreadConversations()
            // A server may have sent any numbers.
            status.unread = conversations.reduce(0) { $0 &+ $1.unread }
            // Messages are read for it, which is more than half of the command, and the table does not have it.
            if context.wantsJSON || context.arguments.flag("short"),
                try conversations.contains(where: { try replica.hasUnreadMention(in: $0) })
            {
                status.mentioned = true
            }
        }
        (status.waiting, status.parked) = try context.outbox().counts()
        return status
    }

    private static func write(_ status: Status, _ context: Context) throws {
        let output = context.console.output
        var table = Table([.left, .left])
        table.add([output.word("account"), status.name ?? ""])
        table.add([output.word("server"), status.server])
        table.add([output.word("last sync"), status.lastSync.map(context.age) ?? output.word("never")])
        if let earliest = status.earliest { table.add([output.word("begins on"), context.localTime(earliest)]) }
        table.add([
            output.word("unread"),
            output.isTerminal
                ? Phrase.plural(status.unread, "\(status.unread) message", "\(status.unread) messages").text
                : String(status.unread),
        ])
        table.add([output.word("waiting to be sent"), String(status.waiting)])
        if status.parked > 0 { table.add([output.word("refused by the server"), String(status.parked)]) }
        if status.aside > 0 { table.add([output.word("kept aside, lost by the server"), String(status.aside)]) }
        try table.write(to: output, isWhole: true)
    }
}
