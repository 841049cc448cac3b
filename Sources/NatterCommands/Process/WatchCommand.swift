internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterSystem
internal import NatterProtocol

/// `watch [CONV…] --exec CMD`: runs a command for each new message.
enum WatchCommand {
    static let spec = CommandSpec(
        "watch", "run a command for each new message", group: NatterProgram.Group.reading,
        options: [
            .option("exec", value: "CMD", "the command to run, by 'sh -c'"),
            .option(
                "name", value: "NAME", names: .watches, "the name of the watch, for several with the same conversations"
            ),
            .option(
                "tries", value: "N", "how often to run CMD for a message that fails (default 5)",
                long: "It takes 1 to 1,000,000."),
            .flag(
                "failed", "print the messages for which CMD failed, instead of watching",
                long:
                    "They are of the watch with this --name or these conversations. With neither, they are of the watch of "
                    + "all conversations or, if there is none, of every watch. natter prints them as natter-log(1) does."
            ),
            .option(
                "from", value: "USER", isRepeatable: true, "run it only for messages of USER",
                long: "If you give several, it runs for messages of any of them."),
            .flag("personal", "run it only for messages of personal conversations"),
            .flag("own", "run it for your own messages, too"),
            .flag("events", "run it for events, edits and deletions too, not only for texts"),
            .flag("mentions", "run it only for messages with '@' and your name"),
        ],
        operands: [
            .optional("CONV", isRepeating: true, "the conversations (default: all), 'ls', or 'drop' and a name")
        ],
        description: [
            "Run CMD for each message of others that arrives after this watch was first started; with --own, for your own "
                + "messages, too. A watch is known by its --name, or else by its conversations, so another CMD continues "
                + "where the former one stopped. CMD gets the text on standard input, without a newline added. "
                + "NATTER_CONVERSATION, NATTER_SEQ, NATTER_SENDER, NATTER_TIME (RFC 3339), NATTER_TS (Unix milliseconds), NATTER_CURSOR "
                + "and NATTER_KIND describe the message; NATTER_ABOUT is the number that it answers, edits or deletes, "
                + "NATTER_VIA the label of the token that sent it, and NATTER_FILES has the names of its files, one on each "
                + "line.",
            "A message is done when CMD exits with status 0. Otherwise natter retries it after a second, then two, and "
                + "so on up to a minute, and later messages of its conversation wait. After --tries N runs it is kept for "
                + "'watch --failed', and the next message comes. So CMD runs at least once for each message, even if "
                + "the watch was stopped in between.",
            "SIGTERM, SIGHUP and SIGINT are passed on to a CMD that runs, and the watch ends when CMD has ended.",
            "'natter watch ls' lists your watches, with the name of each in the first column; 'natter watch drop NAME' forgets "
                + "one.",
        ],
        examples: [
            Example("natter watch ops --exec 'logger -t natter \"$NATTER_SENDER: $(cat)\"'", "log messages to syslog")
        ],
        run: inContext { context in
            if !context.arguments.has("exec") { return try WatchList(context).run() }
            if context.arguments.flag("failed") {
                throw context.arguments.error("--failed cannot be combined with --exec")
            }
            var run = try Run(context)
            try run.forever()
            return .success
        })

    private static let standardTries: Int64 = 5

    private struct Run {
        let context: Context
        let synced: SyncedReplica
        /// The watched conversations; none for all.
        private var named: [NamedConversation]
        private let filter: WatchFilter
        private let command: MessageCommand
        private let tries: Int64
        /// How often the command has failed for the message that a conversation waits for.
        private var failures: [ConversationID: (seq: Seq, count: Int64)] = [:]
        private let place: WatchPlace
        /// Held while the watch runs.
        private let lock: FileLock
        private var positions: WatchPositions
        private let diverged: DivergedHistories
        /// The first of the messages that cannot be read, before which a conversation waits.
        private var held: [ConversationID: Seq] = [:]
        /// The pause of a conversation whose next message failed.
        private var pauses: [ConversationID: (until: Int64, backoff: Backoff)] = [:]
        private var follower: ReplicaFollower

