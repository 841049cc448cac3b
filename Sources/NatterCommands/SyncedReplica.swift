internal import Glibc
internal import NatterArchive
internal import NatterCLI
internal import NatterClient
internal import NatterHTTP
internal import NatterLanguage
internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// The replica of the account with the session, and the server from which it syncs.
final class SyncedReplica {
    /// How much to sync before reading.
    enum Depth {
        /// At most 2 seconds, or as many as '--timeout' says, and 8 MiB.
        case quickly
        /// Until the replica has everything that the server has.
        case completely
    }

    /// How current the replica is after `refresh`.
    enum State {
        /// It has everything that the server had.
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
    /// The session, read once. nil until it is needed.
    private var knownLogin: Context.Login?
    private var knownAPI: ServerAPI?
    private var opened: Replica?
    /// True if the outbox was checked since the last sync.
    private var hasDelivered = false
    /// Whether the server has answered a sync of this command.
    private(set) var hasSpoken = false
    /// The printed notes. They are not repeated, although each sync finds the same damage.
    private var told: Set<String> = []

    /// - Parameter needsServer: false for commands that only read the replica. Then the token is not read.
    init(_ context: Context, needsServer: Bool = true) throws {
        self.context = context
        var account = needsServer && !context.isOffline ? nil : try context.offlineAccount()
        // That of a token file may still be unknown.
        if account?.name == nil, !context.isOffline {
            (account, knownLogin, knownAPI) = try SyncedReplica.identify(context)
        }
        guard let location = try account.flatMap({ try context.home().replica(of: $0) }) else {
            throw ProfileError.notLoggedIn(profile: Profile.defaultName)
        }
        self.location = location
    }

    /// The account of the session. With a token file, it may have to ask the server.
    private static func identify(_ context: Context) throws -> (Account, Context.Login, ServerAPI) {
        let login = try context.login()
        let api = try context.api(of: login)
        if login.account.name != nil { return (login.account, login, api) }
        let account = try context.remember(api.whoami(), of: login.token, api)
        return (account, Context.Login(account: account, token: login.token), api)
    }

    private func login() throws -> Context.Login {
        if let knownLogin { return knownLogin }
        let login = try context.login()
        knownLogin = login
        return login
    }

    /// The API. The outbox is sent before the first request.
    ///
    /// - Throws: also if the server cannot be reached for the outbox.
    func api() throws -> ServerAPI {
        let api = try knownAPI ?? context.api(of: login())
        knownAPI = api
        guard !hasDelivered else { return api }
        hasDelivered = true
        if let error = context.deliverOutbox(of: try login(), to: api),
            case .transport(.notReached, _) = error
        {
            throw error
        }
        return api
    }

    /// Sends the whole outbox without a time limit for all messages together.
    ///
    /// - Returns: why the server did not accept everything, if it was reached.
    func deliverOutbox() throws -> RequestError? {
        hasDelivered = true
        let outbox = try context.outbox(of: try login())
        let timeout = try context.timeoutMilliseconds()
        let report = try OutboxDelivery(outbox, api: try api()).run(
            timeoutMilliseconds: timeout, lockMilliseconds: Context.deliveryMilliseconds)
        context.tell(report)
        if report.isElsewhere { throw OutboxError.locked(path: outbox.location.directory) }
        if let error = report.interruption, error.isNotReached { throw error }
        return report.interruption
    }

    /// The server's time at its first answer, to the second; nil if it gave none.
    var firstAnswered: Timestamp? { knownAPI?.firstAnswered }

    /// The replica, opened once, or nil if nothing has been synced.
    func replica() throws -> Replica? {
        if let opened { return opened }
        opened = try Replica.open(at: location)
        return opened
    }

    /// The replica for a command that runs on: opened again if it was removed or made anew meanwhile.
    func currentReplica() throws -> Replica? {
        if opened?.isReplaced == true { opened = nil }
        return try replica()
    }

    /// The replica after a refresh.
    ///
    /// - Throws: 69 if nothing has been synced.
    func replica(after state: State) throws -> Replica {
        guard let replica = try replica(), try SyncedReplica.hasBegun(replica) else { throw nothingThere(state) }
        return replica
    }

    /// The replica without a sync before it.
    ///
    /// - Parameter needsSync: false for what is fetched without a sync, such as the list of users.
    func unsyncedReplica(needsSync: Bool = true) throws -> Replica? {
        try replica().flatMap { try needsSync && !SyncedReplica.hasBegun($0) ? nil : $0 }
    }

    /// Whether a sync has brought anything. One that was cut off at its beginning leaves a replica without a word.
    private static func hasBegun(_ replica: Replica) throws -> Bool {
        try replica.lastSync() != nil || replica.hasConversations()
    }

    // MARK: - Syncing

