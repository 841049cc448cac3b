internal import NatterStore
internal import NatterSystem
internal import StoreSupport
package import SystemSupport

/// A run of a server on a disk that fails at a chosen call.
package struct DiskTrial: Sendable {
    package let seed: UInt64
    package let steps: Int
    /// Whether messages are also edited, deleted, erased and dropped.
    private let removes: Bool

    package init(seed: UInt64, steps: Int, removes: Bool = false) {
        (self.seed, self.steps, self.removes) = (seed, steps, removes)
    }

    /// The error codes of an I/O error, of a full disk, of too many open files, and of a quota that is used up.
    package static let (inputOutput, noSpace, tooManyFiles, usedQuota): (Int32, Int32, Int32, Int32) = (5, 28, 24, 122)

    /// How many calls of these kinds the steps make.
    package func callCount(_ calls: Set<DiskFault.Call>, in pathPart: String? = nil) throws -> Int {
        let run = try begin(DiskFault(calls, in: pathPart, number: .max, code: 0, lasts: false))
        defer { run.driver.close() }
        return run.disk.matchingCalls
    }

    private func begin(_ fault: DiskFault) throws -> StoreRun {
        let run = try StoreRun(seed: seed, hasClient: false, removes: removes)
        run.goesOnRefused = true
        run.disk.set(fault: fault)
        try run.run(steps: steps)
        return run
    }

    /// An I/O error at a call that changes any file. Nothing is acknowledged after it. Whether the process ends or the
    /// machine loses power, nothing acknowledged is lost.
    ///
    /// - Throws: `Violation`.
    package func failing(
        at number: Int, of calls: Set<DiskFault.Call> = DiskFault.changes, in pathPart: String? = nil,
        code: Int32 = DiskTrial.inputOutput, lasts: Bool
    ) throws {
        try named("error \(code) at change \(number)\(lasts ? " and from there on" : "")") {
            let run = try begin(DiskFault(calls, in: pathPart, number: number, code: code, lasts: lasts))
            run.settle()
            let store = run.driver.store
            if let call = run.disk.failedCall {
                try demand(store.isFailed, "the store went on after '\(call)' had failed")
            }
            for refusal in run.refusals {
                try demand(
                    refusal == .outcomeUnknown, "'\(refusal)' was answered, and not that the outcome is unknown")
            }
            if store.isFailed {
                let outcome = try run.driver.post(
                    [Sending(sender: "alice", conversation: "general", text: "after", key: "after").message],
                    by: run.token("alice")
                ).first
                try demand(outcome?.refusal == .outcomeUnknown, "a message was taken after the disk had failed")
            }
            run.driver.close()
            try judge(run)
        }
    }

    /// A disk that is full from a chosen call on and later has free space again. Refusals report the full disk, reads
    /// work, and writing resumes without a restart.
    ///
    /// - Throws: `Violation`.
    package func full(at number: Int, code: Int32 = DiskTrial.noSpace) throws {
        try named("no room from change \(number) on, error \(code)") {
            let run = try begin(
                DiskFault([.write, .create, .makeDirectory], number: number, code: code, lasts: true))
            let reports = run.driver.reports.withLock { $0.suffix(1).joined() }
            try demand(!run.driver.store.isFailed, "a full disk was taken for a failed one: \(reports)")
            for refusal in run.refusals {
                if case .notDropped = refusal { continue }
                if refusal == .notErased { continue }
                try demand(refusal == .diskFull, "'\(refusal)' was answered, and not that the disk is full")
            }
            let alice = try run.token("alice")
            let before = try run.driver.export(as: alice)
            run.disk.set(fault: nil)
            try demand(
                try run.driver.export(as: alice) == before, "what was read on a full disk is not what is there")
            let count = run.refusals.count
            try run.run(steps: 5)
            try demand(run.refusals.count == count, "refused with room again: \(run.refusals.suffix(1))")
            try demand(try run.driver.seal("general", as: alice) == nil, "nothing is sealed with room again")
            run.driver.close()
            try judge(run)
        }
    }

    /// A failing read. It may cost an answer, but never a message.
    ///
    /// - Throws: `Violation`.
    package func failingToLook(at number: Int, _ calls: Set<DiskFault.Call>, code: Int32) throws {
        try named("error \(code) at \(calls.map(\.rawValue).sorted().joined(separator: ",")) \(number)") {
            let run = try begin(DiskFault(calls, number: number, code: code, lasts: false))
            run.driver.close()
            try judge(run)
        }
    }

    /// Judges the state that the next process finds, both immediately and after a power loss.
    private func judge(_ run: StoreRun) throws {
        run.disk.set(fault: nil)
        let judge = StoreJudge(run.promises.withLock { $0 }, seed: seed)
        try judge.judge(SimulatedDisk(run.disk.image, clock: run.clock, records: false), clock: run.clock)
        let loss = PowerLoss(run.disk)
        try loss.forEachState(seed: seed, from: loss.operations.count, singleStates: 1, randomStates: 1) { state in
            try named("then power loss, \(state.story)") {
                try judge.judge(SimulatedDisk(state.image, clock: run.clock, records: false), clock: run.clock)
            }
            return true
        }
    }

    /// A start that fails at a chosen call. The next start must find everything.
    ///
    /// - Returns: false if there is no such call.
    /// - Throws: `Violation`.
    package static func starting(
        on image: DiskImage, of run: StoreRun, at number: Int, _ calls: Set<DiskFault.Call>, code: Int32, lasts: Bool
    ) throws -> Bool {
        let disk = SimulatedDisk(image, clock: run.clock, records: false)
        disk.set(fault: DiskFault(calls, number: number, code: code, lasts: lasts))
        do { try StoreDriver(disk, clock: run.clock).close() } catch {
            try demand(disk.hasFailed, "a start failed without a reason: \(error)")
        }
        let isThere = disk.hasFailed
        disk.set(fault: nil)
        do {
            try StoreJudge(run.promises.withLock { $0 }, seed: run.seed).judge(disk, clock: run.clock)
        } catch {
            throw Violation("seed \(run.seed), error \(code) at call \(number) of a start: \(error)")
        }
        return isThere
    }

    private func named(_ what: String, _ body: () throws -> Void) throws {
        do { try body() } catch { throw Violation("seed \(seed), \(what): \(error)") }
    }
}
