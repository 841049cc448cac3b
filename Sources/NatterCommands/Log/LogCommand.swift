internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterLog
internal import NatterModel

/// `log [CONV]`: syncs, then prints messages from the replica.
enum LogCommand {
    static let spec = CommandSpec(
        "log", "print messages, oldest first", group: NatterProgram.Group.reading, options: options,
        operands: [.optional("CONV", "the conversation (default 'general'); '@bob' is the one with bob")],
        description: [
            "Print the messages of a conversation from the replica, after a quick sync of at most 2 seconds (or --timeout) "
                + "and 8 MiB. "
                + "If that does not bring the newest messages that -n asks for, natter fetches that page from the "
                + "server. If you ask for more, it keeps syncing until it has everything.",
            "If the server cannot be reached, natter prints the replica and notes its age on standard error.",
            "By default -n is 20 on a terminal and unlimited in a pipe. It takes the newest messages by time, and prints them by "
                + "number; with --after and "
                + "--cursor-file it takes the oldest and is unlimited by default.",
            "With --cursor-file, natter prints only messages after the position in F and then stores the new position "
                + "in F: you see each message once, however often you run the command. If F is missing or empty, "
                + "it starts from the beginning.",
            "A message shows its newest text and '(edited)', a deleted one '(deleted)', one whose text was removed from the "
                + "log '(erased)' unless it is deleted, too. Edits and deletions have no line of their own. A reply is "
                + "'TIME bob (re 123): text', on a terminal 'bob (re alice \"the first words…\"): text'. "
                + "A message that a token sent has its label: 'alice/backup: text'.",
            "Where you ask for what is new (-f, --cursor-file, --unread), an edit or a deletion of a message before that "
                + "is a line: 'TIME bob (edits 123): text' or 'TIME bob (deletes 123)'. With --json you get the record.",
            "For TIME: \(TimeExpression.forms).",
        ],
        examples: [
            Example("natter log -n 5", "print the five newest messages of 'general'"),
            Example("natter log @bob --since yesterday", "print what you and bob wrote since then"),
            Example("natter log --cursor-file seen", "print what is new since the last run"),
            Example("natter log -f --all", "follow all conversations"),
        ],
        run: inContext { context in
            var log = try Log(context)
            return try log.run()
        })

