internal import Glibc
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterSystem
internal import NatterProtocol

/// `sync [CONV…]`: fetches what is new.
enum SyncCommand {
    static let spec = CommandSpec(
        "sync", "fetch what is new", group: NatterProgram.Group.reading,
        options: [
            .option(
                "wait", value: "S", "if there is nothing new, wait for it up to S seconds",
                long: "It takes 0 to 86,400."),
            .option(
                "since", value: "TIME", "let a new replica begin at TIME: older messages stay on the server",
                long:
                    "See TIMES in natter(1). The replica keeps this beginning: natter-status(1) prints it, natter-log(1) "
                    + "and natter-search(1) name what they lack on standard error, and 'natter log -n' asks the server if the "
                    + "replica has too few messages."),
            .option(
                "files", value: "SIZE", "fetch files of messages, too, each up to SIZE",
                long:
                    "SIZE is a number of bytes, or of KiB, MiB or GiB with 'K', 'M' or 'G'. Without it no file is fetched; "
                    + "'natter get' fetches single ones. They go when their messages are erased."),
            .flag("exit-code", "exit with status 1 if there was nothing new"),
        ],
        operands: [.optional("CONV", isRepeating: true, "report and wait for these conversations only")],
        description: [
            "Send the outbox and fetch what is new into the replica, which 'log' and 'search' read even without the "
                + "server. You can interrupt it at any time; the next sync continues from there.",
            "With --since, an empty replica begins at that time, or up to a block of messages earlier. An existing "
                + "replica stays as it is; 'natter logout --forget' removes it.",
        ],
        examples: [
            Example("natter sync", "fetch everything new"),
            Example("natter sync --since -30d", "fetch only the last 30 days, on a new machine"),
            Example("natter sync --wait 60 --exit-code @bob", "wait until bob writes, but at most a minute"),
        ],
        run: inContext { context in
            let wait = try context.arguments.seconds("wait", in: 0...86_400) ?? 0
            let earliest = try context.arguments.time("since", now: context.now)
            let size = context.arguments.value("files")
            let fileBytes = size.flatMap { ByteCount.read($0) }
            if let size, fileBytes == nil {
                throw context.arguments.error("--files takes a size, such as '5M', not '\(size)'")
            }
            return try Run(
                context: context, synced: try SyncedReplica(context), waitMilliseconds: wait, earliest: earliest,
                fileBytes: fileBytes
            ).run()
        })

    private struct Run {
        let context: Context
        let synced: SyncedReplica
        let waitMilliseconds: Int64
        let earliest: Timestamp?
        /// The largest file that is fetched; nil to fetch none.
        let fileBytes: UInt64?

        /// About as many messages as can be indexed in 50 ms. After a longer sync, as the first one is, an index of a part
        /// would spare the next search little.
        private static let indexedCount = 20_000

        func run() throws -> ExitCode {
            let deadline = MonotonicClock.now() + waitMilliseconds
            let meter = ProgressLine(context)
            let obstacle: (any Error)?
            do { obstacle = try synced.deliverOutbox() } catch let error as OutboxError { obstacle = error }
            try checkBeginning()
            var wanted = Wanted(names: context.arguments.operands("CONV"))
            // Another command may record the news that this one waits for.
            var seen = waitMilliseconds > 0 ? try synced.cursor() : nil
            let before = seen == nil ? nil : try heads()
            func next(waitSeconds: Int) throws -> Found {
                var found = try pull(waitSeconds: waitSeconds, waitsAt: seen, meter)
                if let before {
                    seen = try synced.cursor()
                    try found.add(after: before, in: synced.replica())
                }
                return found
            }
            var found = try next(waitSeconds: wanted.names.isEmpty ? left(until: deadline).seconds : 0)
            try wanted.resolve(synced)
            found.keep(wanted)
            while found.isEmpty, case let (seconds, rest) = left(until: deadline), seconds > 0 || rest > 0 {
                // The server waits for whole seconds.
                if seconds == 0 { usleep(rest * 1_000) }
                found = try next(waitSeconds: seconds)
                try wanted.resolveNew(synced)
                found.keep(wanted)
            }
            meter.clear()
            try tell(found.news)
            try context.console.output.flush()
            // These are extras, so they cannot fail the command. A later search indexes the rest.
            if (1...Run.indexedCount).contains(found.count) {
                _ = try? ReplicaIndexing.run(at: synced.location, budgetMilliseconds: 50)
            }
            try? refreshUsers()
            if let fileBytes { try fetchFiles(upTo: fileBytes) }
            // A failure to send must not prevent fetching.
            if let obstacle { throw obstacle }
            return found.isEmpty && context.arguments.flag("exit-code") ? .nothingFound : .success
        }

        private func fetchFiles(upTo size: UInt64) throws {
            try Replica.dropUnknownFiles(at: synced.location)
            guard let replica = try synced.currentReplica() else { return }
            let meter = ProgressLine(context)
            defer { meter.clear() }
            for file in try replica.lackingFiles(upTo: size) {
                guard let path = try Replica.expect(file, at: synced.location) else { continue }
                let download = FileDownload(file.record, from: try synced.api()) {
                    meter.show($0, of: file.record.size)
                }
                do { try download.save(as: path, replaces: true) } catch RequestError.refused(let refusal)
                    where [404, 410].contains(refusal.status)
                {
                    // It was deleted since the sync.
                    continue
                }
            }
        }

