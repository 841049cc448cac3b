package import SystemSupport

/// A client whose process ends at a chosen call, because it is killed or the disk fails. Other processes follow on the
/// same machine until the power is lost. `RestartTrial` describes the resulting states.
package struct ClientTrial: Sendable {
    package let seed: UInt64
    /// The calls at which the process may end.
    private let calls: Set<DiskFault.Call>
    /// A part of the paths of the files of these calls, or nil for all.
    private let pathPart: String?
    /// Whether messages are also edited, deleted, erased and dropped.
    private let removes: Bool
    /// One of this many states is judged.
    private let share: Int

    package init(
        seed: UInt64, calls: Set<DiskFault.Call> = DiskFault.changes, in pathPart: String? = nil, removes: Bool = false,
        share: Int = 1
    ) {
        (self.seed, self.calls, self.pathPart, self.removes, self.share) = (seed, calls, pathPart, removes, share)
    }

    // MARK: The replica

    /// Syncs three times, each time with new messages.
    private func use(_ run: StoreRun) throws {
        for _ in 0..<3 {
            try run.run(steps: 5)
            try run.sync()
            _ = try run.client.index()
        }
    }

    /// How many calls on a client's disk could end the process.
    package func replicaCalls() throws -> Int {
        let run = try StoreRun(seed: seed, removes: removes)
        run.client.disk.set(fault: RestartTrial.End.error.fault(calls, in: pathPart, at: .max))
        try use(run)
        run.driver.close()
        return run.client.disk.matchingCalls
    }

    /// Ends the process, lets other processes sync, and judges a power loss at each later operation.
    ///
    /// - Returns: how many states of the disk were judged.
    /// - Throws: `Violation`.
    package func replica(_ end: RestartTrial.End, at number: Int) throws -> Int {
        do {
            let run = try StoreRun(seed: seed, removes: removes)
            defer { run.driver.close() }
            let disk = run.client.disk
            disk.set(fault: end.fault(calls, in: pathPart, at: number))
            do { try use(run) } catch { guard disk.hasFailed else { throw error } }
            disk.set(fault: nil)
            let mark = disk.operationCount
            // In half of the cases, the first sync finds nothing new.
            if number % 2 == 0 { try run.sync() }
            try use(run)
            let judge = try ClientJudge(run)
            return try PowerLoss(disk).judgeStates(seed: seed, from: mark, share: share) {
                try judge.judge($0, mayGoBack: true)
            }
        } catch {
            throw Violation("seed \(seed), replica, \(end) at call \(number): \(error)")
        }
    }

    // MARK: The outbox

    private static let outboxSteps = 6

    package func outboxCalls() throws -> Int {
        let run = OutboxRun(seed: seed)
        run.disk.set(fault: RestartTrial.End.error.fault(calls, in: pathPart, at: .max))
        try run.run(steps: ClientTrial.outboxSteps)
        return run.disk.matchingCalls
    }

    /// Runs the trial for an outbox.
    package func outbox(_ end: RestartTrial.End, at number: Int) throws -> Int {
        do {
            let run = OutboxRun(seed: seed)
            run.disk.set(fault: end.fault(calls, in: pathPart, at: number))
            try run.run(steps: ClientTrial.outboxSteps)
            guard let mark = run.secondStart else { return 0 }
            return try PowerLoss(run.disk).judgeStates(seed: seed, from: mark, singleStates: 12) { try run.judge($0) }
        } catch {
            throw Violation("seed \(seed), outbox, \(end) at call \(number): \(error)")
        }
    }
}