    private static var options: [OptionSpec] {
        [
            .option(
                "number", short: "n", value: "N", "print at most N messages",
                long:
                    "0 means none. With --since and --unread it is unlimited by default, too; --unread takes the oldest."
            ),
            .flag(
                "follow", short: "f", "keep printing new messages as they arrive",
                long:
                    "A group that is renamed is followed further, and a note says if you are removed from one. With -n and "
                    + "one of --cursor-file and --after, it ends with status 0 after N messages, because these count from the "
                    + "oldest."),
            .option("since", value: "TIME", "print only messages from TIME on", long: "See TIMES in natter(1)."),
            .option("until", value: "TIME", "print only messages before TIME"),
            .option(
                "from", value: "USER", isRepeatable: true, "print only messages of USER; 'me' is yourself",
                long: "If you give several, messages of any of them are printed."),
            .option(
                "after", value: "SEQ",
                "print only messages after this number; 'last' is the newest, '-2' the one before it"
            ),
            .option("before", value: "SEQ", "print only messages before this number"),
            .option(
                "around", value: "SEQ", "print the messages around this number",
                long: "They are 20, unless you give -n."),
            .flag("unread", "print only unread messages of others"),
            .flag(
                "mark", "mark what was printed as read",
                long:
                    "This includes what a filter or -n left out, because the server keeps one number for each conversation, "
                    + "and edits and deletions that follow directly. The mark stays before the first unread message that "
                    + "could not be printed, because it is damaged or not in the replica. Without --mark, 'log' marks "
                    + "nothing."),
            .flag(
                "reverse", "print the newest first", long: "It cannot be combined with --all, --unread and -n together."
            ),
            .flag(
                "all", "print every conversation, by time",
                long:
                    "The conversation stands before the name. Messages of one conversation stay in their order, even where "
                    + "imported ones are older than those before them."),
            .option(
                "cursor-file", value: "F", "print only messages after the position in F, then update F",
                long:
                    "F is replaced atomically after the output was written, even if that is empty; with -f, after each "
                    + "piece of output. A command that is killed may leave a hidden file beside it, '.F.' and a number; a "
                    + "later one removes it."),
            .flag(
                "from-first",
                "if the position in the cursor file is of a message that is not kept any more, begin with the first one"
            ),
            .flag("exit-code", "exit with status 1 if there is nothing to print"),
            .option(
                "thread", value: "SEQ", "print the message with this number, and all that answers it",
                long:
                    "It also prints what the message answers, at most 10,000 messages. If there are more, a note names the "
                    + "command that prints the others."),
            .flag(
                "mentions", "print only messages with '@' and your name",
                long: "The name may be in any case; the end, white space or punctuation follows it."),
            .option(
                "grep", value: "RE", "print only messages that match a regular expression",
                long: "RE is matched with the newest text, as by 'search --regex'."),
            .flag(
                "numbers", "print the number of each message",
                long: "It follows the time. 'natter config set numbers on' shows the numbers on every terminal."),
            .flag(
                "raw", "print every record as it was sent, edits and deletions too",
                long: "Texts are not replaced by newer ones. That of a deleted message is not printed."),
            .option(
                "format", value: "FORMAT",
                "%t time, %u Unix ms, %c conversation, %n number, %s sender, %m text, %k kind, %a number of the message "
                    + "that it is about, %f files",
                long: "FORMAT, such as '%t %s: %m', is printed for each message, with a newline; see natter-formats(5)."
            ),
        ]
    }
}

/// One run of `log`.
private struct Log {
    /// The most messages of a thread.
    private static let threadLimit = 10_000

    let context: Context
    private var request: LogRequest
    private var printer: MessagePrinter
    private var places: LogPlaces?
    private var pager: Pager?

    init(_ context: Context) throws {
        self.context = context
        request = try LogRequest(context)
        printer = MessagePrinter(context, format: request.format, showsConversation: request.scope == .all)
        if request.showsNumbers { printer.showsNumbers = true }
        // Where they have no line, they are not even read.
        printer.showsChanges = true
        places = try request.cursorFile.map { path in
            try LogPlaces(path: path, scope: request.scope, startsAtFirst: context.arguments.flag("from-first")) {
                context.console.note($0)
            }
        }
    }

    mutating func run() throws -> ExitCode {
        defer { pager?.finish() }
        let synced = try SyncedReplica(context)
        printer.reader = synced.location.user
        request.filter.senders = synced.senders(request.filter.senders)
        let state = try synced.refresh(request.isShortPage && !request.marks ? .quickly : .completely)
        let follow = request.follows ? try LogFollow(context, request, synced) : nil
        if case .partial = state, case .conversation(let name) = request.scope,
            case .newest(let count) = request.selection
        {
            return try printPage(of: name, count: count, synced, follow)
        }
        let replica = try synced.replica(after: state)
        let conversations = try conversations(in: replica, synced, state)
        if let conversation = conversations.first, case .newest(let count) = request.selection, state.isCurrent,
            case .conversation(let name) = request.scope, request.isPage, !request.marks,
            try conversation.mayLack(newest: count, request.filter, replica)
        {
            return try printPage(of: name, count: count, synced, follow)
        }
        // A pager without a line would only clear the screen.
        if conversations.contains(where: { $0.head > .zero }) { startPager() }
        var walk = try makeWalk(replica, isCurrent: state.isCurrent)
        if let thread = request.thread { return try print(thread, &walk, conversations) }
        if request.isUnread { for conversation in conversations { walk.place(conversation.id, at: conversation.read) } }
        try printFirst(&walk, conversations, isCurrent: state.isCurrent)
        let late = try tellBeginning(of: conversations, replica, printed: walk.printed)
        try finish(walk, conversations, replica)
        if request.marks { try mark(walk, conversations, late, synced) }
        if walk.printed == 0 { try explainNothing(synced, state) }
        if let follow { try follow.run(&walk, places: &places, of: conversations.first?.id) }
        try checkDamage(walk)
        if walk.printed == 0, !request.follows {
            context.confirm(
                request.isEverything
                    ? "there are no messages" : request.isAllNews ? "nothing new" : "no messages match")
        }
        return walk.printed == 0 && request.saysNothingNew ? .nothingFound : .success
    }

