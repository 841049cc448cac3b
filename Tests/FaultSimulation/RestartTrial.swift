internal import NatterSystem
internal import SystemSupport

/// A server whose process ends at a certain call, and is started again on a machine that goes on: what was never synced is
/// there to be read until the power goes, and what a failed sync was for is there, too, and never on the disk.
package struct RestartTrial: Sendable {
    package enum End: Sendable, CaseIterable {
        /// It is killed.
        case kill
        /// One write or sync fails; it stops by itself.
        case error
        /// All fail from there on, so that nothing of it is taken back.
        case errors

        /// What a disk does for it at the N-th of these calls.
        func fault(_ calls: Set<DiskFault.Call>, at number: Int) -> DiskFault {
            var fault = DiskFault(calls, number: number, code: DiskTrial.inputOutput, lasts: self != .error)
            fault.isKill = self == .kill
            return fault
        }
    }

    package let seed: UInt64
    package let steps: Int

    package init(seed: UInt64, steps: Int) { (self.seed, self.steps) = (seed, steps) }

    /// How many calls the steps make at which it may end.
    package func callCount() throws -> Int { try DiskTrial(seed: seed, steps: steps).callCount(DiskFault.changes) }

    /// Has it end, start again and go on for a while; then the power goes, at any operation since the start.
    ///
    /// - Returns: how many states of the disk were looked at.
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
