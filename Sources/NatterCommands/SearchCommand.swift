internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// `search QUERY…`, `search --regex RE`, `search --substring S`: finds messages in the replica.
enum SearchCommand {
    static let spec = CommandSpec(
        "search", "find messages, newest first", group: NatterProgram.Group.reading, dashWords: .optionsIfKnown,
        options: [
            .option("conversation", short: "c", value: "CONV", "search only this conversation"),
            .option("number", short: "n", value: "N", "print at most N messages"),
            .option(
                "context", short: "C", value: "N",
                "also print N messages before and after each hit; what touches is printed as one",
                long: "A line '--' stands between the groups."),
            .option(
                "from", value: "USER", isRepeatable: true, "find only messages of USER; 'me' is yourself",
                long: "If you give several, messages of any of them are found."),
            .option("since", value: "TIME", "find only messages from TIME on", long: "See TIMES in natter(1)."),
            .option("until", value: "TIME", "find only messages before TIME"),
            .option("regex", value: "RE", "find messages that match a regular expression, instead of QUERY"),
            .option(
                "substring", value: "S", "find messages that contain this string, instead of QUERY",
                long:
                    "Case and accents of Latin letters are ignored. All else must be the same, even blanks and punctuation."
            ),
        ],
        operands: [
            .optional("QUERY", isRepeating: true, "words, \"a phrase\", pre*, -word, OR, from:USER and the like")
        ],
        description: [
            "Print the messages that have all words of the query, after a quick sync as 'log' does. A word may be a "
                + "\"phrase in quotes\" or the beginning of a word, 'pre*'. A '-' in front of either leaves out the messages "
                + "that have it. 'a OR b c' finds what has one of a and b, and has c. Case is ignored in every script, and so "
                + "are accents of Latin letters. A message is also found by the names of its files.",
            "Conditions may stand among the words, or alone: from:USER, in:CONV, after:TIME, before:TIME, has:link and "
                + "has:file. A '-' in front turns them round. Put quotes around a value with blanks, from:\"old bob\", and "
                + "around a text that is no condition, \"from:bob\".",
            "--substring finds a string exactly, even within words. --regex takes a Perl-compatible regular "
                + "expression, see pcre2pattern(3): it ignores case unless it says (?-i), and '^' and '$' match at "
                + "each line of a text. If it is invalid or takes too many steps, the exit status is 65. Both read "
                + "all messages; searching for words is faster.",
            "Long output goes through a pager on a terminal, as with 'log'.",
            "A word '-word' that is not exactly an option belongs to the query. By default -n is 20 on a terminal and "
                + "unlimited in a pipe. If nothing is found, the exit status is 1.",
        ],
        examples: [
            Example("natter search disk full", "find messages with both words"),
            Example("natter search '\"disk full\"' -c @bob", "find a phrase in your messages with bob"),
            Example("natter search 'part*' -fdisk --since -30d", "leave out 'fdisk', and search the last 30 days"),
            Example(
                "natter search backup OR restore from:bob after:yesterday",
                "find one of two words, by bob, since yesterday"),
            Example("natter search --regex 'sd[a-z]\\d+' -n 5", "find the last five that name a partition"),
        ],
        run: run)

