internal import NatterCommandLine
internal import NatterClient
internal import NatterProtocol

/// `session ls|end`: where you are logged in.
enum SessionCommand {
    static let spec = CommandSpec(
        "session", "see and end your sessions", group: NatterProgram.Group.account, bare: "ls",
        subcommands: [list, end],
        description: [
            "A login begins a session on a machine, and 'logout' or 'session end' ends it. The host and the program are "
                + "what the client said of itself."
        ],
        examples: [
            Example("natter session", "see where you are logged in"),
            Example("natter session end 12", "log out a machine that you have lost"),
        ])

    private static let list = CommandSpec(
        "ls", "list your sessions",
        description: [
            "Print the number of each session, 'current' for this one, when it was created, when it expires, when it was "
                + "last used, from which address, the host and the program. With --json: the objects."
        ],
        run: inContext { context in
            try context.list(sessions: try context.api().perform(API.sessions).items)
            return .success
        })

    private static let end = CommandSpec(
        "end", aliases: ["rm"], "end sessions",
        operands: [.required("ID", isRepeating: true, "its number, as 'natter session' shows it")],
        description: [
            "End sessions at once. An admin of the server can end those of other users, too; 'natter admin sessions' "
                + "lists them."
        ],
        run: inContext { context in
            let api = try context.api()
            for id in context.arguments.operands("ID") {
                do throws(RequestError) {
                    try api.perform(API.endSession, id)
                } catch {
                    guard case .refused(let refusal) = error, refusal.has(.notFound) else { throw error }
                    do throws(RequestError) {
                        try api.perform(API.endAnySession, id)
                    } catch {
                        guard case .refused = error else { throw error }
                        throw CommandFailure(
                            .notFound, code: refusal.code, "you have no session '\(id)'; 'natter session' lists them")
                    }
                }
                context.confirm("session \(id) has ended")
            }
            return .success
        })
}
