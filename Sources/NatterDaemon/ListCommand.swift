internal import NatterCommandLine
internal import NatterModel
internal import NatterStore
internal import NatterProtocol

extension CommandSpec {
    static let list = CommandSpec(
        "ls", "list the conversations", group: "Conversations",
        options: [.option("user", value: "NAME", "only those that NAME may read")],
        description: [
            "Print the name of each conversation, as the other commands take it, its kind, how many members it has, its lowest "
                + "and its highest number, and how long its messages are kept. Groups that were deleted are not listed."
        ],
        examples: [Example("natterd ls --user alice", "see what alice may read")],
        run: ListCommand.run)
}

enum ListCommand {
    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        var objects: [ConversationSummary] = []
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            if case .conversation(let object) = reply { objects.append(object) }
        }
        _ = try client.perform(.listConversations(user: arguments.value("user").map(Normalization.formC)))
        if arguments.flag("json") {
            for object in objects { try console.output.writeJSON(WireJSON.encode(object)) }
            return .success
        }
        let header: [Phrase] = ["NAME", "KIND", "MEMBERS", "FIRST", "HEAD", "KEPT"]
        var table = Table(
            [.left, .left, .right, .right, .right, .left], header: console.output.isTerminal ? header : nil)
        for object in objects {
            table.add([
                object.name, console.output.word(Phrase(key: object.kind)), object.members.map { "\($0)" } ?? "-",
                "\(object.first)", "\(object.head)", object.retain,
            ])
        }
        try table.write(to: console.output, paint: console.paint(arguments))
        return .success
    }
}