        init(_ context: Context) throws {
            self.context = context
            command = try MessageCommand(context)
            // 'watch ls' would show another name than the one that 'watch drop' takes.
            let name = context.arguments.value("name")
            if let name, name.hasControlCharacter || name.utf8.count > 200 {
                throw context.arguments.error("the name of a watch has at most 200 bytes and no control characters")
            }
            // Before a command runs for a message that is there already.
            try context.refuseOffline()
            let synced = try SyncedReplica(context)
            self.synced = synced
            filter = WatchFilter(context.arguments, synced)
            tries = try context.arguments.integer("tries", in: 1...1_000_000) ?? WatchCommand.standardTries
            // A time before the sync, because messages after it are new. They have the server's times, so its clock is
            // preferred, less a second, in which the head of its answer may follow what the answer shows.
            let here = context.now
            let state = try synced.refresh(.completely)
            follower = ReplicaFollower(synced, isCurrent: state.isCurrent, tellsLock: false)
            diverged = try DivergedHistories(synced.location)
            let replica = try synced.replica(after: state)
            let words = context.arguments.operands("CONV")
            named = try words.map { try Run.conversation($0, synced, replica, state) }
            let directory = WatchPlace.directory(of: synced.location)
            try PosixDisk().makeDirectories(directory)
            place = WatchPlace(directory, name: name, words: words, conversations: named)
            lock = try place.lock()
            positions = try WatchPositions(
                place, replica, isCurrent: state.isCurrent,
                at: synced.firstAnswered?.advanced(milliseconds: -1_000) ?? here)
            try positions.check(watched(replica), in: replica, isCurrent: state.isCurrent)
        }

        /// The conversation that the user named.
        ///
        /// - Throws: 67 if there is none.
        private static func conversation(
            _ word: String, _ synced: SyncedReplica, _ replica: Replica, _ state: SyncedReplica.State
        ) throws -> NamedConversation {
            if let found = try synced.conversation(named: word, in: replica, state) { return NamedConversation(found) }
            // A personal conversation has its id even before its first message.
            let object = state.isReached ? try? synced.api().perform(API.conversation, word) : nil
            return NamedConversation(name: object?.name ?? word, id: object.flatMap { ConversationID(hex: $0.id) })
        }

        mutating func forever() throws {
            while true {
                try work()
                guard let report = try follower.wait(until: pauses.values.map(\.until).min()) else { continue }
                synced.notes.tell(report)
                let ahead = positions.ahead
                guard report.isComplete, !ahead.isEmpty, let replica = try synced.replica() else { continue }
                try positions.check(watched(replica).filter { ahead.contains($0.id) }, in: replica, isCurrent: true)
            }
        }

        private mutating func watched(_ replica: Replica) throws -> [ReplicaConversation] {
            // Messages from before the user was removed from a group are still to be handled.
            if named.isEmpty { return try replica.conversations(includingGone: true) }
            return try named.indices.compactMap { try named[$0].find(in: replica, context) }
        }

        /// Runs the command for the new messages.
        private mutating func work() throws {
            guard let replica = try follower.replica() else { return }
            let conversations = try watched(replica)
            // One that is not there any more is not tried again, so nothing may wait for it.
            pauses = pauses.filter { pause in conversations.contains { $0.id == pause.key } }
            if let aside = try diverged.first(where: { id in conversations.contains { $0.id == id } }),
                let replaced = conversations.first(where: { $0.id == aside.conversation })
            {
                throw positions.expired(replaced.name)
            }
            for conversation in conversations where !positions.ahead.contains(conversation.id) {
                if let pause = pauses[conversation.id], pause.until > MonotonicClock.now() { continue }
                let place = positions[conversation.id]
                var unread = MessageFilter(after: place ?? .zero)
                if place == nil { unread.since = positions.since }
                guard conversation.head > unread.after else { continue }
                var failed = false
                try replica.forward(conversation, unread) { piece in
                    guard case .messages(let run) = piece else {
                        if case .missing(_, let range, let reason) = piece {
                            failed = reason.isFetchable(isCurrent: follower.isCurrent)
                            tell(range, of: conversation, isHeld: failed)
                        }
                        return !failed
                    }
                    // The last of those that were passed over, whose position is not saved yet.
                    var passedOver: Seq?
                    for message in try replica.changed(run, folds: false, showsFiles: true) ?? run.messages() {
                        guard filter.includes(message) else {
                            passedOver = message.seq
                            positions.pass(conversation.id, to: message.seq)
                            continue
                        }
                        if let status = try command.run(for: message) {
                            // Those of an earlier message, which is perhaps erased now or not kept any more, do not count.
                            let former = failures[conversation.id].flatMap { $0.seq == message.seq ? $0.count : nil }
                            let count = (former ?? 0) + 1
                            failures[conversation.id] = (message.seq, count)
                            guard count >= tries else {
                                context.note(
                                    "the command failed with status \(status) for message \(message.seq) of '\(message.conversation)'; retrying"
                                )
                                failed = true
                                return false
                            }
                            try self.place.keep(failed: self.place.failed() + [message.cursor])
                            let command = self.place.failedCommand
                            context.note(
                                .plural(
                                    count,
                                    "message \(message.seq) of '\(message.conversation)' has failed \(count) time, the last with status \(status); '\(command)' prints it",
                                    "message \(message.seq) of '\(message.conversation)' has failed \(count) times, the last with status \(status); '\(command)' prints it"
                                ))
                        }
                        failures[conversation.id] = nil
                        passedOver = nil
                        try positions.move(conversation, to: message.seq, in: replica)
                        Signals.endIfForwarded()
                    }
                    if let passedOver { try positions.move(conversation, to: passedOver, in: replica) }
                    return true
                }
                if !failed, follower.isCurrent, positions[conversation.id] == nil {
                    try positions.move(conversation, to: conversation.head, in: replica)
                }
                if failed { postpone(conversation.id) } else { pauses[conversation.id] = nil }
            }
        }

