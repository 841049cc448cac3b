internal import NatterArchive
internal import Glibc
internal import NatterCLI
internal import NatterClient
internal import NatterCrypto
internal import NatterModel
internal import NatterSystem

/// `watch [CONV…] --exec CMD`: runs a command for each new message.
enum WatchCommand {
    static let spec = CommandSpec(
        "watch", "run a command for each new message", group: NatterProgram.Group.reading,
        options: [.option("exec", value: "CMD", isRequired: true, "what to run, by 'sh -c'")],
        operands: [.optional("CONV", isRepeating: true, "the conversations; all of them unless named")],
        description: [
            "Runs CMD for each message that comes after this watch, that is these conversations and this CMD, was started "
                + "for the first time. The text is on its standard input, without a newline added; NATTER_CONVERSATION, "
                + "NATTER_SEQ, NATTER_SENDER, NATTER_TIME (RFC 3339), NATTER_TS (Unix milliseconds), NATTER_CURSOR and "
                + "NATTER_KIND tell the rest.",
            "A message counts as done when CMD ends with status 0. Otherwise it is tried again, after a second, then two, "
                + "and so on up to a minute, and what comes after it in its conversation waits. So CMD runs at least once "
                + "for each message, also where the watch was stopped in between.",
        ],
        examples: [
            Example("natter watch ops --exec 'logger -t natter \"$NATTER_SENDER: $(cat)\"'", "into the system's log")
        ],
        run: { arguments, console in
            let context = Context(arguments, console)
            var run = try Run(context)
            try run.forever()
            return .success
        })

    private static let waitSeconds = 25
    private static let longestPauseMilliseconds: Int64 = 60_000

    private struct Run {
        let context: Context
        let mirror: Mirror
        let names: [String]
        let command: String
        private let file: CursorFile
        /// When this watch was started for the first time: of a conversation that appears later, what is older is no news.
        private let start: StartFile
        private var since = Timestamp(milliseconds: 0)
        private var positions: [ConversationID: Seq] = [:]
        /// What the file holds: the last place of each conversation whose chain was known, also of those that are gone.
        private var cursors: [ConversationID: MessageCursor] = [:]
        /// Conversations whose place is beyond what the replica has.
        private var ahead: Set<ConversationID> = []
        private var pauses: [ConversationID: Pause] = [:]

        /// A conversation whose next message has failed.
        private struct Pause {
            var until: Int64
            var milliseconds: Int64
        }

        init(_ context: Context) throws {
            self.context = context
            names = context.arguments.operands("CONV")
            command = context.arguments.value("exec") ?? ""
            guard !command.isEmpty else { throw context.arguments.error("--exec needs a command") }
            mirror = try Mirror(context)
            // The same words are the same watch, wherever it is started from.
            let key = Digest(of: Array((names.sorted() + [command]).joined(separator: "\0").utf8))
            let directory = mirror.location.directory + "/watches"
            try PosixDisk().makeDirectories(directory)
            let path = "\(directory)/\(key.description.prefix(16))"
            (file, start) = (CursorFile(path: path), StartFile(path: path + ".start"))
        }

        mutating func forever() throws {
            try begin()
            while true {
                try work()
                try wait()
            }
        }

        /// Finds where this watch was, or begins at the newest messages.
        private mutating func begin() throws {
            // Before the sync: what comes after that is news.
            let now = context.now
            let state = try mirror.refresh(.completely)
            guard let replica = try mirror.replica() else { throw mirror.nothingThere(state) }
            for name in names where try replica.conversation(named: name) == nil {
                try mirror.checkExistence(of: name, replica, state)
            }
            if case .all(_, let known) = try file.read() {
                cursors = known
                since = try start.read() ?? start.write(now)
                positions = known.mapValues(\.seq)
                return try check(watched(replica), in: replica, isCurrent: state.isCurrent)
            }
            since = try start.write(now)
            for conversation in try replica.conversations() {
                positions[conversation.id] = conversation.head
                cursors[conversation.id] = try replica.cursor(at: conversation.head, of: conversation)
            }
            try save()
        }

        /// Sees that the places are of the history that is here.
        ///
        /// - Parameter isCurrent: whether the replica has all that the server has.
        /// - Throws: 65 for a history that is no more.
        private mutating func check(
            _ conversations: [ReplicaConversation], in replica: Replica, isCurrent: Bool
        ) throws {
            for conversation in conversations {
                guard let cursor = cursors[conversation.id] else { continue }
                ahead.remove(conversation.id)
                switch try replica.standing(of: cursor, in: conversation) {
                case .good, .unknown: continue
                // With the server out of reach it may be right.
                case .ahead where !isCurrent: ahead.insert(conversation.id)
                case .ahead, .diverged, .foreign: throw expired(conversation.name)
                }
            }
        }

