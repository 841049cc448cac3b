internal import NatterModel
internal import NatterSystem

/// How much of the server one account may use. A limit that is nil is no limit.
public struct AccountLimits: Sendable, Equatable {
    public var tokens: Int? = 100
    /// A further session ends the one that was unused for longest.
    public var sessions: Int? = 100
    /// Groups that the account has created and that still exist.
    public var groups: Int? = 1_000
    /// Groups that others have added an account to, and in which it has neither read nor written.
    public var groupsByOthers: Int? = 2_000
    /// How many of these one account may have added it to.
    public var groupsByOne: Int? = 200
    /// Users that the account adds to groups, itself included, in a day. Creating a group counts as one.
    public var membersPerDay: Int? = 10_000
    public var messagesPerMinute: Int?
    public var bytesPerDay: Int?
    public var requestsPerSecond: Int?
    /// Sessions that are unused for so many days end.
    public var sessionIdleDays: Int? = 90

    public init() {}

    subscript(kind: LimitReport.Kind) -> Int? {
        switch kind {
        case .tokens: tokens
        case .sessions: sessions
        case .groups: groups
        case .groupsByOthers: groupsByOthers
        case .groupsByOne: groupsByOne
        case .membersPerDay: membersPerDay
        case .messagesPerMinute: messagesPerMinute
        case .bytesPerDay: bytesPerDay
        case .requestsPerSecond: requestsPerSecond
        }
    }

    var sessionIdleMilliseconds: Int64? { sessionIdleDays.map { Int64($0) * 86_400_000 } }
}

/// One of the limits of an account, and how often it refused a request since the start.
public struct LimitReport: Sendable, Equatable {
    public enum Kind: String, Sendable, CaseIterable, Codable {
        case tokens, sessions, groups
        case groupsByOthers = "groups_by_others"
        case groupsByOne = "groups_by_one"
        case membersPerDay = "members_per_day"
        case messagesPerMinute = "messages_per_minute"
        case bytesPerDay = "bytes_per_day"
        case requestsPerSecond = "requests_per_second"
    }

    public let kind: Kind
    public let limit: Int?
    /// For sessions: how many were ended.
    public let refused: UInt64
}

/// Counts what accounts use, and refuses what is beyond their limits. It is in memory only, so a restart begins anew. It
/// holds one entry for each account that does something limited.
final class Quotas: Sendable {
    /// Uses within a minute or a day, which begins with the first use.
    private struct Window {
        private var start: Int64?
        private var used = 0

        /// Returns the seconds until `amount` can be used, or nil if it can be used now.
        mutating func wait(for amount: Int, limit: Int, length: Int64, now: Int64) -> Int? {
            // A clock that was set back begins a new window, too.
            if let begun = start, now >= begun, now - begun < length {
                if amount <= limit - used { return nil }
                return max(1, Int(clamping: (length - (now - begun) + 999) / 1_000))
            }
            (start, used) = (now, 0)
            return amount <= limit ? nil : Int(clamping: length / 1_000)
        }

        mutating func spend(_ amount: Int) { used += amount }

        /// A new window may have begun since.
        mutating func giveBack(_ amount: Int) { used = max(0, used - amount) }
    }

    /// Requests that may follow each other at once: those of a second. Thousandths of a request are added in each
    /// millisecond.
    private struct Bucket {
        var filled: Int64
        var thousandths: Int64
    }

    private struct Usage {
        var messages = Window()
        var bytes = Window()
        var members = Window()
        var requests: Bucket?
    }

    private struct State {
        var limits = AccountLimits()
        var usage: [AccountID: Usage] = [:]
        var refused: [LimitReport.Kind: UInt64] = [:]
    }

    private static let minute: Int64 = 60_000
    private static let day: Int64 = 86_400_000
    /// How long to wait if only deleting something helps.
    private static let longWaitSeconds = 3_600

    private let state = Monitor(State())

    func use(_ limits: AccountLimits) { state.withLock { $0.limits = limits } }

    var report: [LimitReport] {
        state.withLock { state in
            LimitReport.Kind.allCases.map { kind in
                LimitReport(kind: kind, limit: state.limits[kind], refused: state.refused[kind] ?? 0)
            }
        }
    }

    /// Counts sessions that were ended for a new one.
    func noteEnded(sessions: Int) {
        if sessions > 0 { state.withLock { $0.refused[.sessions, default: 0] += UInt64(sessions) } }
    }

    /// Throws if the account has as many robots' tokens as it may have.
    func checkTokens(_ count: Int) throws(StoreError) {
        try check(.tokens, count) {
            .plural(
                $0, "you have \($0) token, as many as you may; revoke it first",
                "you have \($0) tokens, as many as you may; revoke one first")
        }
    }

    /// Throws if the account has created as many groups as it may have.
    func checkGroups(_ count: Int) throws(StoreError) {
        try check(.groups, count) {
            .plural(
                $0, "you have created \($0) group, as many as you may; delete it first",
                "you have created \($0) groups, as many as you may; delete one first")
        }
    }