    /// Where the replica is now. A command that looks at its conversations after this, and then waits at it, misses nothing.
    func cursor() throws -> String? { try currentReplica()?.cursor() }

    /// Syncs once.
    ///
    /// - Parameter waitsAt: waits only while the replica is there, because another command may have brought news; nil to wait
    ///   anyway.
    func pull(
        milliseconds: Int? = nil, bytes: Int? = nil, waitSeconds: Int = 0, waitsAt: String? = nil,
        earliest: Timestamp? = nil, progress: ((SyncProgress) -> Void)? = nil
    ) throws -> SyncReport {
        let client = SyncClient(api: try api(), location: location)
        // The next request may come much later, and a message may be queued meanwhile.
        defer { hasDelivered = false }
        var limits = SyncClient.Limits(
            deadlineMilliseconds: milliseconds, bytes: bytes, waitSeconds: waitSeconds, earliest: earliest)
        limits.waitsAt = waitsAt
        limits.followsRetention = try context.setting(.retention) == Setting.followingRetention
        // Without a replica that can be opened, the sync finds out why.
        let report = try client.sync(limits, replica: try? replica(), progress: progress)
        hasSpoken = true
        if report.quarantined != nil { opened = nil }
        return report
    }

    /// Updates the replica before it is read. If the server is not reached, it prints a note, and the replica is used as it is.
    ///
    /// - Throws: 69 if the server is not reached and nothing has been synced, 75 if not everything could be fetched, as on a
    ///   full or read-only disk.
    func refresh(_ depth: Depth) throws -> State {
        if context.isOffline {
            try unsyncedReplica().map(tellIncomplete)
            return .offline
        }
        var report: SyncReport
        do {
            do {
                // A user who gives a time wants to wait that long, even for a server that takes its time.
                let given = try context.arguments.seconds("timeout", in: Setting.timeoutSeconds).map { Int($0) }
                report = try pull(
                    milliseconds: given ?? SyncedReplica.quickMilliseconds, bytes: SyncedReplica.quickBytes)
            } catch SyncError.replica(.locked) where depth == .completely {
                // Another process is syncing. Only a sync without a time limit waits as long as one that is short of disk may take.
                report = try pull()
            }
        } catch  where SyncedReplica.isNotReached(error) {
            guard let state = try stale(SyncedReplica.reason(of: error)) else { throw error }
            return state
        } catch  where SyncedReplica.isUnwritable(error) {
            let reason = SyncedReplica.reason(of: error)
            guard depth == .quickly, try replica() != nil else { throw incomplete(reason) }
            context.console.note("the replica cannot take what is new: \(reason)")
            return .partial
        } catch SyncError.replica(.locked) where depth == .quickly {
            // Another process is syncing, and may be far from its end.
            return .partial
        }
        tellTroubles(report)
        if report.isComplete {
            offerDivergedMessages()
            return .current
        }
        if depth == .quickly { return .partial }
        while !report.isComplete {
            if let interruption = report.interruption { throw incomplete(SyncedReplica.reason(of: interruption)) }
            do { report = try pull() } catch
                where SyncedReplica.isTransient(error) || SyncedReplica.isUnwritable(error)
            {
                throw incomplete(SyncedReplica.reason(of: error))
            }
            tellTroubles(report)
        }
        offerDivergedMessages()
        return .current
    }

    /// Prints a note that the replica is used as it is.
    ///
    /// - Returns: nil if nothing has been synced yet.
    private func stale(_ reason: Phrase) throws -> State? {
        guard let replica = try unsyncedReplica() else { return nil }
        if let time = replica.lastSync() {
            context.note("\(reason); the replica was synced \(Age.text(of: time, now: context.now))")
        } else {
            context.note("\(reason); the replica is not complete yet: 'natter sync' fetches the rest")
        }
        return .stale(reason: reason)
    }

    /// Prints a note if the first sync has not come to its end. Until then, older messages than those that are there may be
    /// missing, and whole conversations.
    func tellIncomplete(_ replica: Replica) throws {
        guard replica.lastSync() == nil else { return }
        context.note("the replica is not complete yet: 'natter sync' fetches the rest")
    }

    /// Whether the replica cannot take what is new, because its disk is full or read-only. Its messages can still be read.
    private static func isUnwritable(_ error: any Error) -> Bool {
        guard case SyncError.replica(.storage(let cause)) = error else { return false }
        if cause.isFull { return true }
        return if case .disk(let error) = cause { error.isReadOnly } else { false }
    }

    /// Notes in the replica what the server has marked as read. If that fails, the next sync does it.
    func note(read marks: [ConversationID: Seq]) { try? Replica.note(read: marks, at: location) }

