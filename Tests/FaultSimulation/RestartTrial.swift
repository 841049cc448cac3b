internal import NatterSystem
internal import SystemSupport

/// A server whose process ends at a chosen call and is restarted on the same machine. Until the power is lost, the new
/// process reads everything unsynced, including what a failed sync covered and what therefore never reaches the disk.
package struct RestartTrial: Sendable {
    package enum End: Sendable, CaseIterable {
        /// It is killed.
        case kill
        /// One write or sync fails; the server stops by itself.
        case error
        /// All calls fail from there on, so that the server cannot undo anything.
        case errors

        /// The disk's fault at the N-th of these calls.
        func fault(_ calls: Set<DiskFault.Call>, at number: Int) -> DiskFault {
            var fault = DiskFault(calls, number: number, code: DiskTrial.inputOutput, lasts: self != .error)
            fault.isKill = self == .kill
            return fault
        }
    }

    package let seed: UInt64
    package let steps: Int

    package init(seed: UInt64, steps: Int) { (self.seed, self.steps) = (seed, steps) }

    /// The number of calls in the steps at which the process may end.
    package func callCount() throws -> Int { try DiskTrial(seed: seed, steps: steps).callCount(DiskFault.changes) }

    /// Ends it, restarts it and runs it for a while. Then the power is lost, at any operation since the restart.
    ///
    /// - Returns: how many states of the disk were judged.
    /// - Throws: `Violation`.
    package func run(_ end: End, at number: Int) throws -> Int {
        do {
            let run = try StoreRun(seed: seed, hasClient: false)
            run.goesOnRefused = true
            run.disk.set(fault: end.fault(DiskFault.changes, at: number))
            try run.run(steps: steps)
            let mark = run.disk.operationCount
            try run.startAfterEnd()
            try run.run(steps: 4)
            try demand(
                run.refusals.isEmpty, "after the start a step was refused: \(run.refusals.map { "\($0)" }.first ?? "")")
            run.driver.close()
            let promises = run.promises.withLock { $0 }
            return try PowerLoss(run.disk).judgeStates(seed: seed, from: mark) { state in
                try StoreJudge(promises.upTo(state.operations), seed: seed)
                    .judge(SimulatedDisk(state.image, clock: run.clock, records: false), clock: run.clock)
            }
        } catch {
            throw Violation("seed \(seed), \(end) at change \(number), started again: \(error)")
        }
    }
}
