internal import NatterModel
internal import NatterProtocol
internal import NatterStore
internal import NatterSystem

/// Limits wrong passwords to 10 for one account from one network, and 50 for all accounts from one network, in 5 minutes.
/// A network is an IPv4 /24 or an IPv6 /64. Above that, further attempts are refused until old failures expire.
///
/// Nobody is locked out of their own account by others who guess from elsewhere.
///
/// Attempts that still run could all fail, so no more may run than failures are left. Otherwise many concurrent
/// attempts would exceed the limit. Only failures lead to a long wait. If too many attempts run, the next one is told
/// to retry soon.
///
/// Servers of a shared store count together.
final class LoginLimiter: Sendable {
    static let window: Int64 = 300_000
    static let perAccount = 10
    static let perNetwork = 50

    struct Attempt: Sendable {
        fileprivate let account: String
        let network: String
        fileprivate var shared: Int64?
    }

    /// The attempts at one account or from one network.
    private struct Record {
        /// When attempts failed, oldest first.
        var failures: [Int64] = []
        var running = 0
    }

    private struct State {
        var accounts: [String: Record] = [:]
        var networks: [String: Record] = [:]
    }

    private let maximumEntries: Int
    private let state = Monitor(State())
    private let now: @Sendable () -> Int64
    private let guesses: SharedGuesses?

    /// The number of stored names and networks.
    var count: Int { state.withLock { $0.accounts.count + $0.networks.count } }

    /// - Parameter maximumEntries: how many names, and how many networks, are stored. The oldest are removed first.
    init(
        maximumEntries: Int = 100_000, guesses: SharedGuesses? = nil,
        now: @escaping @Sendable () -> Int64 = { MonotonicClock.now() }
    ) {
        (self.maximumEntries, self.guesses, self.now) = (maximumEntries, guesses, now)
    }

    /// - Throws: `slow_down` with the seconds to wait, or `busy` if the outcome depends on attempts that still run.
    func begin(name: String, address: String) throws(APIError) -> Attempt {
        let now = now()
        let network = LoginLimiter.network(of: address)
        // No name contains a line feed.
        var attempt = Attempt(account: "\(LoginLimiter.key(name))\n\(network)", network: network)
        try state.withLock { state throws(APIError) in
            let ofAccount = LoginLimiter.recent(state.accounts[attempt.account], now)
            let ofNetwork = LoginLimiter.recent(state.networks[network], now)
            try LoginLimiter.check(ofAccount, limit: LoginLimiter.perAccount, now)
            try LoginLimiter.check(ofNetwork, limit: LoginLimiter.perNetwork, now)
            state.accounts[attempt.account] = ofAccount
            state.networks[network] = ofNetwork
            state.accounts[attempt.account]?.running += 1
            state.networks[network]?.running += 1
            bound(&state.accounts, now)
            bound(&state.networks, now)
        }
        do throws(APIError) { attempt.shared = try beginShared(attempt) } catch {
            cancel(attempt)
            throw error
        }
        return attempt
    }

    private func beginShared(_ attempt: Attempt) throws(APIError) -> Int64? {
        guard let guesses else { return nil }
        let limits = SharedGuesses.Limits(
            seconds: Int(LoginLimiter.window / 1_000), account: LoginLimiter.perAccount,
            network: LoginLimiter.perNetwork)
        switch try translate(guesses.begin(account: attempt.account, network: attempt.network, limits)) {
        case .begun(let id): return id
        case .refused(let seconds): throw LoginLimiter.tooMany(seconds)
        case .busy: throw LoginLimiter.tooManyAtOnce
        }
    }

    /// Ends an attempt whose password was right or was not checked.
    func cancel(_ attempt: Attempt) { end(attempt, failedAt: nil) }

    /// Ends an attempt whose name or password was wrong.
    func fail(_ attempt: Attempt) { end(attempt, failedAt: now()) }

    private func end(_ attempt: Attempt, failedAt time: Int64?) {
        if let shared = attempt.shared { guesses?.end(shared, isWrong: time != nil) }
        state.withLock { state in
            LoginLimiter.end(&state.accounts[attempt.account], failedAt: time)
            LoginLimiter.end(&state.networks[attempt.network], failedAt: time)
        }
    }

    private static func end(_ record: inout Record?, failedAt time: Int64?) {
        var ended = record ?? Record(running: 1)
        ended.running -= 1
        if let time { ended.failures.append(time) }
        record = ended.running <= 0 && ended.failures.isEmpty ? nil : ended
    }

    private static func check(_ record: Record, limit: Int, _ now: Int64) throws(APIError) {
        if record.failures.count >= limit {
            let seconds = Int(clamping: (record.failures[0] + window - now + 999) / 1_000)
            throw tooMany(max(1, seconds))
        }
        if record.failures.count + record.running >= limit { throw tooManyAtOnce }
    }

    private static func tooMany(_ seconds: Int) -> APIError {
        APIError(.slowDown, "too many wrong passwords; try again in \(seconds) seconds", retryAfter: seconds)
    }

    private static var tooManyAtOnce: APIError {
        APIError(.busy, "too many logins at once; try again in a moment", retryAfter: 1)
    }

    /// Clients may try names of any length. Only the first part, as long as a real name may be, tells them apart.
    private static func key(_ name: String) -> String {
        NameRule.caseKey(shortened(name))
    }

    /// A host with one IPv6 address usually controls a whole /64 network, and somebody with one IPv4 address often its
    /// neighbours.
    static func network(of address: String) -> String { PeerAddress(address)?.networkText ?? address }

    /// Truncates a name to one character more than the longest valid name, so that it matches no account.
    static func shortened(_ name: String) -> String {
        String(String.UnicodeScalarView(name.unicodeScalars.prefix(NameRule.maximumBytes + 1)))
    }

    private static func recent(_ record: Record?, _ now: Int64) -> Record {
        var recent = record ?? Record()
        recent.failures.removeAll { $0 <= now - window }
        return recent
    }

    private func bound(_ entries: inout [String: Record], _ now: Int64) {
        guard entries.count > maximumEntries else { return }
        // Remove more entries than necessary, so that not every new entry repeats this work.
        let ends = entries.values.map { $0.failures.last ?? now }.sorted()
        let oldest = max(now - LoginLimiter.window, ends[entries.count / 10])
        entries = entries.filter { $0.value.running > 0 || $0.value.failures.last ?? now > oldest }
    }
}
