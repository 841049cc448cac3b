internal import NatterWire
internal import NatterModel
internal import NatterSystem

/// Counts wrong passwords: 10 an account and 50 an address in 5 minutes, then nobody is let try for a while.
///
/// An attempt counts from its beginning, so that many at once don't slip through; one that succeeds is taken back.
final class LoginLimiter: Sendable {
    static let window: Int64 = 300_000
    static let perAccount = 10
    static let perAddress = 50
    /// Names and addresses kept at most; beyond it the oldest go.
    static let maximumEntries = 100_000

    struct Attempt: Sendable {
        fileprivate let account: String
        fileprivate let address: String
        fileprivate let time: Int64
    }

    private struct State {
        var accounts: [String: [Int64]] = [:]
        var addresses: [String: [Int64]] = [:]
    }

    private let state = Monitor(State())
    private let now: @Sendable () -> Int64

    init(now: @escaping @Sendable () -> Int64 = { MonotonicClock.now() }) { self.now = now }

    /// - Throws: `slow_down` with the seconds to wait.
    func begin(name: String, address: String) throws(APIError) -> Attempt {
        let now = now()
        let account = NameRule.caseKey(name)
        let wait: Int64? = state.withLock { state in
            let ofAccount = LoginLimiter.recent(state.accounts[account], now)
            let ofAddress = LoginLimiter.recent(state.addresses[address], now)
            if ofAccount.count >= LoginLimiter.perAccount { return ofAccount[0] + LoginLimiter.window - now }
            if ofAddress.count >= LoginLimiter.perAddress { return ofAddress[0] + LoginLimiter.window - now }
            state.accounts[account] = ofAccount + [now]
            state.addresses[address] = ofAddress + [now]
            LoginLimiter.bound(&state.accounts, now)
            LoginLimiter.bound(&state.addresses, now)
            return nil
        }
        if let wait {
            let seconds = Int(clamping: (wait + 999) / 1_000)
            throw APIError(
                .slowDown, "too many wrong passwords; try again in \(seconds) seconds", retryAfter: max(1, seconds))
        }
        return Attempt(account: account, address: address, time: now)
    }

    /// The password was right, or was never tried.
    func takeBack(_ attempt: Attempt) {
        state.withLock { state in
            LoginLimiter.remove(attempt.time, from: &state.accounts[attempt.account])
            LoginLimiter.remove(attempt.time, from: &state.addresses[attempt.address])
        }
    }

    private static func remove(_ time: Int64, from times: inout [Int64]?) {
        if let index = times?.firstIndex(of: time) { times?.remove(at: index) }
        if times?.isEmpty == true { times = nil }
    }

    private static func recent(_ times: [Int64]?, _ now: Int64) -> [Int64] {
        (times ?? []).filter { $0 > now - window }
    }

    private static func bound(_ entries: inout [String: [Int64]], _ now: Int64) {
        guard entries.count > maximumEntries else { return }
        entries = entries.filter { $0.value.last.map { $0 > now - window } ?? false }
        while entries.count > maximumEntries, let any = entries.keys.first { entries[any] = nil }
    }
}
