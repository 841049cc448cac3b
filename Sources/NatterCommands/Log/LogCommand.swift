internal import NatterArchive
internal import NatterCLI
internal import NatterClient
internal import NatterLog
internal import NatterModel

/// `log [CONV]`: prints messages from the replica, after a sync.
enum LogCommand {
    static let spec = CommandSpec(
        "log", "print messages, oldest first", group: NatterProgram.Group.reading, options: options,
        operands: [.optional("CONV", "the conversation, 'general' unless named; '@bob' is that with bob")],
        description: [
            "Prints the messages of a conversation from the replica, after a quick sync of at most 2 seconds and 8 MiB. "
                + "Where that is not enough for the newest messages that -n asks for, that page comes from the server; "
                + "what asks for more goes on syncing until it has it.",
            "Where the server cannot be reached, the replica is printed, with a note of its age on standard error.",
            "-n is 20 on a terminal and all in a pipe. It counts the newest messages, but the oldest with --after and "
                + "--cursor-file, where it is all by default.",
            "With --cursor-file, only what is newer than the position in F is printed, and then F is replaced by the new "
                + "position: each message comes once, however often the command is run. A missing or empty F means from "
                + "the start.",
            "For TIME: \(TimeExpression.forms).",
        ],
        examples: [
            Example("natter log -n 5", "the five newest messages of 'general'"),
            Example("natter log @bob --since yesterday", "what bob and you wrote since then"),
            Example("natter log --cursor-file seen", "what is new since the last time"),
            Example("natter log -f --all", "everything, as it comes"),
        ],
        run: { arguments, console in
            var log = try Log(Context(arguments, console))
            return try log.run()
        })

    private static var options: [OptionSpec] {
        [
            .option("number", short: "n", value: "N", "at most N messages"),
            .flag("follow", short: "f", "go on with new messages as they come"),
            .option("since", value: "TIME", "only messages from TIME on"),
            .option("until", value: "TIME", "only messages before TIME"),
            .option("from", value: "USER", "only messages of USER"),
            .option("after", value: "SEQ", "only messages with a greater number"),
            .option("before", value: "SEQ", "only messages with a lesser number"),
            .option("around", value: "SEQ", "the messages around this number"),
            .flag("unread", "only what others wrote and is not marked as read"),
            .flag("mark", "then mark as read what was printed"),
            .flag("reverse", "newest first"),
            .flag("all", "every conversation, by time"),
            .option("cursor-file", value: "F", "only what is newer than the position in F; then replace F"),
            .flag("exit-code", "end with status 1 if there is nothing to print"),
            .option("format", value: "FORMAT", "%t time, %u Unix ms, %c conversation, %n number, %s sender, %m text"),
        ]
    }
}

/// One run of `log`.
private struct Log {
    let context: Context
    let request: LogRequest
    private var printer: MessagePrinter
    private var places: LogPlaces?
    private var pager: Pager?

    init(_ context: Context) throws {
        self.context = context
        request = try LogRequest(context)
        printer = MessagePrinter(context, format: request.format, showsConversation: request.scope == .all)
        places = try request.cursorFile.map { try LogPlaces(path: $0, scope: request.scope) }
    }

    mutating func run() throws -> ExitCode {
        defer { pager?.finish() }
        let mirror = try Mirror(context)
        printer.reader = mirror.location.user
        let state = try mirror.refresh(request.isPage && !request.marks ? .quickly : .completely)
        if case .partial = state, case .conversation(let name) = request.scope,
            case .newest(let count) = request.selection
        {
            let page = try ServerPage(api: mirror.api(), conversation: name, filter: request.filter)
            return try run(page, count: count, mirror)
        }
        guard let replica = try mirror.replica() else { throw mirror.nothingThere(state) }
        let conversations = try conversations(in: replica, mirror, state)
        if let conversation = conversations.first, case .newest(let count) = request.selection, state.isCurrent,
            case .conversation(let name) = request.scope, conversation.lacks(newest: count), !request.marks
        {
            let page = try ServerPage(api: mirror.api(), conversation: name, filter: request.filter)
            return try run(page, count: count, mirror)
        }
        startPager()
        var walk = makeWalk(replica)
        if request.isUnread { for conversation in conversations { walk.place(conversation.id, at: conversation.read) } }
        try printFirst(&walk, conversations, isCurrent: state.isCurrent)
        try tellBeginning(of: conversations, replica, printed: walk.printed)
        try finish(walk, conversations, replica)
        if request.marks { try mark(walk, conversations, mirror) }
        if request.follows {
            if places == nil { try placeGone(&walk) }
            try LogFollow(context: context, request: request, mirror: mirror).run(&walk, places: &places)
        }
        if walk.isDamaged {
            throw CommandFailure(
                .inputOutput, code: "damaged", "a part of the replica cannot be read; what can was printed")
        }
        return walk.printed == 0 && request.saysNothingNew ? .nothingFound : .success
    }

