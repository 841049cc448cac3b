internal import NatterSystem
internal import SystemSupport
internal import TestSupport

/// Judges the states that a power loss may leave of a run, one after the other.
package struct Campaign: Sendable {
    package private(set) var states = 0
    /// The first state that breaks a promise, with everything needed to reproduce it.
    package private(set) var failure: String?

    /// One of this many states is judged.
    private let share: Int

    package init(share: Int = 1) { self.share = share }

    /// Judges the server's disk at every operation.
    ///
    /// - Parameters:
    ///   - randomStates: see `PowerLoss.forEachState`.
    ///   - again: one of this many states loses power again during recovery.
    ///   - deadline: a time on the monotonic clock.
    package mutating func loseServer(
        of run: StoreRun, randomStates: Int = 2, again: Int = 50, until deadline: Int64 = .max
    ) {
        let promises = run.promises.withLock { $0 }
        var generator = SeededGenerator(seed: run.seed)
        PowerLoss(run.disk).forEachState(seed: run.seed, randomStates: randomStates, share: share) { state in
            let isTwice = Int.random(in: 0..<again, using: &generator) == 0
            let disk = SimulatedDisk(state.image, clock: run.clock, records: isTwice)
            let judge = StoreJudge(promises.upTo(state.operations), seed: run.seed)
            attempt("server", run.seed, state) {
                if isTwice {
                    try StoreDriver(disk, clock: run.clock).close()
                } else {
                    try judge.judge(disk, clock: run.clock)
                }
            }
            if isTwice, failure == nil {
                let second = PowerLoss(disk)
                var picks = 0
                second.forEachState(seed: run.seed, randomStates: 1) { inner in
                    guard Int.random(in: 0..<20, using: &generator) == 0 else { return true }
                    picks += 1
                    attempt("server, recovering from \(state.story) after \(state.operations)", run.seed, inner) {
                        try judge.judge(
                            SimulatedDisk(inner.image, clock: run.clock, records: false), clock: run.clock)
                    }
                    return failure == nil && picks < 8
                }
            }
            return failure == nil && MonotonicClock.now() < deadline
        }
    }

    /// Judges the client's disk at every operation.
    package mutating func loseClient(of run: StoreRun, randomStates: Int = 2, until deadline: Int64 = .max) throws {
        let judge = try ClientJudge(run)
        PowerLoss(run.client.disk).forEachState(seed: run.seed, randomStates: randomStates, share: share) { state in
            attempt("client", run.seed, state) { try judge.judge(state) }
            return failure == nil && MonotonicClock.now() < deadline
        }
    }

    private mutating func attempt(
        _ what: String, _ seed: UInt64, _ state: PowerLoss.State, _ body: () throws -> Void
    ) {
        states += 1
        do { try body() } catch {
            failure = "seed \(seed): \(what), after \(state.operations) operations, \(state.story): \(error)"
        }
    }
}