    /// Prints the problems that a sync has found.
    func tellTroubles(_ report: SyncReport) {
        for gone in report.gone { tell(gone: gone.name, reason: gone.reason) }
        for damage in report.damaged {
            let range = damage.range
            tell(
                "the server cannot read messages \(range.lowerBound) to \(range.upperBound) of '\(damage.name)'; each "
                    + "sync asks for them again")
        }
        if let directory = report.quarantined {
            tell("the replica's database was damaged and has been made anew; the damaged one is in '\(directory)'")
        }
        for diverged in report.diverged {
            context.console.note(
                "the server was restored from a backup, and '\(diverged.name)' continues differently; the former "
                    + "messages are in '\(diverged.directory)'")
        }
    }

    /// Prints a note once.
    func tell(_ note: Phrase) {
        if told.insert(note.text).inserted { context.console.note(note) }
    }

    /// Prints once why a conversation receives no new messages.
    func tell(gone name: String, reason: String) {
        let note = SyncedReplica.note(ofGone: name, reason: reason)
        if told.insert(note.text).inserted { context.note(note) }
    }

    private static func note(ofGone name: String, reason: String) -> Phrase {
        switch reason {
        case "removed": "you were removed from '\(name)'; the messages that you have synced stay"
        case "left": "you have left '\(name)'; the messages that you have synced stay"
        case "deleted": "'\(name)' was deleted; the messages that you have synced stay"
        case "missing":
            "the server was restored from a backup and does not have '\(name)'; the messages that you have synced stay"
        default: "'\(name)' gets no new messages (\(reason)); the messages that you have synced stay"
        }
    }

    func incomplete(_ reason: Phrase) -> CommandFailure {
        CommandFailure(
            .temporary, code: "incomplete",
            "could not fetch everything new: \(reason); what arrived is kept. Try again, or use --offline")
    }

    /// The error if there is no replica.
    private func nothingThere(_ state: State) -> CommandFailure {
        switch state {
        case .stale(let reason):
            CommandFailure(
                .unavailable, code: "not_reached",
                "\(reason); nothing has been synced "
                    + "yet")
        default:
            CommandFailure(.unavailable, code: "nothing_synced", "nothing has been synced yet; leave out --offline")
        }
    }

    /// True if the server gave no answer.
    static func isNotReached(_ error: any Error) -> Bool { RequestError(in: error)?.isNotReached == true }

    /// True if a retry may succeed.
    ///
    /// - Parameter hasSpoken: whether the server has answered before. Then something else that answers in its place will pass.
    static func isTransient(_ error: any Error, hasSpoken: Bool = false) -> Bool {
        if case SyncError.replica(.locked) = error { return true }
        return RequestError(in: error).map { $0.isTemporary || hasSpoken && $0.isFromElsewhere } ?? false
    }

    static func reason(of error: any Error) -> Phrase { RequestError(in: error)?.reason ?? "\(error)" }
}

extension SyncedReplica {
    /// After a complete sync, checks the messages that were set aside and offers to send the user's own ones again.
    /// Nothing is sent automatically, because the user may already have written them again.
    func offerDivergedMessages() {
        // An error here never fails the command. The next command tries again.
        do { try lookThroughDiverged() } catch {
            context.note(
                "could not check the messages that were set aside: "
                    + "\(error)")
        }
    }

    private func lookThroughDiverged() throws {
        let histories = try DivergedHistory.all(at: location).filter { !$0.isListed }
        guard !histories.isEmpty, let replica = try replica() else { return }
        let outbox = try context.outbox(of: try login())
        for history in histories {
            guard let now = try replica.conversation(history.conversation), !now.isGone else { continue }
            var offered = 0
            let (count, ownChanges) = try history.list(against: replica, now, own: location.user) { lost in
                offered = lost.count
                try outbox.park(
                    lost.map {
                        SendRequest(
                            conversation: now.name, conversationID: now.groupID, text: $0.text, id: $0.id,
                            about: $0.about?.rawValue)
                    }, code: "lost",
                    reason: "the server lost it when it was restored from a backup", at: context.now)
            }
            guard count > 0 else { continue }
            context.console.note(
                .plural(
                    count,
                    "\(count) message of '\(now.name)' now exists only in '\(history.directory)/messages.ndjson'",
                    "\(count) messages of '\(now.name)' now exist only in '\(history.directory)/messages.ndjson'"))
            if ownChanges > 0 {
                context.console.note(
                    .plural(
                        ownChanges,
                        "\(ownChanges) of them is an edit or a deletion of yours: look whether you want it again",
                        "\(ownChanges) of them are edits or deletions of yours: look whether you want them again"))
            }
            guard offered > 0 else { continue }
            context.console.note(
                .plural(
                    offered,
                    "\(offered) of them is yours: 'natter outbox retry' sends it again, 'natter outbox ls' shows it",
                    "\(offered) of them are yours: 'natter outbox retry' sends them again, 'natter outbox ls' shows them"
                ))
        }
    }
}