    private static let run: CommandBody = inContext { context in
        let arguments = context.arguments
        let subject = try Subject(arguments, now: context.now)
        var filter = MessageFilter()
        filter.since = try [arguments.time("since", now: context.now), subject.query?.since].compactMap(\.self).max()
        filter.until = try [arguments.time("until", now: context.now), subject.query?.until].compactMap(\.self).min()
        let number = try arguments.integer("number", in: 0...Int64(Int32.max)).map { Int($0) }
        let around = try arguments.integer("context", in: 0...1_000).map { Int($0) } ?? 0
        let limit = number ?? (context.console.output.isTerminal ? LogRequest.terminalCount : .max)

        let synced = try SyncedReplica(context)
        filter.senders = synced.senders(arguments.values("from"))
        let (replica, state) = try synced.quicklySynced()
        let chosen = try conversations(arguments.value("conversation"), subject.query, in: replica, synced, state)
        for note in subject.notes { context.note(note) }
        if let earliest = try replica.earliest(), filter.since.map({ $0 < earliest }) ?? true,
            try (chosen ?? replica.conversations(includingGone: true)).contains(where: { $0.first > $0.serverFirst })
        {
            context.note("this replica begins on \(LocalTime.text(earliest)); older messages were not searched")
        }
        var printer = MessagePrinter(context, showsConversation: true, hasDayLines: false)
        printer.reader = synced.location.user
        if printer.paint.isOn { printer.highlight = subject.highlighter() }
        // A number that you see is one that you can answer.
        printer.showsNumbers = context.console.output.isTerminal
        var hits = SearchHits(replica: replica, printer: printer, around: around, context.console)
        defer { hits.pager?.finish() }

        // An empty conversation is not in the replica.
        if chosen?.isEmpty == true { return .nothingFound }
        let meter = ProgressLine(context)
        let missing: [UnsearchedRun]
        let isFound: Bool
        switch subject {
        case .query(let query):
            let search = try ReplicaSearch.run(
                query, in: replica, conversations: chosen, filter, limit: limit,
                progress: { count in if hits.pager == nil { meter.show("\(count) messages searched") } },
                visit: { run in
                    meter.clear()
                    try hits.write(run)
                })
            meter.clear()
            try hits.finish()
            try hits.printer.output.flush()
            // Index these messages for the next search. This search succeeds even if the index cannot be written.
            if search.scannedCount > 0 {
                _ = try? ReplicaIndexing.run(at: synced.location) { count in
                    if hits.pager == nil { meter.show("\(count) messages indexed for the next search") }
                }
                meter.clear()
            }
            (missing, isFound) = (search.missing, search.foundCount > 0)
        case .pattern(let pattern):
            Memory.keepFreed()
            let search = try ReplicaPatternSearch.run(
                pattern, in: replica, conversations: chosen, filter, limit: limit
            ) { try hits.write($0) }
            try hits.finish()
            try hits.printer.output.flush()
            (missing, isFound) = (search.missing, search.foundCount > 0)
        }
        let result = try status(missing, isFound: isFound, context)
        if result == .nothingFound {
            if let word = arguments.operands("QUERY").first(where: { $0.hasPrefix("--") }) {
                context.note("'\(word)' is no option of 'natter search', so it was searched for")
            }
            try synced.explainNothing(
                from: arguments.values("from") + (subject.query?.senders ?? []), since: filter.since,
                until: filter.until, state)
        }
        return result
    }

    /// The conversations to search, of which empty ones are left out; nil for all.
    ///
    /// - Parameter name: the value of '-c'.
    /// - Throws: 67 for a name that no conversation has.
    private static func conversations(
        _ name: String?, _ query: ReplicaQuery?, in replica: Replica, _ synced: SyncedReplica,
        _ state: SyncedReplica.State
    ) throws -> [ReplicaConversation]? {
        func named(_ names: [String]) throws -> [ReplicaConversation] {
            try names.compactMap { try synced.conversation(named: $0, in: replica, state) }
        }
        var chosen = try name.map { try named([$0]) }
        if let names = query?.conversations, !names.isEmpty {
            let wanted = Set(try named(names).map(\.id))
            chosen = try (chosen ?? replica.conversations(includingGone: true)).filter { wanted.contains($0.id) }
        }
        if let names = query?.unwantedConversations, !names.isEmpty {
            let unwanted = Set(try named(names).map(\.id))
            chosen = try (chosen ?? replica.conversations(includingGone: true)).filter { !unwanted.contains($0.id) }
        }
        return chosen
    }

    /// - Throws: 74 if nothing was found, and it may be among what is missing.
    private static func status(
        _ missing: [UnsearchedRun], isFound: Bool, _ context: Context
    ) throws(CommandFailure) -> ExitCode {
        var holes: [Phrase] = missing.map { hole in
            "messages \(hole.seqs.lowerBound) to \(hole.seqs.upperBound) of '\(hole.conversation.name)' were not searched: "
                + "they are missing or damaged"
        }
        let last = isFound ? nil : holes.popLast()
        for hole in holes { context.console.note(hole) }
        if let last { throw CommandFailure(.inputOutput, code: "damaged", last) }
        return isFound ? .success : .nothingFound
    }

    /// The query or pattern.
    private enum Subject {
        case query(ReplicaQuery)
        case pattern(Pattern)

        /// - Throws: `UsageError`, `PatternError`.
        init(_ arguments: Arguments, now: Timestamp) throws {
            let words = arguments.operands("QUERY")
            let given = ["regex", "substring"].filter(arguments.has)
            if let option = given.first {
                guard given.count == 1 else { throw arguments.error("'--regex' and '--substring' cannot be combined") }
                guard words.isEmpty else {
                    throw arguments.error("'--\(option)' and QUERY cannot be combined")
                }
                let value = arguments.value(option) ?? ""
                guard !value.isEmpty else { throw arguments.error("'--\(option)' is empty") }
                self = .pattern(try option == "regex" ? Pattern(regex: value) : Pattern(substring: value))
                return
            }
            guard !words.isEmpty else { throw arguments.error("'search' needs QUERY, '--regex' or '--substring'") }
            do throws(ReplicaQueryError) {
                self = .query(
                    try ReplicaQuery(words.joined(by: " ")) { TimeExpression.parse($0, now: now) })
            } catch {
                throw arguments.error(error.phrase)
            }
        }