        /// Prints a note if the replica begins later than requested.
        private func checkBeginning() throws {
            guard let earliest, let own = try synced.replica()?.earliest(), earliest < own else { return }
            context.note(
                "the replica begins on \(LocalTime.text(own)) and stays so; to begin earlier, run 'natter logout "
                    + "--forget', log in and run 'natter sync --since'")
        }

        /// Fetches the list of users, at most once a minute.
        private func refreshUsers() throws {
            if let fetched = try synced.replica()?.usersFetched(),
                (fetched...fetched.advanced(milliseconds: 60_000)).contains(context.now)
            {
                return
            }
            try Replica.keep(
                synced.api().everything(API.users, \.name), at: synced.location, clock: context.console.clock)
        }

        private func left(until deadline: Int64) -> (seconds: Int, milliseconds: UInt32) {
            let left = max(0, deadline - MonotonicClock.now())
            return (min(Limits.waitSeconds.upperBound, Int(left / 1_000)), UInt32(left % 1_000))
        }

        /// How far the replica has each conversation.
        private func heads() throws -> [ConversationID: Seq]? {
            try synced.replica()?.conversations().reduce(into: [:]) { $0[$1.id] = $1.head }
        }

        private func pull(waitSeconds: Int, waitsAt: String?, _ meter: ProgressLine) throws -> Found {
            var found = Found()
            var seconds = waitSeconds
            while true {
                let report = try synced.pull(
                    waitSeconds: seconds, waitsAt: waitsAt, earliest: earliest, progress: meter.show)
                found.add(report)
                synced.notes.tell(report)
                if report.isComplete { break }
                if let interruption = report.interruption { throw synced.incomplete(interruption.reason) }
                // The rest is there already.
                seconds = 0
            }
            LostMessages.offer(synced)
            return found
        }

        private func tell(_ news: [SyncReport.News]) throws {
            if context.wantsJSON {
                guard let replica = try synced.replica() else { return }
                var told: Set<ConversationID> = []
                for item in news where told.insert(item.id).inserted {
                    guard let conversation = try replica.conversation(item.id) else { continue }
                    try context.writeJSON(ConversationObject(conversation, in: replica))
                }
                return
            }
            guard !news.isEmpty else { return context.confirm("nothing new") }
            var counts: [(name: String, count: Int)] = []
            for item in news {
                if let index = counts.firstIndex(where: { $0.name == item.name }) {
                    counts[index].count += item.count
                } else {
                    counts.append((item.name, item.count))
                }
            }
            let shown = Phrase.list(counts.prefix(5).map { "\($0.count) in '\($0.name)'" })
            context.confirm(counts.count > 5 ? "new messages: \(shown) and others" : "new messages: \(shown)")
        }
    }

    /// The result of a sync: new messages, and conversations that ended.
    private struct Found {
        var news: [SyncReport.News] = []
        private var gone: Set<ConversationID> = []

        var isEmpty: Bool { news.isEmpty && gone.isEmpty }
        var count: Int { news.reduce(0) { $0 + $1.count } }

        mutating func add(_ report: SyncReport) {
            news += report.news
            gone.formUnion(report.gone.map(\.id))
        }

        /// Adds what is newer than it was, whoever has fetched it.
        mutating func add(after heads: [ConversationID: Seq], in replica: Replica?) throws {
            for conversation in try replica?.conversations() ?? [] {
                let before = max(heads[conversation.id] ?? .zero, conversation.first.previous)
                guard conversation.head > before, !news.contains(where: { $0.id == conversation.id }) else { continue }
                let count = conversation.head.distance(after: before)
                news.append(SyncReport.News(name: conversation.name, id: conversation.id, count: count))
            }
        }

        mutating func keep(_ wanted: Wanted) {
            news.removeAll { !wanted.includes($0.id) }
            gone = gone.filter { wanted.includes($0) }
        }
    }

    /// The requested conversations, or all if none is named.
    private struct Wanted {
        let names: [String]
        private var ids: Set<ConversationID> = []
        /// The names of personal conversations that begin only with their first message.
        private var unknown: [String] = []

        init(names: [String]) { self.names = names }

        /// - Throws: 67 for an unknown name.
        mutating func resolve(_ synced: SyncedReplica) throws {
            guard !names.isEmpty, let replica = try synced.replica() else { return }
            for name in names {
                guard let conversation = try synced.conversation(named: name, in: replica, .current) else {
                    unknown.append(name)
                    continue
                }
                ids.insert(conversation.id)
                if let reason = conversation.goneReason { synced.notes.tell(gone: conversation.name, reason: reason) }
            }
        }

        /// Looks up what a sync may have brought.
        mutating func resolveNew(_ synced: SyncedReplica) throws {
            guard !unknown.isEmpty, let replica = try synced.replica() else { return }
            for name in unknown {
                if let conversation = try replica.conversation(named: name) { ids.insert(conversation.id) }
            }
        }

        func includes(_ id: ConversationID) -> Bool { names.isEmpty || ids.contains(id) }
    }
}

extension ProgressLine {
    /// The progress of a command that prints nothing else meanwhile.
    convenience init(_ context: Context) {
        self.init(context.console, isWanted: !context.arguments.flag("quiet") && !context.wantsJSON)
    }

    fileprivate func show(_ progress: SyncProgress) {
        show(
            .plural(
                progress.messages,
                "\(progress.messages) message, \(progress.receivedBytes >> 10) KiB: \(progress.conversation)",
                "\(progress.messages) messages, \(progress.receivedBytes >> 10) KiB: \(progress.conversation)"))
    }
}