        private mutating func tell(_ range: ClosedRange<Seq>, of conversation: ReplicaConversation, isHeld: Bool) {
            guard isHeld else {
                return context.console.note(
                    "messages \(range.lowerBound) to \(range.upperBound) of '\(conversation.name)' are missing")
            }
            guard held.updateValue(range.lowerBound, forKey: conversation.id) != range.lowerBound else { return }
            context.console.note(
                "the watch waits before messages \(range.lowerBound) to \(range.upperBound) of '\(conversation.name)', which cannot be read here; run 'natter verify'"
            )
        }

        private mutating func postpone(_ id: ConversationID) {
            var backoff = pauses[id]?.backoff ?? .rerunning
            pauses[id] = (MonotonicClock.now() + backoff.next(), backoff)
        }
    }
}

/// The messages for which a watch runs its command.
private struct WatchFilter {
    private let user: String
    /// Whether records that are no texts count.
    private let takesEvents: Bool
    private let takesOwn: Bool
    private let isPersonal: Bool
    /// The keys of the only senders; none for all.
    private let senders: [String]
    private let mention: Mention?

    init(_ arguments: Arguments, _ synced: SyncedReplica) {
        user = synced.location.user
        (takesEvents, takesOwn) = (arguments.flag("events"), arguments.flag("own"))
        isPersonal = arguments.flag("personal")
        senders = synced.senders(arguments.values("from")).map { NameRule.caseKey($0) }
        mention = arguments.flag("mentions") ? Mention(of: user) : nil
    }

    func includes(_ message: Message) -> Bool {
        guard takesEvents || message.kind == .text && !message.isDeleted && !message.isErased else { return false }
        // A message that an operator imports is never news, and its sender is a name that somebody wrote.
        if message.isImported { return false }
        // Without a label of a token, the user has typed it. A bot that answers itself never ends.
        if !takesOwn, message.via == nil, message.sender == user { return false }
        if isPersonal, !message.conversation.hasPrefix("@") { return false }
        if !senders.isEmpty, !senders.contains(NameRule.caseKey(message.sender)) { return false }
        guard let mention else { return true }
        return Array(message.text.utf8).withUnsafeBytes { mention.isIn($0) }
    }
}

/// The user's command, which runs once for each message.
private struct MessageCommand {
    private let context: Context
    private let text: String

    init(_ context: Context) throws {
        self.context = context
        text = context.arguments.value("exec") ?? ""
        guard !text.isEmpty else { throw context.arguments.error("--exec needs a command") }
    }

    /// - Returns: the status with which the command failed; nil if it succeeded.
    func run(for message: Message) throws -> Int32? {
        var child = ChildProcess(words: ["/bin/sh", "-c", text])
        child.environment = [
            ("NATTER_CONVERSATION", message.conversation), ("NATTER_SEQ", message.seq.description),
            ("NATTER_SENDER", message.sender), ("NATTER_TIME", message.time.rfc3339),
            ("NATTER_TS", String(message.time.milliseconds)), ("NATTER_CURSOR", message.cursor.description),
            ("NATTER_KIND", message.kind.name), ("NATTER_ABOUT", message.about?.description),
            ("NATTER_VIA", message.via),
            ("NATTER_FILES", message.files.isEmpty ? nil : message.files.map(\.name).joined(separator: "\n")),
        ]
        // A bot that answers with 'natter' must not do so as somebody else, whom it would then answer.
        for option in ["home", "profile", "server"] {
            let name = "NATTER_" + option.uppercased()
            guard let value = context.arguments.value(option) ?? context.console.environment[name] else { continue }
            // It may change its directory.
            child.environment.append((name, option == "home" ? Path.absolute(value) : value))
        }
        child.environment += try context.tokenVariables()
        child.input = Array(message.text.utf8)
        // The next start runs the command again if it has not ended well, and must not do so beside this one.
        child.forwarded = .all
        let status = try child.run().status
        if status != 0 { Signals.endIfForwarded() }
        return status == 0 ? nil : status
    }
}
