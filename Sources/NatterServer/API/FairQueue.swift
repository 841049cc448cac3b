internal import NatterModel
internal import NatterStore

/// The owner of the time that a job takes.
enum JobOwner: Hashable, Sendable {
    case account(AccountID)
    /// The network of a client that is not authenticated yet. See ``PeerAddress/networkText``.
    case network(String)
}

/// Jobs that wait. The next one is always of the owner that has had the least time, so owners that want much share
/// what is left by those that want little, however many jobs they have and however long these take.
struct FairQueue<Job> {
    /// First in, first out.
    private struct Places {
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

        mutating func remove(where isWanted: (Job) -> Bool) -> [Job] {
            let removed = places[next...].compactMap { $0 }.filter(isWanted)
            if !removed.isEmpty { (places, next) = (places[next...].filter { $0.map(isWanted) == false }, 0) }
            return removed
        }

        /// So many empty places may stay, so that a short line allocates nothing.
        private static var keptPlaces: Int { 1_024 }
    }

    /// The jobs of one owner. Steps come first: a request that has begun holds more than one that has not.
    private struct Line {
        var steps = Places()
        var new = Places()

        mutating func take() -> Job? { steps.take() ?? new.take() }
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

    /// An owner has a line until its turn comes and finds nothing, so that each line has one turn.
    private var lines: [JobOwner: Line] = [:]
    private var turns = Heap<Turn> { $0.isBefore($1) }
    private var turnNumber: UInt64 = 0
    /// The time that owners have had, in nanoseconds. An owner that is not here has had no more than `reached`.
    private var used: [JobOwner: Int64] = [:]
    private var usedLimit = 1_024
    /// The time of the owner whose turn was last. Nobody begins with less, so that waiting for a while saves nothing up.
    private var reached: Int64 = 0
    /// How many jobs of one owner run at a time, at most.
    private let width: Int
    private var running: [JobOwner: Int] = [:]
    /// Those whose turn came while so many ran.
    private var held: Set<JobOwner> = []
    /// How many jobs wait that are no steps.
    private(set) var count = 0

    init(width: Int = .max) { self.width = width }

    /// How many jobs of an owner wait that are no steps.
    func count(of owner: JobOwner) -> Int { lines[owner]?.new.count ?? 0 }

    /// - Parameter isStep: whether the job goes on with a request that has begun.
    mutating func append(_ job: Job, for owner: JobOwner, isStep: Bool = false) {
        if lines[owner] == nil { push(owner) }
        if isStep {
            lines[owner, default: Line()].steps.append(job)
        } else {
            lines[owner, default: Line()].new.append(job)
            count += 1
        }
    }

    /// Takes the next job. It runs until ``end(_:after:)``.
    mutating func take() -> (job: Job, owner: JobOwner)? {
        while let turn = turns.popFirst() {
            let owner = turn.owner
            // A job of the owner has ended since this turn was noted.
            guard turn.used >= used[owner] ?? 0 else {
                push(owner)
                continue
            }
            guard running[owner, default: 0] < width else {
                held.insert(owner)
                continue
            }
            let before = count(of: owner)
            guard let job = lines[owner]?.take() else {
                lines[owner] = nil
                continue
            }
            reached = max(reached, turn.used)
            count -= before - count(of: owner)
            running[owner, default: 0] += 1
            push(owner)
            return (job, owner)
        }
        return nil
    }

    /// Takes the newest job of the owner that has the most, if it still has more afterwards than `owner` with one more.
    mutating func takeBack(for owner: JobOwner) -> Job? {
        guard let most = lines.max(by: { $0.value.new.count < $1.value.new.count })?.key,
            count(of: most) > count(of: owner) + 1,
            let job = lines[most]?.new.takeNewest()
        else { return nil }
        count -= 1
        return job
    }

    /// Removes jobs of an owner that nobody wants any more.
    mutating func remove(of owner: JobOwner, where isUnwanted: (Job) -> Bool) -> [Job] {
        guard var line = lines.removeValue(forKey: owner) else { return [] }
        let new = line.new.remove(where: isUnwanted)
        let removed = line.steps.remove(where: isUnwanted) + new
        lines[owner] = line
        count -= new.count
        return removed
    }

    /// Counts the time of a job that has ended.
    mutating func end(_ owner: JobOwner, after nanoseconds: Int64) {
        let rest = running[owner, default: 1] - 1
        running[owner] = rest > 0 ? rest : nil
        let before = max(used[owner] ?? 0, reached)
        used[owner] = min(before + max(0, nanoseconds), reached + Self.longestDebt)
        if held.remove(owner) != nil { push(owner) }
        guard used.count > usedLimit else { return }
        used = used.filter { [reached] in $0.value > reached }
        usedLimit = max(1_024, used.count * 2)
    }

    private mutating func push(_ owner: JobOwner) {
        turnNumber += 1
        turns.insert(Turn(used: max(used[owner] ?? 0, reached), number: turnNumber, owner: owner))
    }
}