    /// Throws if a user is in as many groups as `adder` may add them to, or as all others together may.
    ///
    /// - Parameter unused: how many groups each account has added the user to in which the user has neither read nor written.
    func checkGroups(of user: UserName, _ unused: [AccountID: Int], addedBy adder: AccountID) throws(StoreError) {
        try check(.groupsByOne, unused[adder] ?? 0) { _ in
            "'\(user.text)' does not use the groups that you have added them to, and you may add them to no more"
        }
        try check(.groupsByOthers, unused.values.reduce(0, +)) { _ in
            "'\(user.text)' is in too many groups that others have added them to and that they do not use"
        }
    }

    private func check(
        _ kind: LimitReport.Kind, _ count: Int, _ phrase: (Int) -> Phrase
    ) throws(StoreError) {
        try state.withLock { state throws(StoreError) in
            guard let limit = state.limits[kind], count >= limit else { return }
            state.refused[kind, default: 0] += 1
            let isOfOthers = kind == .groupsByOne || kind == .groupsByOthers
            throw isOfOthers ? .quota(phrase(count)) : .slowDown(phrase(count), seconds: Quotas.longWaitSeconds)
        }
    }

    /// The amounts that an action counts for the limits of its account.
    struct Amounts {
        let account: AccountID
        var messages = 1
        let bytes: Int
        /// Users who are added to groups.
        var members = 0
    }

    /// Counts all amounts or, if one is more than the account may in this minute or day, none.
    ///
    /// - Returns: false if nothing of it is limited.
    func spend(_ amounts: Amounts, at now: Timestamp) throws(StoreError) -> Bool {
        try state.withLock { state throws(StoreError) in
            let limitsMessages = state.limits.messagesPerMinute != nil || state.limits.bytesPerDay != nil
            guard limitsMessages || amounts.members > 0 && state.limits.membersPerDay != nil else { return false }
            let account = amounts.account
            var usage = state.usage[account] ?? Usage()
            func check(
                _ kind: LimitReport.Kind, _ window: inout Window, _ amount: Int, _ length: Int64,
                _ phrase: (_ limit: Int, _ seconds: Int) -> Phrase
            ) throws(StoreError) {
                guard let limit = state.limits[kind],
                    let seconds = window.wait(for: amount, limit: limit, length: length, now: now.milliseconds)
                else { return }
                state.refused[kind, default: 0] += 1
                throw .slowDown(phrase(limit, seconds), seconds: seconds)
            }
            try check(.messagesPerMinute, &usage.messages, amounts.messages, Quotas.minute) {
                "you may send \($0) messages a minute; try again in \($1) seconds"
            }
            try check(.bytesPerDay, &usage.bytes, amounts.bytes, Quotas.day) {
                "you may send \($0) bytes a day; try again in \($1) seconds"
            }
            if amounts.members > 0 {
                try check(.membersPerDay, &usage.members, amounts.members, Quotas.day) {
                    "you may add \($0) users to groups in a day; try again in \($1) seconds"
                }
            }
            usage.messages.spend(amounts.messages)
            usage.bytes.spend(amounts.bytes)
            usage.members.spend(amounts.members)
            state.usage[account] = usage
            return true
        }
    }

    /// Uncounts what was not stored.
    func giveBack(_ list: [Amounts]) {
        if list.isEmpty { return }
        state.withLock { state in
            for amounts in list {
                state.usage[amounts.account]?.messages.giveBack(amounts.messages)
                state.usage[amounts.account]?.bytes.giveBack(amounts.bytes)
                state.usage[amounts.account]?.members.giveBack(amounts.members)
            }
        }
    }

    /// Counts a request.
    func spendRequest(of account: AccountID, now: Int64) throws(StoreError) {
        try state.withLock { state throws(StoreError) in
            guard let limit = state.limits.requestsPerSecond else { return }
            let full = Int64(limit) * 1_000
            var bucket = state.usage[account]?.requests ?? Bucket(filled: now, thousandths: full)
            let elapsed = min(1_000, max(0, now - bucket.filled))
            bucket = Bucket(filled: now, thousandths: min(full, bucket.thousandths + elapsed * Int64(limit)))
            let isEnough = bucket.thousandths >= 1_000
            if isEnough { bucket.thousandths -= 1_000 }
            state.usage[account, default: Usage()].requests = bucket
            if isEnough { return }
            state.refused[.requestsPerSecond, default: 0] += 1
            throw .slowDown("you may make \(limit) requests a second; try again in a second", seconds: 1)
        }
    }
}

extension Store {
    /// Sets what each account may use from now on.
    public func use(_ limits: AccountLimits) {
        state.withLock { $0.limits = limits }
        quotas.use(limits)
    }

    /// The limits of accounts, and how often each refused something.
    public var limits: [LimitReport] { quotas.report }

    /// Counts a request of an account. Throws `slowDown` if it is one too many in this second.
    public func countRequest(of principal: Principal) throws(StoreError) {
        try quotas.spendRequest(of: principal.account, now: MonotonicClock.now())
    }
}
