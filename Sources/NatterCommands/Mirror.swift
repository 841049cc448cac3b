internal import NatterCLI
internal import NatterClient
internal import NatterHTTP
internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// The replica of whoever is logged in, and the server that it follows.
final class Mirror {
    /// How far to sync before reading.
    enum Depth {
        /// At most 2 seconds and 8 MiB.
        case quickly
        /// Until all is there that the server has.
        case completely
    }

    /// What a replica is worth after `refresh`.
    enum State {
        /// It has all that the server had.
        case current
        /// The server has more.
        case partial
        /// The server was not reached.
        case stale(reason: Phrase)
        case offline

        var isCurrent: Bool { if case .current = self { true } else { false } }
        var isReached: Bool {
            switch self {
            case .current, .partial: true
            case .stale, .offline: false
            }
        }
    }

    static let quickMilliseconds = 2_000
    static let quickBytes = 8 << 20

    let context: Context
    let location: ReplicaLocation
    private let account: Account
    private var knownAPI: ServerAPI?
    private var opened: Replica?
    /// Whether the outbox was looked at since the last sync.
    private var hasDelivered = false
    /// What need not be said again; each sync meets the same damage.
    private var told: Set<String> = []

    /// - Parameter needsServer: false for what reads the replica only; then the token is not looked at.
    init(_ context: Context, needsServer: Bool = true) throws {
        self.context = context
        if needsServer, !context.isOffline {
            (account, knownAPI) = try Mirror.identify(context)
        } else {
            let known = try context.offlineAccount()
            // Of a token that was given as a file nothing may be known yet.
            if known.name == nil, !context.isOffline {
                (account, knownAPI) = try Mirror.identify(context)
            } else {
                account = known
            }
        }
        guard let name = account.name, let store = account.store else {
            throw ProfileError.notLoggedIn(profile: Profile.defaultName)
        }
        location = try context.home().replica(store: store, user: name)
    }

    /// Whose the session is; a token that was given as a file may have to be asked about.
    private static func identify(_ context: Context) throws -> (Account, ServerAPI) {
        let login = try context.login()
        let api = try context.api(at: try context.address(remembered: login.account.server), token: login.token)
        if login.account.name != nil { return (login.account, api) }
        let answer = try api.whoami()
        let account = Account(server: api.address.description, name: answer.name, store: api.store)
        try context.home().tokenAccount(login.token).store(account)
        return (account, api)
    }

    /// What waits in the outbox is sent before anything else is asked for.
    ///
    /// - Throws: also if the server is not reached with that.
    func api() throws -> ServerAPI {
        let api = try knownAPI ?? context.api(deliveringOutbox: false)
        knownAPI = api
        guard !hasDelivered else { return api }
        hasDelivered = true
        if let error = context.deliverOutbox(of: try context.login(), to: api),
            case .transport(.notReached, _) = error
        {
            throw error
        }
        return api
    }

    /// Sends all that waits, however long it takes.
    ///
    /// - Returns: why the server did not take it, if it was reached.
    func deliverOutbox() throws -> APIError? {
        hasDelivered = true
        let outbox = try context.outbox(of: try context.login())
        let timeout = try context.timeoutMilliseconds()
        let report = try OutboxDelivery(outbox, api: try api()).run(
            timeoutMilliseconds: timeout, lockMilliseconds: Context.deliveryMilliseconds)
        context.tell(report)
        if let error = report.interruption, error.isNotReached { throw error }
        return report.interruption
    }

    /// The replica, opened once; nil if nothing was ever synced.
    func replica() throws -> Replica? {
        if let opened { return opened }
        opened = try Replica.open(at: location)
        return opened
    }

    // MARK: - Syncing

    /// One sync.
    func pull(
        milliseconds: Int? = nil, bytes: Int? = nil, waitSeconds: Int = 0, earliest: Timestamp? = nil,
        progress: ((SyncProgress) -> Void)? = nil
    ) throws -> SyncReport {
        // While one connection to the database is open, the others that a sync opens cost a fraction.
        _ = try? replica()
        let client = SyncClient(api: try api(), location: location)
        // What follows may wait for long, and something may be queued meanwhile.
        defer { hasDelivered = false }
        let limits = SyncClient.Limits(
            deadlineMilliseconds: milliseconds, bytes: bytes, waitSeconds: waitSeconds, earliest: earliest)
        return try client.sync(limits, progress: progress)
    }