        private func expired(_ name: String) -> CommandFailure {
            CommandFailure(
                .invalidData, code: "cursor_expired",
                "the server was put back, and '\(name)' went on differently, so the place of this watch is no more; "
                    + "remove '\(file.path)' to begin at the newest messages")
        }

        private func watched(_ replica: Replica) throws -> [ReplicaConversation] {
            if names.isEmpty { return try replica.conversations() }
            return try names.compactMap { try replica.conversation(named: $0) }
        }

        /// Runs the command for what has come.
        private mutating func work() throws {
            guard let replica = try mirror.replica() else { return }
            for conversation in try watched(replica) where !ahead.contains(conversation.id) {
                if let pause = pauses[conversation.id], pause.until > MonotonicClock.now() { continue }
                let place = positions[conversation.id]
                var filter = MessageFilter(after: place ?? .zero)
                if place == nil { filter.since = since }
                guard conversation.head > filter.after else { continue }
                var failed = false
                try replica.forward(conversation, filter) { piece in
                    guard case .messages(let run) = piece else {
                        if case .missing(_, let range, _) = piece {
                            context.console.note(
                                "messages \(range.lowerBound) to \(range.upperBound) of '\(conversation.name)' are missing"
                            )
                        }
                        return true
                    }
                    for message in run.messages() {
                        guard try handle(message) else {
                            failed = true
                            return false
                        }
                        try move(conversation, to: message.seq, in: replica)
                    }
                    return true
                }
                if !failed, positions[conversation.id] == nil {
                    try move(conversation, to: conversation.head, in: replica)
                }
                if failed { postpone(conversation.id) } else { pauses[conversation.id] = nil }
            }
        }

        private mutating func postpone(_ id: ConversationID) {
            let last = pauses[id]?.milliseconds ?? 500
            let next = min(last * 2, WatchCommand.longestPauseMilliseconds)
            pauses[id] = Pause(until: MonotonicClock.now() + next, milliseconds: next)
        }

        /// - Returns: whether it was done.
        private func handle(_ message: Message) throws -> Bool {
            var child = ChildProcess(words: ["/bin/sh", "-c", command])
            child.environment = [
                ("NATTER_CONVERSATION", message.conversation), ("NATTER_SEQ", message.seq.description),
                ("NATTER_SENDER", message.sender), ("NATTER_TIME", message.time.rfc3339),
                ("NATTER_TS", String(message.time.milliseconds)), ("NATTER_CURSOR", message.cursor.description),
                ("NATTER_KIND", message.kind.name),
            ]
            child.input = Array(message.text.utf8)
            let status = try child.run().status
            if status != 0 {
                context.note(
                    "the command failed with status \(status) for message \(message.seq) of "
                        + "'\(message.conversation)'; it is tried again")
            }
            return status == 0
        }

        private mutating func move(_ conversation: ReplicaConversation, to seq: Seq, in replica: Replica) throws {
            positions[conversation.id] = seq
            // Beside a hole the chain is not known; the former place is safe.
            if let cursor = try replica.cursor(at: seq, of: conversation) { cursors[conversation.id] = cursor }
            try save()
        }

        private func save() throws { try file.write(.all(mirror.location.store, cursors)) }

        /// Until something comes, or a failed message is due again.
        private mutating func wait() throws {
            let due = pauses.values.map(\.until).min()
            let seconds = due.map {
                max(0, min(WatchCommand.waitSeconds, Int(($0 - MonotonicClock.now() + 999) / 1_000)))
            }
            do {
                try take(mirror.pull(waitSeconds: seconds ?? WatchCommand.waitSeconds))
            } catch  where Mirror.isTransient(error) {
                usleep(1_000_000)
            }
            if let due, due > MonotonicClock.now() {
                usleep(UInt32(clamping: min(1_000, due - MonotonicClock.now()) * 1_000))
            }
        }

        /// A history that was replaced can't be gone on with: numbers mean other messages now.
        private mutating func take(_ report: SyncReport) throws {
            mirror.tellTroubles(report)
            guard let replica = try mirror.replica() else { return }
            let conversations = try watched(replica)
            let diverged = Set(report.diverged.map(\.id))
            if let replaced = conversations.first(where: { diverged.contains($0.id) }) { throw expired(replaced.name) }
            guard report.isComplete, !ahead.isEmpty else { return }
            try check(conversations.filter { ahead.contains($0.id) }, in: replica, isCurrent: true)
        }
    }
}
