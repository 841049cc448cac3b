internal import NatterModel
internal import NatterStore

/// Whose time a job takes.
enum JobOwner: Hashable, Sendable {
    case account(AccountID)
    /// Of somebody who is to show yet who they are. See ``PeerAddress/networkText``.
    case network(String)
    case nobody

    init(_ account: AccountID?) { self = account.map(JobOwner.account) ?? .nobody }
}

/// Jobs that wait. The next one is always of the owner that has had the least time, so owners that want much share
/// what is left by those that want little, however many jobs they have and however long these take.
struct FairQueue<Job> {
    /// First in, first out.
    private struct Line {
        /// A place that was taken is nil, because a request and its answer must not outlive their job here.
        private var places: [Job?] = []
        private var next = 0

        var count: Int { places.count - next }

        mutating func append(_ job: Job) { places.append(job) }

        mutating func take() -> Job? {
            guard next < places.count else { return nil }
            let job = places[next]
            places[next] = nil
            next += 1
            if next == places.count {
                places.removeAll(keepingCapacity: next <= Self.keptPlaces)
                next = 0
            } else if next >= Self.keptPlaces, next > places.count / 2 {
                places.removeFirst(next)
                next = 0
            }
            return job
        }

        mutating func takeNewest() -> Job? { count > 0 ? places.removeLast() : nil }

        /// So many empty places may stay, so that a short line allocates nothing.
        private static var keptPlaces: Int { 1_024 }
    }

    /// An owner that has a line. Among equals the first to come is next.
    private struct Turn {
        let used: Int64
        let number: UInt64
        let owner: JobOwner

        func isBefore(_ other: Turn) -> Bool { (used, number) < (other.used, other.number) }
    }

    /// More time than this counts against nobody, in nanoseconds.
    private static var longestDebt: Int64 { 1_000_000_000 }

    private var lines: [JobOwner: Line] = [:]
    private var turns = Heap<Turn> { $0.isBefore($1) }
    private var turnNumber: UInt64 = 0
    /// The time that owners have had, in nanoseconds. Who is not here has had no more than `reached`.
    private var used: [JobOwner: Int64] = [:]
    private var usedLimit = 1_024
    /// The time of the owner whose turn was last. Nobody begins with less, so that waiting for a while saves nothing up.
    private var reached: Int64 = 0
    private(set) var count = 0

    /// How many jobs of an owner wait.
    func count(of owner: JobOwner) -> Int { lines[owner]?.count ?? 0 }

    mutating func append(_ job: Job, for owner: JobOwner) {
        if lines[owner] == nil { push(owner) }
        lines[owner, default: Line()].append(job)
        count += 1
    }

    mutating func take() -> (job: Job, owner: JobOwner)? {
        while let turn = turns.popFirst() {
            let owner = turn.owner
            // A job of the owner has ended since this turn was noted.
            guard turn.used >= used[owner] ?? 0 else {
                push(owner)
                continue
            }
            reached = max(reached, turn.used)
            guard let job = lines[owner]?.take() else { continue }
            count -= 1
            if lines[owner]?.count == 0 { lines[owner] = nil } else { push(owner) }
            return (job, owner)
        }
        return nil
    }

    /// Takes the newest job of the owner that has the most, if it still has more afterwards than `owner` with one more.
    mutating func takeBack(for owner: JobOwner) -> Job? {
        guard let most = lines.max(by: { $0.value.count < $1.value.count })?.key,
            count(of: most) > count(of: owner) + 1,
            let job = lines[most]?.takeNewest()
        else { return nil }
        count -= 1
        return job
    }

    /// Counts the time of a job that has ended.
    mutating func charge(_ nanoseconds: Int64, to owner: JobOwner) {
        let before = max(used[owner] ?? 0, reached)
        used[owner] = min(before + max(0, nanoseconds), reached + Self.longestDebt)
        guard used.count > usedLimit else { return }
        used = used.filter { [reached] in $0.value > reached }
        usedLimit = max(1_024, used.count * 2)
    }

    private mutating func push(_ owner: JobOwner) {
        turnNumber += 1
        turns.insert(Turn(used: max(used[owner] ?? 0, reached), number: turnNumber, owner: owner))
    }
}
