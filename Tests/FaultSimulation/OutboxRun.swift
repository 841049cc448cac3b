internal import NatterClient
internal import NatterModel
internal import NatterProtocol
package import SystemSupport
internal import TestSupport

/// A seeded run of an outbox on a simulated disk. Messages are queued, and removed from the front. A failing call ends
/// the process, and the next process on the same machine repeats the step.
package final class OutboxRun {
    package let seed: UInt64
    package let disk: SimulatedDisk
    /// The number of operations before a new process replaced the failed one, or nil if none has failed.
    package private(set) var secondStart: Int?
    private let clock = TestClock(stepMilliseconds: 1)
    private let location: OutboxLocation
    private var generator: SeededGenerator
    private var tried: [String] = []
    /// How many messages were certainly queued and removed, by the number of operations so far.
    private var certain = [(operations: 0, added: 0, settled: 0)]
    /// How many messages may have been removed, by the number of operations before the removal began.
    private var begun = [(operations: 0, settled: 0)]

    package init(seed: UInt64) {
        self.seed = seed
        generator = SeededGenerator(seed: seed)
        disk = SimulatedDisk(clock: clock)
        location = ClientHome(path: "/home/natter").outbox(store: StoreID(high: 1, low: 2), user: "alice")
    }

    package func run(steps: Int) throws {
        for _ in 0..<steps {
            let requests = (0..<Int.random(in: 1...3, using: &generator)).map {
                SendRequest(conversation: "general", text: "\(tried.count + $0)", id: "id \(tried.count + $0)")
            }
            tried += requests.map(\.text)
            try surely { try $0.add(requests, at: clock.now()) }
            certain.append((disk.operationCount, tried.count, certain.last?.settled ?? 0))
            let first = try surely { outbox in
                var first: OutboxEntry?
                try outbox.forEach(waitingOnly: true) { entry in
                    first = entry
                    return false
                }
                return first
            }
            guard Bool.random(using: &generator), let first else { continue }
            begun.append((disk.operationCount, (begun.last?.settled ?? 0) + 1))
            try surely { try $0.withdraw(first) }
            certain.append((disk.operationCount, tried.count, (certain.last?.settled ?? 0) + 1))
        }
    }

    /// Runs a step, and repeats it on a repaired disk if it fails.
    @discardableResult
    private func surely<Result>(_ body: (Outbox) throws -> Result) throws -> Result {
        do { return try body(Outbox(location, disk: disk)) } catch {
            guard disk.hasFailed, secondStart == nil else { throw error }
            disk.set(fault: nil)
            secondStart = disk.operationCount
            return try body(Outbox(location, disk: disk))
        }
    }

    /// - Throws: `Violation` unless the outbox is a contiguous part of the queued messages. It must reach from the
    ///   possible removals to the certain additions. Also throws if the outbox cannot be read.
    package func judge(_ state: PowerLoss.State) throws {
        let promised = certain.last { $0.operations <= state.operations } ?? (0, 0, 0)
        let mayBeSettled = begun.last { $0.operations <= state.operations }?.settled ?? 0
        var found: [String] = []
        try Outbox(location, disk: SimulatedDisk(state.image, clock: clock, records: false)).forEach { entry in
            found.append(entry.request.text)
            return true
        }
        let first = found.first.flatMap { Int($0) } ?? promised.added
        let isRight =
            found == Array(tried[min(first, tried.count)...].prefix(found.count))
            && (promised.settled...max(promised.settled, mayBeSettled)).contains(first)
            && first + found.count >= promised.added
        try demand(isRight, "\(found) are there; promised were \(promised)")
    }
}