    /// Brings the replica up to date before it is read; where the server is not reached, says so and lets the replica do.
    ///
    /// - Throws: 69 if the server is not reached and nothing was ever synced; 75 if not all could be fetched.
    func refresh(_ depth: Depth) throws -> State {
        if context.isOffline { return .offline }
        var report: SyncReport
        do {
            report = try pull(milliseconds: Mirror.quickMilliseconds, bytes: Mirror.quickBytes)
        } catch  where Mirror.isNotReached(error) {
            guard let time = try replica()?.lastSync() else { throw error }
            let reason = Mirror.reason(of: error)
            context.note("\(reason); this is as of \(Age.text(of: time, now: context.now))")
            return .stale(reason: reason)
        } catch SyncError.replica(.locked) where depth == .quickly {
            // Somebody else is syncing: what is there will do.
            return .current
        }
        tellTroubles(report)
        if report.isComplete {
            offerSurplus()
            return .current
        }
        if depth == .quickly { return .partial }
        while !report.isComplete {
            if let interruption = report.interruption { throw incomplete(Mirror.reason(of: interruption)) }
            do { report = try pull() } catch  where Mirror.isTransient(error) {
                throw incomplete(Mirror.reason(of: error))
            }
            tellTroubles(report)
        }
        offerSurplus()
        return .current
    }

    /// What a sync has met that somebody should know of.
    func tellTroubles(_ report: SyncReport) {
        for gone in report.gone {
            tell(gone: gone.name, reason: gone.reason)
        }
        for damage in report.damaged {
            let range = damage.range
            let note: Phrase =
                "the server cannot read messages \(range.lowerBound) to \(range.upperBound) of '\(damage.name)'; "
                + "they are asked for again with each sync"
            if told.insert(note.english).inserted { context.console.note(note) }
        }
        for diverged in report.diverged {
            context.console.note(
                "the server was put back, and '\(diverged.name)' went on differently; what was here lies in "
                    + "'\(diverged.directory)'")
        }
    }

    /// Says why nothing new comes of a conversation, once.
    func tell(gone name: String, reason: String) {
        let note = Mirror.note(ofGone: name, reason: reason)
        if told.insert(note.english).inserted { context.note(note) }
    }

    private static func note(ofGone name: String, reason: String) -> Phrase {
        switch reason {
        case "removed": "you were taken out of '\(name)'; what was synced of it stays"
        case "left": "you have left '\(name)'; what was synced of it stays"
        case "deleted": "'\(name)' was deleted; what was synced of it stays"
        default: "'\(name)' gets nothing new any more (\(reason)); what was synced of it stays"
        }
    }

    func incomplete(_ reason: Phrase) -> CommandFailure {
        CommandFailure(
            .temporary, code: "incomplete",
            "not all that is new could be fetched: \(reason); what came is kept, try again, or use --offline")
    }

    /// Nothing to read from.
    func nothingThere(_ state: State) -> CommandFailure {
        switch state {
        case .stale(let reason): CommandFailure(.unavailable, code: "not_reached", "\(reason); nothing was synced yet")
        default: CommandFailure(.unavailable, code: "nothing_synced", "nothing was synced yet; leave out --offline")
        }
    }

    /// Whether another address would have to be tried, or another time: there was no answer.
    static func isNotReached(_ error: any Error) -> Bool {
        switch error {
        case let error as APIError: error.isNotReached
        case SyncError.api(let error): error.isNotReached
        default: false
        }
    }

    /// Whether the same may go well a little later.
    static func isTransient(_ error: any Error) -> Bool {
        switch error {
        case SyncError.api(.refused(let refusal)), APIError.refused(let refusal): [429, 503].contains(refusal.status)
        case SyncError.replica(.locked): true
        default: isNotReached(error)
        }
    }

    static func reason(of error: any Error) -> Phrase {
        switch error {
        case let error as APIError: error.reason
        case SyncError.api(let error): error.reason
        default: "\(error)"
        }
    }

    // MARK: - Names

    /// Whether somebody may read a conversation that is not in the replica: one with a user to whom nothing was written
    /// is there and empty.
    ///
    /// - Throws: 67 if there is no such conversation.
    func checkExistence(of name: String, _ replica: Replica, _ state: State) throws {
        let key = NameRule.caseKey(name)
        // Those two are always there, but a token may not be good for them.
        let isAlwaysThere = key == "general" || key == "@me" || key == NameRule.caseKey("@" + location.user)
        if isAlwaysThere, context.tokenFile == nil || !state.isReached { return }
        switch state {
        case .current, .partial: _ = try api().messages(of: name, query: [("limit", "1")])
        case .stale, .offline:
            let users = try replica.users()?.users ?? []
            guard !users.contains(where: { NameRule.caseKey("@" + $0.name) == key }) else { return }
            throw CommandFailure(
                .notFound, code: "no_such_conversation", "there is no conversation '\(name)' in the replica")
        }
    }
}