    private func explainNothing(_ synced: SyncedReplica, _ state: SyncedReplica.State) throws {
        try synced.explainNothing(
            from: context.arguments.values("from"), since: request.filter.since, until: request.filter.until, state)
    }

    /// - Throws: 74 if not all could be printed.
    private func checkDamage(_ walk: LogWalk) throws(CommandFailure) {
        guard let damage = walk.damage else { return }
        // With --json the notes of the holes are left out, so the object of the error names them.
        throw CommandFailure(
            .inputOutput, code: "damaged",
            context.wantsJSON
                ? damage
                : !walk.isHeldBack
                    ? "some messages could not be read, the rest was printed; run 'natter verify', then 'natter sync'"
                    : "some messages could not be read, and --cursor-file stops before them; run 'natter verify', then 'natter sync'"
        )
    }

    /// Prints a note if older messages are missing because the replica begins late.
    ///
    /// - Returns: the conversations that have some which were asked for.
    private func tellBeginning(
        of conversations: [ReplicaConversation], _ replica: Replica, printed: Int
    ) throws -> Set<ConversationID> {
        switch request.selection {
        case .newest(let count): if printed >= count { return [] }
        // The missing messages are older than the first printed one.
        case .oldest: break
        case .around(let seq, _): if conversations.contains(where: { seq > $0.first }) { return [] }
        case .all: break
        }
        let late = conversations.filter { conversation in
            let seen = max(request.filter.after, request.isUnread ? conversation.read : .zero)
            return conversation.first > max(seen, places?.start(of: conversation.id) ?? .zero).next
        }
        let missing = late.filter { $0.serverFirst < $0.first }
        guard let first = missing.first else {
            guard let first = late.first else { return [] }
            context.console.note(
                late.count == 1
                    ? "older messages are not kept: the first of '\(first.name)' is \(first.first)"
                    : "older messages are not kept")
            return []
        }
        // This is checked last, because nearly every replica is complete and then needs no look-up.
        guard let earliest = try replica.earliest(),
            request.filter.since.map({ $0 < earliest }) ?? true
        else { return [] }
        let beginning = LocalTime.text(earliest)
        context.console.note(
            missing.count == 1
                ? "messages 1 to \(first.first.previous) of '\(first.name)' are not in this replica, which begins on "
                    + "\(beginning); the server has what it still keeps of them"
                : "older messages are not in this replica, which begins on \(beginning); the server has what it still keeps of them"
        )
        return Set(missing.map(\.id))
    }

    /// Starts the pager. It starts only when there is something to print, so that earlier errors appear on the terminal
    /// itself.
    private mutating func startPager() {
        guard !request.follows, let started = Pager.start(context.console, showsEnd: !request.isReversed) else {
            return
        }
        pager = started
        printer.turn(to: started)
    }

    private var mode: LogWalk.Mode {
        if request.isRaw { return .records }
        guard request.isNews else { return .history }
        return context.wantsJSON ? .records : .news
    }

    private func makeWalk(_ replica: Replica, isCurrent: Bool) throws -> LogWalk {
        let context = context
        var filter = request.filter
        filter.text = textCondition(replica.location.user)
        if request.isUnread {
            filter.unreadFor = replica.location.user
            filter.excludedErased = try replica.ownErased(of: replica.conversations())
        }
        return LogWalk(
            replica, printer: printer, filter: filter, mode: mode, keepsPlace: request.cursorFile != nil,
            isCurrent: isCurrent, note: { context.console.note($0) })
    }

