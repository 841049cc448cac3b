internal import NatterArchive
internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterSystem
internal import NatterWire

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
            .option("from", value: "USER", "run it only for messages of USER"),
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
                + "and NATTER_KIND describe the message; NATTER_ABOUT is the number that it answers, edits or deletes, and "
                + "NATTER_VIA the label of the token that sent it.",
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
        let command: String
        /// Whether records that are no texts count.
        private let takesEvents: Bool
        private let mention: Mention?
        private let sender: String?
        private let isPersonal: Bool
        private let takesOwn: Bool
        private let tries: Int64
        /// How often the command has failed for the message that a conversation waits for.
        private var failures: [ConversationID: (seq: Seq, count: Int64)] = [:]
        private let place: WatchPlace
        /// Held while the watch runs.
        private let lock: FileLock
        private let file: CursorFile
        /// The time when this watch was first started. In a conversation that appears later, older messages are not
        /// new.
        private var since = Timestamp(milliseconds: 0)
        private var positions: [ConversationID: Seq] = [:]
        /// The content of the file: the last position of each conversation at which the hash chain was known. It
        /// includes former conversations.
        private var cursors: [ConversationID: MessageCursor] = [:]
        /// Conversations whose position is beyond the replica's head.
        private var ahead: Set<ConversationID> = []
        private let diverged: DivergedHistories
        /// Whether the last sync has asked the server for everything that the replica lacks.
        private var isCurrent: Bool
        /// The first of the messages that cannot be read, before which a conversation waits.
        private var held: [ConversationID: Seq] = [:]
        private var pauses: [ConversationID: Pause] = [:]
        /// Where the replica was before it was looked through.
        private var seen: String?
        private var connection = Reconnection()
        /// Before this time, the server is not asked again.
        private var retry: Int64?

        /// The pause of a conversation whose next message failed.
        private struct Pause {
            var until: Int64
            var backoff: Backoff
        }

        init(_ context: Context) throws {
            self.context = context
            command = context.arguments.value("exec") ?? ""
            guard !command.isEmpty else { throw context.arguments.error("--exec needs a command") }
            // 'watch ls' would show another name than the one that 'watch drop' takes.
            let name = context.arguments.value("name")
            if let name, name.hasControlCharacter || name.utf8.count > 200 {
                throw context.arguments.error("the name of a watch has at most 200 bytes and no control characters")
            }
            // Before a command runs for a message that is there already.
            try context.refuseOffline()
            let synced = try SyncedReplica(context)
            self.synced = synced
            takesEvents = context.arguments.flag("events")
            mention = context.arguments.flag("mentions") ? Mention(of: synced.location.user) : nil
            sender = synced.sender(context.arguments.value("from"))
            (isPersonal, takesOwn) = (context.arguments.flag("personal"), context.arguments.flag("own"))
            tries = try context.arguments.integer("tries", in: 1...1_000_000) ?? WatchCommand.standardTries
            // A time before the sync, because messages after it are new. They have the server's times, so its clock is
            // preferred, less a second, in which the head of its answer may follow what the answer shows.
            let here = context.now
            let state = try synced.refresh(.completely)
            isCurrent = state.isCurrent
            diverged = try DivergedHistories(synced.location)
            let replica = try synced.replica(after: state)
            let words = context.arguments.operands("CONV")
            let found = try words.map { try Run.conversation($0, synced, replica, state) }
            named = found
            let directory = WatchPlace.directory(of: synced.location)
            try PosixDisk().makeDirectories(directory)
            place = WatchPlace(
                directory, name: name, words: words, conversations: found)
            lock = try place.lock()
            file = CursorFile(path: place.path, remedy: WatchPlace.restart)
            try begin(
                replica, isCurrent: state.isCurrent, at: synced.firstAnswered?.advanced(milliseconds: -1_000) ?? here)
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
                try wait()
            }
        }

        /// Loads the positions of this watch, or starts at the newest messages.
        private mutating func begin(_ replica: Replica, isCurrent: Bool, at now: Timestamp) throws {
            let start = StartFile(path: place.path + ".start")
            if case .all(_, let known) = try file.read() {
                cursors = known
                since = try start.read()?.time ?? now
                try start.write(since, place.description)
                positions = known.mapValues(\.seq)
                return try check(watched(replica), in: replica, isCurrent: isCurrent)
            }
            if try start.read() != nil {
                throw CommandFailure(
                    .invalidData, code: "bad_cursor",
                    "the positions of this watch are gone from '\(place.path)'; \(WatchPlace.restart)")
            }
            since = now
            // Behind what the replica has, there may be more that is older than this start. Its time tells.
            for conversation in isCurrent ? try replica.conversations(includingGone: true) : [] {
                positions[conversation.id] = conversation.head
                cursors[conversation.id] = try replica.cursor(at: conversation.head, of: conversation)
            }
            try save()
            // Last, because it says that there are positions.
            try start.write(since, place.description)
        }

        /// Checks that the positions belong to the current history.
        ///
        /// - Parameter isCurrent: whether the replica has everything that the server has.
        /// - Throws: 65 if the history was replaced.
        private mutating func check(
            _ conversations: [ReplicaConversation], in replica: Replica, isCurrent: Bool
        ) throws {
            for conversation in conversations where !conversation.isGone {
                guard let cursor = cursors[conversation.id] else { continue }
                ahead.remove(conversation.id)
                switch try replica.standing(of: cursor, in: conversation) {
                case .good, .unknown: continue
                // The walk states what is missing between.
                case .notKept: positions[conversation.id] = conversation.first.previous
                // If the server was not reached, the position may be correct.
                case .ahead where !isCurrent: ahead.insert(conversation.id)
                case .ahead, .diverged, .foreign: throw expired(conversation.name)
                }
            }
        }

        private func expired(_ name: String) -> CommandFailure {
            CommandFailure(
                .invalidData, code: "cursor_expired",
                "the server was restored from a backup, and '\(name)' continues differently, so this watch has lost "
                    + "its place; forget it with 'natter watch drop \(Delivery.quoted(place.title))' to start at the newest messages"
            )
        }

        private mutating func watched(_ replica: Replica) throws -> [ReplicaConversation] {
            // Messages from before the user was removed from a group are still to be handled.
            if named.isEmpty { return try replica.conversations(includingGone: true) }
            return try named.indices.compactMap { try named[$0].find(in: replica, context) }
        }

        /// Runs the command for the new messages.
        private mutating func work() throws {
            seen = try synced.cursor()
            guard let replica = try synced.replica() else { return }
            let conversations = try watched(replica)
            // One that is not there any more is not tried again, so nothing may wait for it.
            pauses = pauses.filter { pause in conversations.contains { $0.id == pause.key } }
            if let aside = try diverged.first(where: { id in conversations.contains { $0.id == id } }),
                let replaced = conversations.first(where: { $0.id == aside.conversation })
            {
                throw expired(replaced.name)
            }
            for conversation in conversations where !ahead.contains(conversation.id) {
                if let pause = pauses[conversation.id], pause.until > MonotonicClock.now() { continue }
                let place = positions[conversation.id]
                var filter = MessageFilter(after: place ?? .zero)
                if place == nil { filter.since = since }
                guard conversation.head > filter.after else { continue }
                var failed = false
                try replica.forward(conversation, filter) { piece in
                    guard case .messages(let run) = piece else {
                        if case .missing(_, let range, let reason) = piece {
                            failed = reason.isFetchable(isCurrent: isCurrent)
                            tell(range, of: conversation, isHeld: failed)
                        }
                        return !failed
                    }
                    // The last of those that were passed over, whose position is not saved yet.
                    var passedOver: Seq?
                    for message in try replica.changed(run, folds: false) ?? run.messages() {
                        guard isWanted(message) else {
                            (passedOver, positions[conversation.id]) = (message.seq, message.seq)
                            continue
                        }
                        if let status = try handle(message) {
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
                        try move(conversation, to: message.seq, in: replica)
                        Signals.endIfForwarded()
                    }
                    if let passedOver { try move(conversation, to: passedOver, in: replica) }
                    return true
                }
                if !failed, isCurrent, positions[conversation.id] == nil {
                    try move(conversation, to: conversation.head, in: replica)
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
            let next = backoff.next()
            pauses[id] = Pause(until: MonotonicClock.now() + next, backoff: backoff)
        }

        private func isWanted(_ message: Message) -> Bool {
            guard takesEvents || message.kind == .text && !message.isDeleted && !message.isErased else { return false }
            // A message that an operator imports is never news, and its sender is a name that somebody wrote.
            if message.isImported { return false }
            // Without a label of a token, the user has typed it. A bot that answers itself never ends.
            if !takesOwn, message.via == nil, message.sender == synced.location.user { return false }
            if isPersonal, !message.conversation.hasPrefix("@") { return false }
            if let sender, NameRule.caseKey(sender) != NameRule.caseKey(message.sender) { return false }
            guard let mention else { return true }
            return Array(message.text.utf8).withUnsafeBytes { mention.isIn($0) }
        }

        /// - Returns: the status with which the command failed; nil if it succeeded.
        private func handle(_ message: Message) throws -> Int32? {
            var child = ChildProcess(words: ["/bin/sh", "-c", command])
            child.environment = [
                ("NATTER_CONVERSATION", message.conversation), ("NATTER_SEQ", message.seq.description),
                ("NATTER_SENDER", message.sender), ("NATTER_TIME", message.time.rfc3339),
                ("NATTER_TS", String(message.time.milliseconds)), ("NATTER_CURSOR", message.cursor.description),
                ("NATTER_KIND", message.kind.name), ("NATTER_ABOUT", message.about?.description),
                ("NATTER_VIA", message.via),
            ]
            // A bot that answers with 'natter' must not do so as somebody else, whom it would then answer.
            for option in ["home", "profile", "server", "token-file"] {
                let name = "NATTER_" + option.uppercased().replacing("-", with: "_")
                guard let value = context.arguments.value(option) ?? context.console.environment[name] else { continue }
                // It may change its directory.
                let isPath = option == "home" || option == "token-file"
                child.environment.append((name, isPath ? Path.absolute(value) : value))
            }
            child.input = Array(message.text.utf8)
            // The next start runs the command again if it has not ended well, and must not do so beside this one.
            child.forwarded = .all
            let status = try child.run().status
            if status != 0 { Signals.endIfForwarded() }
            return status == 0 ? nil : status
        }

        private mutating func move(_ conversation: ReplicaConversation, to seq: Seq, in replica: Replica) throws {
            positions[conversation.id] = seq
            // Next to a gap, the hash chain is unknown. The former position is safe.
            if let cursor = try replica.cursor(at: seq, of: conversation) { cursors[conversation.id] = cursor }
            try save()
        }

        private func save() throws { try file.write(.all(synced.location.store, cursors)) }

        /// Waits for new messages, or until a failed message should be retried.
        private mutating func wait() throws {
            let due = pauses.values.map(\.until).min()
            if let retry {
                Backoff.sleep(milliseconds: min(retry, due ?? .max) - MonotonicClock.now())
                if MonotonicClock.now() >= retry { self.retry = nil }
                return
            }
            let seconds = due.map {
                max(0, min(Reconnection.waitSeconds, Int(($0 - MonotonicClock.now() + 999) / 1_000)))
            }
            do {
                try take(synced.pull(waitSeconds: seconds ?? Reconnection.waitSeconds, waitsAt: seen))
            } catch  where SyncedReplica.isTransient(error, hasSpoken: synced.hasSpoken) {
                isCurrent = false
                postpone(after: error)
            }
            if let due, due > MonotonicClock.now() {
                Backoff.sleep(milliseconds: min(1_000, due - MonotonicClock.now()))
            }
        }

        /// Another command that syncs is no trouble.
        private mutating func postpone(after error: any Error) {
            if case SyncError.replica(.locked) = error {
                retry = MonotonicClock.now() + 1_000
            } else {
                retry = MonotonicClock.now() + connection.delay(after: error, context)
            }
        }

        private mutating func take(_ report: SyncReport) throws {
            isCurrent = report.isComplete
            if let error = report.interruption { postpone(after: error) } else { connection = Reconnection() }
            synced.tellTroubles(report)
            guard report.isComplete, !ahead.isEmpty, let replica = try synced.replica() else { return }
            try check(watched(replica).filter { ahead.contains($0.id) }, in: replica, isCurrent: true)
        }
    }
}
