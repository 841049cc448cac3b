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

        /// So many empty places may stay, so that an owner with a job now and then allocates nothing.
        private static var keptPlaces: Int { 64 }
    }

    /// The jobs of one owner, and what is known of it.
    private final class Line {
        let owner: JobOwner
        /// Steps come first: a request that has begun holds more than one that has not.
        var steps = Places()
        var new = Places()
        /// The time that the owner has had, in nanoseconds.
        var used: Int64 = 0
        var running = 0
        /// Whether the line is among `turns`. It is while it has jobs, and fewer than `width` of them run.
        var hasTurn = false

        init(_ owner: JobOwner) { self.owner = owner }
    }

    /// Among equals the first to come is next.
    private struct Turn {
        let used: Int64
        let number: UInt64
        let line: Line

        func isBefore(_ other: Turn) -> Bool { (used, number) < (other.used, other.number) }
    }

    /// More time than this counts against nobody, in nanoseconds.
    private static var longestDebt: Int64 { 1_000_000_000 }

    /// An owner that is not here has had no more time than `reached`.
    private var lines: [JobOwner: Line] = [:]
    private var lineLimit = 1_024
    private var turns = Heap<Turn> { $0.isBefore($1) }
    private var turnNumber: UInt64 = 0
    /// The time of the owner whose turn was last. Nobody begins with less, so that waiting for a while saves nothing up.
    private var reached: Int64 = 0
    /// How many jobs of one owner run at a time, at most.
    private let width: Int
    /// How many jobs wait that are no steps.
    private(set) var count = 0

    init(width: Int = .max) { self.width = width }

    /// How many jobs of an owner wait that are no steps.
    func count(of owner: JobOwner) -> Int { lines[owner]?.new.count ?? 0 }

    /// - Parameter isStep: whether the job goes on with a request that has begun.
    mutating func append(_ job: Job, for owner: JobOwner, isStep: Bool = false) {
        let line: Line
        if let known = lines[owner] {
            line = known
        } else {
            line = Line(owner)
            lines[owner] = line
        }
        if isStep {
            line.steps.append(job)
        } else {
            line.new.append(job)
            count += 1
        }
        push(line)
    }

    /// Takes the next job. It runs until ``end(_:after:)``.
    mutating func take() -> (job: Job, owner: JobOwner)? {
        while let turn = turns.popFirst() {
            let line = turn.line
            line.hasTurn = false
            // A job of the owner has ended since this turn was noted.
            guard turn.used >= line.used else {
                push(line)
                continue
            }
            let step = line.steps.take()
            guard let job = step ?? line.new.take() else { continue }
            if step == nil { count -= 1 }
            reached = max(reached, turn.used)
            line.running += 1
            push(line)
            return (job, line.owner)
        }
        return nil
    }

    /// Takes the newest job of the owner that has the most, if it still has more afterwards than `owner` with one more.
    mutating func takeBack(for owner: JobOwner) -> Job? {
        guard let most = lines.values.max(by: { $0.new.count < $1.new.count }),
            most.new.count > count(of: owner) + 1, let job = most.new.takeNewest()
        else { return nil }
        count -= 1
        return job
    }

    /// Removes jobs of an owner that nobody wants any more.
    mutating func remove(of owner: JobOwner, where isUnwanted: (Job) -> Bool) -> [Job] {
        guard let line = lines[owner] else { return [] }
        let new = line.new.remove(where: isUnwanted)
        count -= new.count
        return line.steps.remove(where: isUnwanted) + new
    }

    /// Counts the time of a job that has ended.
    mutating func end(_ owner: JobOwner, after nanoseconds: Int64) {
        guard let line = lines[owner] else { return }
        line.running -= 1
        line.used = min(max(line.used, reached) + max(0, nanoseconds), reached + Self.longestDebt)
        push(line)
        guard lines.count > lineLimit else { return }
        lines = lines.filter { [reached] in $0.value.hasTurn || $0.value.running > 0 || $0.value.used > reached }
        lineLimit = max(1_024, lines.count * 2)
    }

    private mutating func push(_ line: Line) {
        guard !line.hasTurn, line.running < width, line.steps.count + line.new.count > 0 else { return }
        line.hasTurn = true
        turnNumber += 1
        turns.insert(Turn(used: max(line.used, reached), number: turnNumber, line: line))
    }
}