    private func textCondition(_ user: String) -> (@Sendable (UnsafeRawBufferPointer) throws -> Bool)? {
        let mention = request.mentions ? Mention(of: user) : nil
        // Only the thread of this command uses it.
        nonisolated(unsafe) let pattern = request.pattern
        guard mention != nil || pattern != nil else { return nil }
        return { text in
            if let mention, !mention.isIn(text) { return false }
            return try pattern?.matches(text) ?? true
        }
    }

    /// Marks the shown messages as read, up to the first that should have been shown and could not. It is called after the output
    /// is flushed, because messages that were not shown are not read.
    ///
    /// - Parameter late: conversations of which older messages are missing.
    private func mark(
        _ walk: LogWalk, _ conversations: [ReplicaConversation], _ late: Set<ConversationID>, _ synced: SyncedReplica
    ) throws {
        var marks: [ConversationID: Seq] = [:]
        defer { synced.note(read: marks) }
        for conversation in conversations where !conversation.isGone {
            guard let shown = walk.shown[conversation.id] else { continue }
            var seq = try walk.end(ofChangesBehind: shown, of: conversation)
            let older = late.contains(conversation.id) ? conversation.unreadBeforeFirst?.lowerBound : nil
            let missing = older ?? walk.firstMissing(behind: conversation.read, of: conversation)
            if let missing, missing <= seq {
                context.console.note(
                    "'\(conversation.name)' is marked as read only before message \(missing), which was not printed; "
                        + "'natter mark \(Delivery.quoted(conversation.name)) \(seq)' marks all")
                seq = missing.previous
            }
            guard seq > conversation.read else { continue }
            marks[conversation.id] = try synced.api().markRead(
                conversation.name, id: conversation.groupID, upTo: seq)
        }
    }

    /// The requested conversations, in their state in the replica. Those that the user is not in any more count, unless
    /// unread messages are wanted, because nothing could mark them.
    private func conversations(in replica: Replica, _ synced: SyncedReplica, _ state: SyncedReplica.State) throws
        -> [ReplicaConversation]
    {
        guard case .conversation(let name) = request.scope else {
            return try replica.conversations(includingGone: !request.isUnread)
        }
        guard let conversation = try synced.conversation(named: name, in: replica, state) else { return [] }
        if let reason = conversation.goneReason { synced.notes.tell(gone: conversation.name, reason: reason) }
        return [conversation]
    }

    private func printFirst(
        _ walk: inout LogWalk, _ conversations: [ReplicaConversation], isCurrent: Bool
    ) throws {
        var conversations = conversations
        if let places {
            conversations = try places.place(&walk, conversations, of: walk.replica, isCurrent: isCurrent)
        }
        switch request.selection {
        case .all where request.isReversed: try walk.backward(conversations)
        case .all: try walk.forward(conversations)
        case .newest(let count):
            try walk.placeBeforeNewest(count, conversations)
            if request.isReversed { try walk.backward(conversations) } else { try walk.forward(conversations) }
        case .oldest(let count) where request.isReversed:
            if let conversation = conversations.first { try walk.backward(oldest: count, conversation) }
        case .oldest(let count): try walk.forward(conversations, limit: count)
        case .around(let seq, let count): try printAround(seq, count, &walk, conversations)
        }
    }

