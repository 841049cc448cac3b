internal import Glibc
internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterHTTP
internal import NatterModel
internal import NatterSystem
internal import NatterProtocol

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
        /// The server was not reached, or could not answer.
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
    let notes: SyncNotes

    /// - Parameter needsServer: false for commands that only read the replica. Then the token is not read.
    init(_ context: Context, needsServer: Bool = true) throws {
        (self.context, notes) = (context, SyncNotes(context))
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
        let report = try context.deliver(outbox, to: try api(), lockMilliseconds: Context.deliveryMilliseconds)
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

    /// The replica after a quick sync, for a command that needs no certain message. A note says if the server has more.
    ///
    /// - Throws: as `refresh` and `replica(after:)`.
    func quicklySynced() throws -> (Replica, State) {
        let state = try refresh(.quickly)
        let replica = try replica(after: state)
        if case .partial = state {
            context.console.note(
                "not everything new could be fetched, so this list is not complete; run 'natter sync'")
        }
        return (replica, state)
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

    /// Updates the replica before it is read, as every command does that reads. If the server is not reached or can't answer, it
    /// prints a note with the age of the replica, which is used as it is.
    ///
    /// - Throws: 69 or the server's error if it is not reached and nothing has been synced, 75 if not everything could be fetched, as on a
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
        } catch  where SyncedReplica.isAway(error) {
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
        notes.tell(report)
        while !report.isComplete {
            if depth == .quickly { return .partial }
            if let interruption = report.interruption { throw incomplete(SyncedReplica.reason(of: interruption)) }
            do { report = try pull() } catch
                where SyncedReplica.isTransient(error) || SyncedReplica.isUnwritable(error)
            {
                throw incomplete(SyncedReplica.reason(of: error))
            }
            notes.tell(report)
        }
        LostMessages.offer(self)
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

    /// True if the server can't answer, so that the replica does.
    static func isAway(_ error: any Error) -> Bool { RequestError(in: error)?.isAway == true }

    /// True if a retry may succeed.
    ///
    /// - Parameter hasSpoken: whether the server has answered before. Then something else that answers in its place will pass.
    static func isTransient(_ error: any Error, hasSpoken: Bool = false) -> Bool {
        if case SyncError.replica(.locked) = error { return true }
        return RequestError(in: error).map { $0.isTemporary || hasSpoken && $0.isFromElsewhere } ?? false
    }

    static func reason(of error: any Error) -> Phrase { RequestError(in: error)?.reason ?? "\(error)" }
}
