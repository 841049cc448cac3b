internal import NatterArchive
internal import NatterCLI
internal import NatterClient
internal import NatterLog
internal import NatterModel
internal import NatterPattern

/// `search QUERY…`, `search --regex RE`, `search --substring S`: finds messages in the replica.
enum SearchCommand {
    static let spec = CommandSpec(
        "search", "find messages, newest first", group: NatterProgram.Group.reading, dashWords: .optionsIfKnown,
        options: [
            .option("conversation", short: "c", value: "CONV", "only in this conversation"),
            .option("number", short: "n", value: "N", "at most N messages"),
            .option("from", value: "USER", "only messages of USER"),
            .option("since", value: "TIME", "only messages from TIME on"),
            .option("until", value: "TIME", "only messages before TIME"),
            .option("regex", value: "RE", "messages that match a regular expression, in place of QUERY"),
            .option("substring", value: "S", "messages with this string in them, in place of QUERY"),
        ],
        operands: [.optional("QUERY", isRepeating: true, "words, \"a phrase\", pre* and -word")],
        description: [
            "Prints the messages of the replica that have all words of the query. A word may be a \"phrase in quotes\" or "
                + "the beginning of a word, 'pre*'; '-' before any of these leaves out the messages that have it. The case "
                + "of letters does not count in any script, and accents of Latin letters do not either.",
            "--substring finds a string as it stands, within words too, and with the same letters as one. --regex takes a "
                + "regular expression as Perl has them, see pcre2pattern(3): the case of letters does not count unless it "
                + "says (?-i), '^' and '$' match at each line of a text. One that is not valid, or that takes too many "
                + "steps, ends with status 65. Both look through all messages: words are found faster.",
            "A word '-word' that is not exactly one of the options belongs to the query. -n is 20 on a terminal and all "
                + "in a pipe. Where nothing is found the status is 1.",
        ],
        examples: [
            Example("natter search disk full", "messages with both words"),
            Example("natter search '\"disk full\"' -c @bob", "a phrase, in what bob and you wrote"),
            Example("natter search 'part*' -fdisk --since -30d", "without 'fdisk', of the last 30 days"),
            Example("natter search --regex 'sd[a-z]\\d+' -n 5", "the newest five that name a partition"),
        ],
        run: run)

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let subject = try Subject(arguments)
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
        for note in subject.notes { context.note(note) }
        if let earliest = try replica.earliest(), filter.since.map({ $0 < earliest }) ?? true {
            context.note("this replica begins on \(LocalTime.text(earliest)); what is older was not searched")
        }
        var printer = MessagePrinter(context, showsConversation: true, hasDayLines: false)
        printer.reader = mirror.location.user
        if printer.paint.isOn { printer.highlight = subject.highlighter() }

        // A conversation with nothing in it has no place in the replica.
        if let conversation, conversation == nil { return .nothingFound }
        switch subject {
        case .query(let query):
            var found = 0
            let search = try ReplicaSearch.run(
                query, in: replica, conversation: conversation ?? nil, filter, limit: limit
            ) { run in
                try printer.write(run)
                found += 1
                return true
            }
            try console.output.flush()
            for hole in search.missing { note(hole.seqs, of: hole.conversation, context) }
            // The next search finds these in the index. It is no failure of this one if that can't be written.
            if search.scannedCount > 0 { _ = try? ReplicaIndexing.run(at: mirror.location) }
            return found == 0 ? .nothingFound : .success
        case .pattern(let pattern):
            let search = try ReplicaPatternSearch.run(
                pattern, in: replica, conversation: conversation ?? nil, filter, limit: limit
            ) { try printer.write($0) }
            try console.output.flush()
            for hole in search.missing { note(hole.seqs, of: hole.conversation, context) }
            return search.foundCount == 0 ? .nothingFound : .success
        }
    }

    private static func note(_ range: ClosedRange<Seq>, of conversation: ConversationLog, _ context: Context) {
        context.console.note(
            "messages \(range.lowerBound) to \(range.upperBound) of '\(conversation.name)' were not searched: they are "
                + "missing or damaged")
    }

    /// What is searched for.
    private enum Subject {
        case query(ReplicaQuery)
        case pattern(Pattern)

        /// - Throws: `UsageError`, `PatternError`.
        init(_ arguments: Arguments) throws {
            let words = arguments.operands("QUERY")
            let given = ["regex", "substring"].filter(arguments.has)
            if let option = given.first {
                guard given.count == 1 else { throw arguments.error("'--regex' and '--substring' exclude each other") }
                guard words.isEmpty else {
                    throw arguments.error("'--\(option)' takes the place of QUERY; both were given")
                }
                let value = arguments.value(option) ?? ""
                guard !value.isEmpty else { throw arguments.error("'--\(option)' is empty") }
                self = .pattern(try option == "regex" ? Pattern(regex: value) : Pattern(substring: value))
                return
            }
            guard !words.isEmpty else { throw arguments.error("'search' needs QUERY, '--regex' or '--substring'") }
            do throws(ReplicaQueryError) {
                self = .query(try ReplicaQuery(words.joined(separator: " ")))
            } catch {
                throw arguments.error(error.phrase)
            }
        }

        /// Remarks on what was left out of account.
        var notes: [Phrase] {
            switch self {
            case .query(let query): query.notes
            case .pattern: []
            }
        }

        func highlighter() -> (String) -> [Range<Int>] {
            switch self {
            case .query(let query): query.highlighter()
            case .pattern(let pattern): { pattern.ranges(in: $0) }
            }
        }
    }

    /// - Returns: nil for one that is known to be empty.
    /// - Throws: 67 for one that is not known.
    private static func find(_ name: String, _ replica: Replica, _ mirror: Mirror) throws -> ReplicaConversation? {
        if let conversation = try replica.conversation(named: name) { return conversation }
        try mirror.checkExistence(of: name, replica, .offline)
        return nil
    }
}