        var query: ReplicaQuery? { if case .query(let query) = self { query } else { nil } }

        /// Notes on ignored parts of the query.
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
}

/// Prints what a search found: the messages as people see them now.
private struct SearchHits {
    let replica: Replica
    private(set) var printer: MessagePrinter
    /// Where a pager starts when there is something to print; nil after that.
    private var console: Console?
    private(set) var pager: Pager?
    /// How many messages to print before and after each.
    let around: Int
    private var isFirst = true
    /// Hits whose surroundings touch, so they are printed as one: those after `start` and up to `newest`, and what follows.
    private var group: (conversation: ReplicaConversation, start: Seq, newest: Seq)?
    /// Hits without surroundings, printed behind the group: edits whose original is not here. There are never more than these.
    private var alone: [Message] = []
    private static let mostAlone = 64

    init(replica: Replica, printer: MessagePrinter, around: Int, _ console: Console) {
        (self.replica, self.printer, self.around, self.console) = (replica, printer, around, console)
        self.printer.replica = replica
    }

    mutating func write(_ run: MessageRun) throws {
        if let console {
            self.console = nil
            pager = Pager.start(console)
            if let pager { printer.turn(to: pager) }
        }
        if around == 0, !printer.isDetailed, run.positions.allSatisfy({ run.records.kind(at: $0) != .edit }) {
            return try print(run)
        }
        for position in run.positions {
            let record = run.records[position]
            // The newest text of a message is in its last edit.
            let seq = record.kind == .edit ? record.about ?? record.seq : record.seq
            guard around > 0 || record.kind == .edit || printer.isDetailed,
                let conversation = try replica.conversation(run.conversation.id)
            else {
                try print(run.only([position]))
                continue
            }
            let found = try message(seq, in: conversation)
            if found != nil, around > 0 {
                try surround(seq, in: conversation)
            } else if let message = found ?? run.only([position]).messages().first {
                if around == 0 { try printer.write(message) } else { alone.append(message) }
                if alone.count == SearchHits.mostAlone { try finish() }
            }
        }
    }

    /// One message as people see it now; nil if it is not here or can't be read. Its edit is shown as it is then.
    private func message(_ seq: Seq, in conversation: ReplicaConversation) throws -> Message? {
        do {
            return try replica.message(seq, in: conversation, folds: true)
        } catch let ReplicaError.storage(error) where error.withheld != nil {
            return nil
        }
    }

    private mutating func separate() throws {
        if !isFirst { try printer.writeSeparator() }
        isFirst = false
    }

    private mutating func surround(_ seq: Seq, in conversation: ReplicaConversation) throws {
        let start = try replica.start(ofNewest: around, conversation, surroundings(before: seq))
        if let group, group.conversation.id == conversation.id {
            let reach = try replica.start(ofNewest: around + 1, conversation, surroundings(before: group.start.next))
            if seq > reach, seq <= group.newest {
                self.group?.start = min(group.start, start)
                return
            }
        }
        try finish()
        group = (conversation, start, seq)
    }

    /// Prints the hits that were kept back.
    mutating func finish() throws {
        defer { (group, alone) = (nil, []) }
        if let group { try print(group.conversation, group.start, group.newest) }
        for message in alone {
            try separate()
            try printer.write(message)
        }
    }

    private mutating func print(_ conversation: ReplicaConversation, _ start: Seq, _ newest: Seq) throws {
        try separate()
        var before = surroundings(before: newest.next)
        before.after = start
        var behind = MessageFilter(after: newest)
        behind.isFolded = true
        for (filter, limit) in [(before, Int.max), (behind, around)] {
            try replica.forward(conversation, filter, limit: limit) { piece in
                guard case .messages(let run) = piece else { return true }
                try print(run)
                return true
            }
        }
    }

    private func surroundings(before seq: Seq) -> MessageFilter {
        var filter = MessageFilter(before: seq)
        filter.isFolded = true
        return filter
    }

    private func print(_ run: MessageRun) throws {
        if let messages = try replica.changed(run, folds: true) {
            _ = try printer.write(messages.filter { !$0.kind.isChange })
        } else {
            try printer.write(run)
        }
    }
}
