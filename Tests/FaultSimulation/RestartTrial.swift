internal import NatterSystem
package import SystemSupport

/// A server whose process ends at a chosen call and is restarted on the same machine. Until the power is lost, the new
/// process can read everything unsynced. That includes data that a failed sync covered, which never reaches the disk.
package struct RestartTrial: Sendable {
    package enum End: Sendable, CaseIterable {
        /// The process is killed.
        case kill
        /// One write or sync fails, and the server stops.
        case error
        /// All calls fail from that call on, so that the server cannot undo anything.
        case errors

        /// The fault of the disk at the given one of these calls.
        func fault(_ calls: Set<DiskFault.Call>, in pathPart: String? = nil, at number: Int) -> DiskFault {
            var fault = DiskFault(
                calls, in: pathPart, number: number, code: DiskTrial.inputOutput, lasts: self != .error)
            fault.isKill = self == .kill
            return fault
        }
    }

    package let seed: UInt64
    package let steps: Int
    /// Whether messages are also edited, deleted, erased and dropped.
    private let removes: Bool
    /// One of this many states is judged.
    private let share: Int

    package init(seed: UInt64, steps: Int, removes: Bool = false, share: Int = 1) {
        (self.seed, self.steps, self.removes, self.share) = (seed, steps, removes, share)
    }

    /// How many calls in the steps could end the process.
    package func callCount(_ calls: Set<DiskFault.Call> = DiskFault.changes, in pathPart: String? = nil) throws -> Int {
        try DiskTrial(seed: seed, steps: steps, removes: removes).callCount(calls, in: pathPart)
    }

    /// Ends the process, restarts it and runs it for a while. Then the power is lost at any operation since the
    /// restart.
    ///
    /// - Returns: how many states of the disk were judged.
    /// - Throws: `Violation`.
    package func run(
        _ end: End, at number: Int, of calls: Set<DiskFault.Call> = DiskFault.changes, in pathPart: String? = nil
    ) throws -> Int {
        do {
            let run = try StoreRun(seed: seed, hasClient: false, removes: removes)
            run.goesOnRefused = true
            run.disk.set(fault: end.fault(calls, in: pathPart, at: number))
            try run.run(steps: steps)
            let mark = run.disk.operationCount
            try run.startAfterEnd()
            try run.run(steps: 4)
            try demand(
                run.refusals.isEmpty, "after the start a step was refused: \(run.refusals.map { "\($0)" }.first ?? "")")
            run.driver.close()
            let promises = run.promises.withLock { $0 }
            return try PowerLoss(run.disk).judgeStates(seed: seed, from: mark, share: share) { state in
                try StoreJudge(promises.upTo(state.operations), seed: seed)
                    .judge(SimulatedDisk(state.image, clock: run.clock, records: false), clock: run.clock)
            }
        } catch {
            let kind = pathPart.map { "call in \($0)" } ?? "change"
            throw Violation("seed \(seed), \(end) at \(kind) \(number), started again: \(error)")
        }
    }
}