    /// States what a replica that begins late has left out.
    private func tellBeginning(of conversations: [ReplicaConversation], _ replica: Replica, printed: Int) throws {
        switch request.selection {
        case .newest(let count): if printed >= count { return }
        // What is not here lies before the first that was printed.
        case .oldest: break
        case .around(let seq, _): if conversations.contains(where: { seq > $0.first }) { return }
        case .all: break
        }
        let late = conversations.filter { conversation in
            let seen = max(request.filter.after, request.isUnread ? conversation.read : .zero)
            return conversation.first > max(seen, places?.start(of: conversation.id) ?? .zero).next
        }
        // Asked for last: nearly every replica has everything, and then there is nothing to look up.
        guard let first = late.first, let earliest = try replica.earliest(),
            request.filter.since.map({ $0 < earliest }) ?? true
        else { return }
        let beginning = LocalTime.text(earliest)
        context.console.note(
            late.count == 1
                ? "messages 1 to \(first.first.previous) of '\(first.name)' are not here: this replica begins on "
                    + "\(beginning); the server has them"
                : "older messages are not here: this replica begins on \(beginning); the server has them")
    }

    /// Only once there is something to print: what goes wrong before is told on the terminal itself.
    private mutating func startPager() {
        guard !request.follows, let started = Pager.start(context.console) else { return }
        pager = started
        let reader = printer.reader
        printer = MessagePrinter(
            context, format: request.format, showsConversation: request.scope == .all, pager: started)
        printer.reader = reader
    }

    private func makeWalk(_ replica: Replica) -> LogWalk {
        let context = context
        var filter = request.filter
        if request.isUnread { filter.excludedSender = replica.location.user }
        return LogWalk(
            replica, printer: printer, filter: filter, keepsPlace: request.cursorFile != nil,
            note: { context.console.note($0) })
    }

    /// Should one belong to them again, what was here before is no news.
    private func placeGone(_ walk: inout LogWalk) throws {
        for conversation in try walk.replica.conversations(includingGone: true)
        where conversation.isGone && walk.positions[conversation.id] == nil {
            walk.place(conversation.id, at: conversation.head)
        }
    }

    /// Only once the output is out: what was not seen is not read.
    private func mark(_ walk: LogWalk, _ conversations: [ReplicaConversation], _ mirror: Mirror) throws {
        for conversation in conversations {
            guard let seq = walk.shown[conversation.id], seq > conversation.read else { continue }
            _ = try mirror.api().markRead(conversation.name, upTo: seq)
        }
    }

    /// The conversations that are asked for, as they are in the replica.
    private func conversations(in replica: Replica, _ mirror: Mirror, _ state: Mirror.State) throws
        -> [ReplicaConversation]
    {
        guard case .conversation(let name) = request.scope else { return try replica.conversations() }
        if let conversation = try replica.conversation(named: name) {
            if let reason = conversation.goneReason {
                mirror.tell(gone: conversation.name, reason: reason)
            }
            return [conversation]
        }
        // One with somebody to whom nothing was ever written is there and empty.
        try mirror.checkExistence(of: name, replica, state)
        return []
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
        case .newest(let count) where request.isReversed: try walk.backward(conversations, limit: count)
        case .newest(let count):
            try walk.placeBeforeNewest(count, conversations)
            try walk.forward(conversations)
        case .oldest(let count) where request.isReversed:
            if let conversation = conversations.first { try walk.backward(oldest: count, conversation) }
        case .oldest(let count): try walk.forward(conversations, limit: count)
        case .around(let seq, let count): try printAround(seq, count, &walk, conversations)
        }
    }

    private func printAround(
        _ seq: Seq, _ count: Int, _ walk: inout LogWalk, _ conversations: [ReplicaConversation]
    ) throws {
        let head = conversations.first?.head ?? .zero
        guard let conversation = conversations.first, seq <= head else {
            throw CommandFailure(
                .notFound, code: "no_such_message", "there is no message \(seq); the newest has number \(head)")
        }
        // Half of them before it, and where the end is near more than half.
        let before = UInt64(count / 2)
        let latestStart = head.rawValue - min(head.rawValue, UInt64(max(0, count)))
        let start = min(seq.rawValue - min(seq.rawValue, before + 1), latestStart)
        var window = LogWalk(
            walk.replica, printer: printer,
            filter: MessageFilter(after: Seq(start), before: Seq(start).advanced(by: count).next), keepsPlace: false,
            note: walk.note)
        if request.isReversed { try window.backward([conversation]) } else { try window.forward([conversation]) }
        walk = window
    }

    /// The cursor moves only once the output is out.
    private mutating func finish(
        _ walk: LogWalk, _ conversations: [ReplicaConversation], _ replica: Replica
    ) throws {
        try printer.output.flush()
        try places?.save(walk, conversations, of: replica)
    }

    /// The newest messages from the server, where syncing up to them would take too long.
    private mutating func run(_ page: ServerPage, count: Int, _ mirror: Mirror) throws -> ExitCode {
        // First, so that what comes between the two requests is not passed over.
        let place = request.follows ? try page.head() : nil
        let messages = try page.newest(count)
        startPager()
        for message in request.isReversed ? messages.reversed() : messages where printer.shows(message.kind) {
            try printer.write(message)
        }
        try printer.output.flush()
        if request.follows {
            guard let replica = try mirror.replica() else { throw mirror.nothingThere(.partial) }
            var walk = makeWalk(replica)
            if let conversation = place?.conversation ?? messages.last?.conversationID {
                walk.place(conversation, at: max(place?.seq ?? .zero, messages.last?.seq ?? .zero))
            }
            try LogFollow(context: context, request: request, mirror: mirror).run(&walk, places: &places)
        }
        return messages.isEmpty && request.saysNothingNew ? .nothingFound : .success
    }
}

extension ReplicaConversation {
    /// Whether the replica began so late that it has not this many.
    fileprivate func lacks(newest count: Int) -> Bool {
        first > Seq(1) && head.distance(after: first.previous) < count
    }
}