    /// Prints a message and its replies.
    private mutating func print(
        _ thread: Seq, _ walk: inout LogWalk, _ conversations: [ReplicaConversation]
    ) throws -> ExitCode {
        guard let conversation = conversations.first, thread >= conversation.first, thread <= conversation.head else {
            throw noMessage(thread, conversations)
        }
        var seqs = try walk.replica.thread(thread, in: conversation, limit: Log.threadLimit + 1)
        let isCut = seqs.count > Log.threadLimit
        seqs = Array(seqs.prefix(Log.threadLimit))
        let first = seqs.first ?? thread
        if request.isReversed { seqs.reverse() }
        try walk.write(seqs, of: conversation)
        try printer.output.flush()
        if isCut {
            context.note(
                "only \(Log.threadLimit) messages of this thread were printed; 'natter log "
                    + "\(Delivery.quoted(conversation.name)) --numbers --after \(first)' prints the others, too, among all "
                    + "later messages")
        }
        try checkDamage(walk)
        return .success
    }

    private func noMessage(_ seq: Seq, _ conversations: [ReplicaConversation]) -> CommandFailure {
        guard case .conversation(let name) = request.scope else { return .noMessage(seq, in: "", nil) }
        return .noMessage(seq, in: name, conversations.first)
    }

    private func printAround(
        _ seq: Seq, _ count: Int, _ walk: inout LogWalk, _ conversations: [ReplicaConversation]
    ) throws {
        guard let conversation = conversations.first, seq >= conversation.first, seq <= conversation.head else {
            throw noMessage(seq, conversations)
        }
        var filter = MessageFilter()
        filter.isFolded = walk.mode != .records
        guard let seqs = try walk.replica.window(around: seq, count: count, conversation, filter) else { return }
        var window = LogWalk(
            walk.replica, printer: printer,
            filter: MessageFilter(after: seqs.lowerBound.previous, before: seqs.upperBound.next), mode: walk.mode,
            keepsPlace: false, note: walk.note)
        if request.isReversed { try window.backward([conversation]) } else { try window.forward([conversation]) }
        walk = window
    }

    /// Saves the positions. The cursor moves only after the output is flushed.
    private mutating func finish(
        _ walk: LogWalk, _ conversations: [ReplicaConversation], _ replica: Replica
    ) throws {
        try printer.output.flush()
        if places != nil || request.marks { try pager?.finishShowing() }
        try places?.save(walk, conversations, of: replica)
    }

    /// Prints the newest messages from the server, if syncing up to them would take too long.
    private mutating func printPage(
        of name: String, count: Int, _ synced: SyncedReplica, _ follow: LogFollow?
    ) throws -> ExitCode {
        let page = try ServerPage(api: synced.api(), conversation: name, filter: request.filter)
        // This request comes first, so that a message that arrives between the two requests is not missed.
        let place = try follow.flatMap { _ in try page.head() }
        let messages = try page.newest(count)
        startPager()
        _ = try printer.write(request.isReversed ? messages.reversed() : messages)
        try printer.output.flush()
        if messages.isEmpty { try explainNothing(synced, .partial) }
        if let follow {
            let replica = try synced.replica(after: .partial)
            var walk = try makeWalk(replica, isCurrent: false)
            let conversation = place?.conversation ?? messages.last?.conversationID
            if let conversation {
                walk.place(conversation, at: max(place?.seq ?? .zero, messages.last?.seq ?? .zero))
            }
            try follow.run(&walk, places: &places, of: conversation)
        }
        return messages.isEmpty && request.saysNothingNew ? .nothingFound : .success
    }
}

extension ReplicaConversation {
    /// True if the replica begins so late that the lines of `count` messages that pass a filter are perhaps not all in it.
    fileprivate func mayLack(newest count: Int, _ filter: MessageFilter, _ replica: Replica) throws -> Bool {
        guard first > serverFirst else { return false }
        if !filter.senders.isEmpty || filter.until != nil { return true }
        let newest = min(head, filter.before?.previous ?? head)
        if newest < first || newest.distance(after: first.previous) < count { return true }
        // Edits and deletions have no line.
        var lacking = count
        try replica.backward(self, filter) { piece in
            if case .messages(let run) = piece {
                lacking -= run.positions.count { !run.records.kind(at: $0).isChange }
            }
            return lacking > 0
        }
        return lacking > 0
    }
}
