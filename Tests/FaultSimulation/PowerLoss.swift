package import SystemSupport
internal import TestSupport

/// The possible states of a disk after a power loss: everything synced, and any part of the rest. A file's content is
/// durable after a sync of the file, its name after a sync of the directory. Neither sync covers the other.
package struct PowerLoss: Sendable {
    /// The content of the disk before the first operation.
    package let start: DiskImage
    package let operations: [DiskImage.Operation]
    private let last: DiskImage

    package init(_ disk: SimulatedDisk) {
        (start, operations, last) = (disk.start, disk.operations, disk.image)
    }

    /// One state of a disk after a power loss.
    package struct State: Sendable {
        package let image: DiskImage
        /// How many operations had begun.
        package let operations: Int
        /// The unsynced operations that survived, in words.
        package let story: String
    }

    private struct Pending {
        let operation: DiskImage.Operation
        /// True if a failed sync covered the operation. No later sync makes it durable.
        var isLost = false
    }

    /// Sizes of a sector. A disk writes a sector completely or not at all.
    private static let sectors = [512, 4_096]

    /// Visits states at every operation: all unsynced operations lost, all kept, each lost alone, random parts, and a
    /// torn last write. The same seed gives the same states. Repeated states are skipped.
    ///
    /// - Parameters:
    ///   - first: the number of operations before the first state.
    ///   - singleStates: the maximum number of unsynced operations that are lost alone, at each operation.
    ///   - randomStates: how many random parts are tried at each operation.
    ///   - share: one of this many states is visited.
    ///   - visit: called with each state. Returns false to stop.
    package func forEachState(
        seed: UInt64, from first: Int = 0, singleStates: Int = 8, randomStates: Int = 2, share: Int = 1,
        _ visit: (State) throws -> Bool
    ) rethrows {
        var generator = SeededGenerator(seed: seed)
        var seen: Set<UInt64> = []
        var durable = start
        var pending: [Pending] = []
        for index in 0...operations.count {
            defer { if index < operations.count { advance(operations[index], &durable, &pending) } }
            if index < first { continue }
            var states: [(DiskImage, String)] = []
            func take(_ story: String, _ fate: (Int) -> Fate) {
                guard share == 1 || generator.once(in: share) else { return }
                var image = durable
                for (place, one) in pending.enumerated() { apply(one.operation, fate(place), to: &image) }
                if seen.insert(image.fingerprint()).inserted { states.append((image, story)) }
            }
            take("all unsynced lost") { _ in .lost }
            take("all there") { _ in .kept }
            if pending.count > 1 {
                for lost in pending.indices.shuffled(using: &generator).prefix(singleStates) {
                    take("\(lost + 1) of \(pending.count) unsynced lost") { $0 == lost ? .lost : .kept }
                }
                for _ in 0..<randomStates {
                    let part = pending.map { _ in Bool.random(using: &generator) }
                    take("unsynced kept: \(part.map { $0 ? "1" : "0" }.joined())") { part[$0] ? .kept : .lost }
                }
            }
            if case .write? = pending.last?.operation {
                for sector in PowerLoss.sectors {
                    let choice = generator.next()
                    take("the last write torn at \(sector), \(choice)") {
                        $0 == pending.count - 1 ? .torn(sector: sector, choice: choice) : .kept
                    }
                }
            }
            for (image, story) in states {
                guard try visit(State(image: image, operations: index, story: story)) else { return }
            }
        }
    }

    /// Judges some states at every operation from `first` on.
    ///
    /// - Returns: how many states there were.
    /// - Throws: `Violation` with the state's place and history if `judge` throws.
    package func judgeStates(
        seed: UInt64, from first: Int, singleStates: Int = 2, share: Int = 1, _ judge: (State) throws -> Void
    ) throws -> Int {
        var states = 0
        try forEachState(seed: seed, from: first, singleStates: singleStates, randomStates: 1, share: share) { state in
            states += 1
            do { try judge(state) } catch {
                throw Violation(
                    "power loss after \(state.operations - first) further operations, \(state.story): \(error)")
            }
            return true
        }
        return states
    }

    private enum Fate {
        case kept
        case lost
        /// Only some of its sectors reach the disk.
        case torn(sector: Int, choice: UInt64)
    }

    private func apply(_ operation: DiskImage.Operation, _ fate: Fate, to image: inout DiskImage) {
        switch fate {
        case .lost: break
        case .kept: image.apply(operation, from: last)
        case .torn(let sector, let choice):
            guard case .write(let number, let offset, let bytes) = operation else { return }
            image.apply(.write(number, offset: 0, []), from: last)
            var generator = SeededGenerator(seed: choice)
            // In half of the cases a prefix reaches the disk, otherwise any sectors. The file may be longer than these.
            var goesOn = true
            let isPrefix = choice % 2 == 0
            var start = offset
            while start < offset + bytes.count {
                let end = min((start / sector + 1) * sector, offset + bytes.count)
                let arrives = Bool.random(using: &generator)
                goesOn = goesOn && arrives
                if isPrefix ? goesOn : arrives {
                    image.write(bytes[start - offset..<end - offset], to: number, at: start)
                } else if !isPrefix, image.nodes[number].bytes.count < end {
                    image.resize(number, end)
                }
                start = end
            }
        }
    }

    /// Records what one more operation makes durable or leaves unsynced.
    private func advance(
        _ operation: DiskImage.Operation, _ durable: inout DiskImage, _ pending: inout [Pending]
    ) {
        switch operation {
        case .sync(let number):
            settle(&pending, &durable) { !$0.isLost && PowerLoss.file(of: $0.operation) == number }
        case .syncDirectory(let number):
            settle(&pending, &durable) { PowerLoss.directory(of: $0.operation) == number }
        case .failedSync(let number):
            for index in pending.indices where PowerLoss.file(of: pending[index].operation) == number {
                pending[index].isLost = true
            }
        default: pending.append(Pending(operation: operation))
        }
    }

    private func settle(_ pending: inout [Pending], _ durable: inout DiskImage, _ isDurable: (Pending) -> Bool) {
        var isSettled = pending.map(isDurable)
        // Operations on one name are ordered. If a later one is durable, so are the earlier ones.
        for (index, later) in pending.enumerated().reversed() where isSettled[index] {
            let names = PowerLoss.names(in: later.operation)
            for earlier in 0..<index where !names.isDisjoint(with: PowerLoss.names(in: pending[earlier].operation)) {
                isSettled[earlier] = true
            }
        }
        var kept: [Pending] = []
        for (index, one) in pending.enumerated() {
            guard isSettled[index] else {
                kept.append(one)
                continue
            }
            durable.apply(one.operation, from: last)
            // Older content that a failed sync lost cannot replace it later.
            kept.removeAll { $0.isLost && PowerLoss.covers(one.operation, $0.operation) }
        }
        pending = kept
    }

    private struct Name: Hashable {
        let directory: DiskImage.Number
        let name: String
    }

    /// The names that an operation adds or removes.
    private static func names(in operation: DiskImage.Operation) -> Set<Name> {
        switch operation {
        case .link(_, let directory, let name), .unlink(let directory, let name):
            [Name(directory: directory, name: name)]
        case .rename(_, let directory, let name, let toDirectory, let toName):
            [Name(directory: directory, name: name), Name(directory: toDirectory, name: toName)]
        default: []
        }
    }

    /// True if an operation overwrites or removes a part of what an earlier one wrote.
    private static func covers(_ later: DiskImage.Operation, _ earlier: DiskImage.Operation) -> Bool {
        guard let file = file(of: later), file == self.file(of: earlier) else { return false }
        switch (later, earlier) {
        case (.write(_, let start, let bytes), .write(_, let offset, let lost)):
            return start < offset + lost.count && offset < start + bytes.count
        case (.truncate(_, let size), .write(_, let offset, let lost)): return size < offset + lost.count
        default: return true
        }
    }

    /// The file whose content an operation changes.
    private static func file(of operation: DiskImage.Operation) -> DiskImage.Number? {
        switch operation {
        case .write(let number, _, _), .truncate(let number, _): number
        default: nil
        }
    }

    /// The directory whose names an operation changes.
    private static func directory(of operation: DiskImage.Operation) -> DiskImage.Number? {
        switch operation {
        case .link(_, let directory, _), .unlink(let directory, _), .rename(_, _, _, let directory, _): directory
        default: nil
        }
    }
}
