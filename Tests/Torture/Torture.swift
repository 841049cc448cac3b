import FaultSimulation
import Glibc
import NatterSystem
import SystemSupport
import TestSupport

/// Runs seed after seed, on as many threads as there are processors.
final class Torture: Sendable {
    private struct Totals {
        var next: UInt64
        var seeds = 0
        var states = 0
        var errors = 0
        var full = 0
        var restarts = 0
        var failures: [String] = []
    }

    private let totals: Monitor<Totals>
    private let first: UInt64
    private let last: UInt64
    private let began = MonotonicClock.now()
    private let deadline: Int64

    init(seconds: UInt64, seed: UInt64, last: UInt64) {
        (first, self.last) = (seed, last)
        totals = Monitor(Totals(next: seed))
        deadline = began + Int64(clamping: seconds) * 1_000
    }

    /// - Returns: true if nothing was found.
    func run() throws -> Bool {
        let threads = try (0..<Host.processorCount).map { number in
            try SystemThread(name: "torture-\(number)") { [self] in
                while let seed = take() { torment(seed) }
            }
        }
        for thread in threads { thread.join() }
        let totals = totals.withLock { $0 }
        let seconds = max(1, (MonotonicClock.now() - began) / 1_000)
        print(
            "torture: \(totals.seeds) seeds from \(first) on, \(totals.states) states after a loss of power, "
                + "\(totals.errors) I/O errors, \(totals.full) full disks, \(totals.restarts) new starts in \(seconds) s "
                + "(\(Int64(totals.states) / seconds) states/s); \(totals.failures.count) failures; next seed \(totals.next)"
        )
        return totals.failures.isEmpty
    }

    private func take() -> UInt64? {
        totals.withLock { totals in
            guard MonotonicClock.now() < deadline, totals.next <= last else { return nil }
            defer { totals.next += 1 }
            return totals.next
        }
    }

    private func torment(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        do {
            let removes = seed % 2 == 1
            let run = try StoreRun(seed: seed, keepsSearchIndex: seed % 4 < 2, removes: removes)
            try run.run(steps: Int.random(in: 20...90, using: &generator))
            var campaign = Campaign()
            try campaign.loseClient(of: run, randomStates: 4, until: deadline)
            run.driver.close()
            campaign.loseServer(of: run, randomStates: 4, again: 20, until: deadline)
            let done = campaign
            totals.withLock { $0.states += done.states }
            if let failure = campaign.failure { throw Violation(failure) }
            let trial = DiskTrial(seed: seed, steps: Int.random(in: 10...40, using: &generator), removes: removes)
            let changes = try trial.callCount(DiskFault.changes)
            for number in (1...max(1, changes)).shuffled(using: &generator).prefix(20)
            where MonotonicClock.now() < deadline {
                try trial.failing(at: number, lasts: Bool.random(using: &generator))
                totals.withLock { $0.errors += 1 }
            }
            let writes = try trial.callCount([.write, .create, .makeDirectory])
            for number in (1...max(1, writes)).shuffled(using: &generator).prefix(10)
            where MonotonicClock.now() < deadline {
                try trial.full(at: number)
                totals.withLock { $0.full += 1 }
            }
            let restart = RestartTrial(seed: seed, steps: trial.steps, removes: removes)
            try startAgain(4, of: changes, &generator) { try restart.run($0, at: $1) }
            let client = ClientTrial(seed: seed, removes: removes)
            try startAgain(3, of: client.replicaCalls(), &generator) { try client.replica($0, at: $1) }
            try startAgain(3, of: client.outboxCalls(), &generator) { try client.outbox($0, at: $1) }
        } catch {
            let failure = "seed \(seed): \(error)"
            say("torture: FAILED: \(failure)")
            totals.withLock { $0.failures.append(failure) }
        }
        totals.withLock { totals in
            totals.seeds += 1
            if totals.seeds % 20 == 0 { say("torture: \(totals.seeds) seeds, \(totals.states) states") }
        }
    }

    /// Ends processes at `count` of `calls` calls, and restarts them.
    ///
    /// - Parameter trial: returns how many states were judged.
    private func startAgain(
        _ count: Int, of calls: Int, _ generator: inout SeededGenerator, _ trial: (RestartTrial.End, Int) throws -> Int
    ) throws {
        for number in (1...max(1, calls)).shuffled(using: &generator).prefix(count)
        where MonotonicClock.now() < deadline {
            let states = try trial(RestartTrial.End.allCases.randomElement(using: &generator) ?? .kill, number)
            totals.withLock { ($0.restarts, $0.states) = ($0.restarts + 1, $0.states + states) }
        }
    }

    /// Prints a line immediately, also into a pipe.
    private func say(_ line: String) {
        print(line)
        fflush(nil)
    }
}
