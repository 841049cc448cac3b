internal import NatterCLI
internal import NatterClient
internal import NatterCrypto
internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// `sync [CONV…]`: pulls what is new.
enum SyncCommand {
    static let spec = CommandSpec(
        "sync", "pull what is new", group: NatterProgram.Group.reading,
        options: [
            .option("wait", value: "S", "if there is nothing new, wait up to S seconds for it"),
            .option("since", value: "TIME", "let a new replica begin at TIME: older messages stay on the server"),
            .flag("exit-code", "end with status 1 if there was nothing new"),
        ],
        operands: [.optional("CONV", isRepeating: true, "tell about these, and wait for them, alone")],
        description: [
            "Sends what waits in the outbox, and pulls what is new into the replica, where 'log' and 'search' read it, "
                + "also without the server. It can be interrupted at any moment and goes on from there the next time.",
            "With --since, a replica that has nothing yet begins at that time, or up to a block of messages before. One "
                + "that has begun already stays as it is; 'natter logout --forget' removes it.",
        ],
        examples: [
            Example("natter sync", "everything that is new"),
            Example("natter sync --since -30d", "on a new machine: the last 30 days alone"),
            Example("natter sync --wait 60 --exit-code @bob", "until bob writes, but no longer than a minute"),
        ],
        run: { arguments, console in
            let context = Context(arguments, console)
            let wait = try arguments.seconds("wait", in: 0...86_400) ?? 0
            let earliest = try arguments.time("since", now: context.now)
            return try Run(
                context: context, mirror: try Mirror(context), waitMilliseconds: wait, earliest: earliest
            ).run()
        })

    private struct Run {
        let context: Context
        let mirror: Mirror
        let waitMilliseconds: Int64
        let earliest: Timestamp?

        func run() throws -> ExitCode {
            let deadline = MonotonicClock.now() + waitMilliseconds
            let meter = SyncMeter(context)
            let obstacle = try mirror.deliverOutbox()
            try checkBeginning()
            var wanted = Wanted(names: context.arguments.operands("CONV"))
            var found = try pull(waitSeconds: wanted.names.isEmpty ? seconds(until: deadline) : 0, meter)
            try wanted.resolve(mirror)
            found.keep(wanted)
            while found.isEmpty, seconds(until: deadline) > 0 {
                found = try pull(waitSeconds: seconds(until: deadline), meter)
                found.keep(wanted)
            }
            meter.clear()
            try tell(found.news)
            try context.console.output.flush()
            // None of this is what was asked for, so nothing of it is a reason to fail. What is left to be indexed is
            // indexed by the searches that need it.
            if !found.news.isEmpty { _ = try? ReplicaIndexing.run(at: mirror.location, budgetMilliseconds: 50) }
            try? refreshUsers()
            // That nothing could be sent is no reason to pull nothing.
            if let obstacle { throw obstacle }
            return found.isEmpty && context.arguments.flag("exit-code") ? .nothingFound : .success
        }

        /// A replica that begins later than was asked for is no answer to it.
        private func checkBeginning() throws {
            guard let earliest, let own = try mirror.replica()?.earliest(), earliest < own else { return }
            context.note(
                "the replica begins on \(LocalTime.text(own)) and stays so; 'natter logout --forget', then a login and "
                    + "'natter sync --since', let it begin earlier")
        }

        /// At most once a minute.
        private func refreshUsers() throws {
            if let fetched = try mirror.replica()?.usersFetched(),
                (fetched...fetched.advanced(milliseconds: 60_000)).contains(context.now)
            {
                return
            }
            try Replica.keep(mirror.api().users(), at: mirror.location, clock: context.console.clock)
        }

        private func seconds(until deadline: Int64) -> Int {
            let left = max(0, deadline - MonotonicClock.now())
            return min(Limits.waitSeconds.upperBound, Int((left + 999) / 1_000))
        }

        private func pull(waitSeconds: Int, _ meter: SyncMeter) throws -> Found {
            var report = try mirror.pull(waitSeconds: waitSeconds, earliest: earliest, progress: meter.show)
            var found = Found()
            found.add(report)
            mirror.tellTroubles(report)
            while !report.isComplete {
                if let interruption = report.interruption {
                    throw mirror.incomplete(Mirror.reason(of: interruption))
                }
                report = try mirror.pull(earliest: earliest, progress: meter.show)
                found.add(report)
                mirror.tellTroubles(report)
            }
            mirror.offerSurplus()
            return found
        }

        private func tell(_ news: [SyncReport.News]) throws {
            if context.wantsJSON {
                guard let replica = try mirror.replica() else { return }
                var told: Set<ConversationID> = []
                for item in news where told.insert(item.id).inserted {
                    guard let conversation = try replica.conversation(item.id) else { continue }
                    try context.console.output.writeJSON(
                        WireJSON.encode(try ConversationObject(conversation, in: replica)))
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

    /// What is new: messages, and conversations that nothing will come of any more.
    private struct Found {
        var news: [SyncReport.News] = []
        private var gone: Set<ConversationID> = []

        var isEmpty: Bool { news.isEmpty && gone.isEmpty }

        mutating func add(_ report: SyncReport) {
            news += report.news
            gone.formUnion(report.gone.map(\.id))
        }

        mutating func keep(_ wanted: Wanted) {
            news.removeAll { !wanted.includes($0.id) }
            gone = gone.filter { wanted.includes($0) }
        }
    }

    /// The conversations that somebody asks about; all if none is named.
    private struct Wanted {
        let names: [String]
        private var ids: Set<ConversationID> = []

        init(names: [String]) { self.names = names }

        /// - Throws: 67 for a name that nothing has.
        mutating func resolve(_ mirror: Mirror) throws {
            guard !names.isEmpty, let replica = try mirror.replica() else { return }
            for name in names {
                if let conversation = try replica.conversation(named: name) {
                    ids.insert(conversation.id)
                    if let reason = conversation.goneReason { mirror.tell(gone: conversation.name, reason: reason) }
                } else {
                    try mirror.checkExistence(of: name, replica, .current)
                }
            }
        }

        func includes(_ id: ConversationID) -> Bool { names.isEmpty || ids.contains(id) }
    }
}
