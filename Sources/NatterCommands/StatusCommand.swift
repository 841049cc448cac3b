internal import NatterCLI
internal import NatterClient
internal import NatterHTTP
internal import NatterModel
internal import NatterWire

/// `status`: how things stand here.
enum StatusCommand {
    static let spec = CommandSpec(
        "status", "tell how things stand", group: NatterProgram.Group.account,
        options: [.flag("short", "one short line, for a prompt: nothing where nothing waits")],
        description: [
            "Prints the account, the server, the age of the last sync, how much is unread and what waits in the outbox. "
                + "It asks nobody: everything is as last synced.",
            "With --short: the number of unread messages, then '+' and the number of messages that wait to be sent, or "
                + "nothing at all.",
        ],
        examples: [Example("PS1='$(natter status --short) $ '", "in a prompt")], run: run)

    private struct Status: Encodable {
        var name: String
        var server: String
        var lastSync: String?
        /// Where a replica begins that was not to have everything.
        var earliest: String?
        var unread: UInt64
        var waiting: Int
        var parked: Int
        /// How many histories that the server lost lie aside.
        var aside: Int

        enum CodingKeys: String, CodingKey {
            case name, server, earliest, unread, waiting, parked, aside
            case lastSync = "last_sync"
        }
    }

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let account: Account
        do {
            account = try context.offlineAccount()
        } catch  where arguments.flag("short") {
            // A prompt has nothing to say of one who is not logged in.
            return .success
        }
        let status = try read(account, context)
        if context.wantsJSON {
            try console.output.writeJSON(WireJSON.encode(status))
        } else if arguments.flag("short") {
            let parts = [
                status.unread > 0 ? "\(status.unread)" : nil,
                status.waiting + status.parked > 0 ? "+\(status.waiting + status.parked)" : nil,
            ].compactMap { $0 }
            if !parts.isEmpty { try console.output.writeLine(parts.joined()) }
        } else {
            try write(status, context)
        }
        return .success
    }

    private static func read(_ account: Account, _ context: Context) throws -> Status {
        var status = Status(
            name: account.name ?? "", server: try context.address(remembered: account.server).description,
            lastSync: nil, unread: 0, waiting: 0, parked: 0, aside: 0)
        if let name = account.name, let store = account.store,
            let replica = try Replica.open(at: try context.home().replica(store: store, user: name))
        {
            status.lastSync = replica.lastSync()?.rfc3339
            status.earliest = try replica.earliest()?.rfc3339
            status.aside = try ReplicaSurplus.all(at: replica.location).count
            status.unread = try replica.conversations().reduce(0) { $0 + $1.unread }
        }
        (status.waiting, status.parked) = try context.outbox().counts()
        return status
    }

    private static func write(_ status: Status, _ context: Context) throws {
        let output = context.console.output
        var table = Table([.left, .left])
        table.add([output.word("account"), status.name])
        table.add([output.word("server"), status.server])
        let synced = status.lastSync.flatMap { Timestamp(rfc3339: $0) }
        let isTerminal = output.isTerminal
        let age = synced.map { isTerminal ? Age.text(of: $0, now: context.now).text : $0.rfc3339 }
        table.add([output.word("last sync"), age ?? output.word("never")])
        if let earliest = status.earliest.flatMap({ Timestamp(rfc3339: $0) }) {
            table.add([output.word("begins on"), isTerminal ? LocalTime.text(earliest) : earliest.rfc3339])
        }
        table.add([
            output.word("unread"),
            isTerminal
                ? Phrase.plural(status.unread, "\(status.unread) message", "\(status.unread) messages").text
                : String(status.unread),
        ])
        table.add([output.word("waiting to be sent"), String(status.waiting)])
        if status.parked > 0 { table.add([output.word("refused by the server"), String(status.parked)]) }
        if status.aside > 0 { table.add([output.word("kept aside, lost by the server"), String(status.aside)]) }
        try table.write(to: output)
    }
}
