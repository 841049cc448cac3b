internal import NatterCLI
internal import NatterClient
internal import NatterLog
internal import NatterModel

/// `search QUERY…`: finds messages in the replica.
enum SearchCommand {
    static let spec = CommandSpec(
        "search", "find messages, newest first", group: NatterProgram.Group.reading, dashWords: .optionsIfKnown,
        options: [
            .option("conversation", short: "c", value: "CONV", "only in this conversation"),
            .option("number", short: "n", value: "N", "at most N messages"),
            .option("from", value: "USER", "only messages of USER"),
            .option("since", value: "TIME", "only messages from TIME on"),
            .option("until", value: "TIME", "only messages before TIME"),
        ],
        operands: [.required("QUERY", isRepeating: true, "words, \"a phrase\", pre* and -word")],
        description: [
            "Prints the messages of the replica that have all words of the query. A word may be a \"phrase in quotes\" or "
                + "the beginning of a word, 'pre*'; '-' before any of these leaves out the messages that have it. The case "
                + "of letters does not count in any script, and accents of Latin letters do not either.",
            "A word '-word' that is not exactly one of the options belongs to the query. -n is 20 on a terminal and all "
                + "in a pipe. Where nothing is found the status is 1.",
        ],
        examples: [
            Example("natter search disk full", "messages with both words"),
            Example("natter search '\"disk full\"' -c @bob", "a phrase, in what bob and you wrote"),
            Example("natter search 'part*' -fdisk --since -30d", "without 'fdisk', of the last 30 days"),
        ],
        run: run)

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let query: ReplicaQuery
        do throws(ReplicaQueryError) {
            query = try ReplicaQuery(arguments.operands("QUERY").joined(separator: " "))
        } catch {
            throw arguments.error(error.description)
        }
        var filter = MessageFilter()
        filter.since = try arguments.time("since", now: context.now)
        filter.until = try arguments.time("until", now: context.now)
        filter.sender = arguments.value("from")
        let number = try arguments.integer("number", in: 0...Int64(Int32.max)).map { Int($0) }
        let limit = number ?? (console.output.isTerminal ? LogRequest.terminalCount : .max)

        let mirror = try Mirror(context, needsServer: false)
        guard let replica = try mirror.replica() else {
            throw CommandFailure(.unavailable, code: "nothing_synced", "nothing was synced yet; run 'natter sync'")
        }
        let conversation = try arguments.value("conversation").map { try find($0, replica, mirror) }
        for note in query.notes { context.note(note) }
        var printer = MessagePrinter(context, showsConversation: true)
        if case .terminal(let paint) = printer.style, paint.isOn { printer.highlight = query.highlighter() }

        var found = 0
        // A conversation with nothing in it has no place in the replica.
        if let conversation, conversation == nil { return .nothingFound }
        let search = try ReplicaSearch.run(
            query, in: replica, conversation: conversation ?? nil, filter, limit: limit
        ) { run in
            try printer.write(run)
            found += 1
            return true
        }
        try console.output.flush()
        for hole in search.missing {
            context.console.note(
                "messages \(hole.range.lowerBound) to \(hole.range.upperBound) of '\(hole.conversation.name)' were not "
                    + "searched: they are missing or damaged")
        }
        // The next search finds these in the index. It is no failure of this one if that can't be written.
        if search.scannedCount > 0 { _ = try? ReplicaIndexing.run(at: mirror.location) }
        return found == 0 ? .nothingFound : .success
    }

    /// - Returns: nil for one that is known to be empty.
    /// - Throws: 67 for one that is not known.
    private static func find(_ name: String, _ replica: Replica, _ mirror: Mirror) throws -> ReplicaConversation? {
        if let conversation = try replica.conversation(named: name) { return conversation }
        try mirror.checkExistence(of: name, replica, .offline)
        return nil
    }
}
