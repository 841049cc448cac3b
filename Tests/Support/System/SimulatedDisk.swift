internal import Glibc
internal import NatterModel
package import NatterSystem

/// A disk in memory that records all operations. From these, `PowerLoss` derives the possible states after a power
/// loss. A test can make calls fail. SQLite's files are on this disk, too.
package final class SimulatedDisk: Disk {
    private struct State {
        var image: DiskImage
        var operations: [DiskImage.Operation] = []
        var locked: Set<String> = []
        var fault: DiskFault?
        var matchingCalls = 0
        var failedCall: String?
        var unsyncedPart: String?
    }

    private let state: Monitor<State>
    private let vfs = Monitor<DiskVFS?>(nil)
    private let clock: any WallClock
    private let records: Bool
    private let capacity: Int?
    /// The initial content.
    package let start: DiskImage

    /// - Parameters:
    ///   - records: whether to record operations.
    ///   - capacity: the most bytes of all files together, or nil for no limit.
    package init(
        _ image: DiskImage = DiskImage(), clock: any WallClock = TestClock(), records: Bool = true, capacity: Int? = nil
    ) {
        (start, self.clock, self.records, self.capacity) = (image, clock, records, capacity)
        state = Monitor(State(image: image))
    }

    package var sqliteVFS: String? {
        vfs.withLock { vfs in
            vfs = vfs ?? DiskVFS(self)
            return vfs?.name
        }
    }

    /// The current content, as a killed process leaves it.
    package var image: DiskImage { state.withLock { $0.image } }
    /// The operations so far.
    package var operations: [DiskImage.Operation] { state.withLock { $0.operations } }
    /// The content of a file, or an empty array if there is none. Setting it is not recorded as an operation.
    package subscript(path: String) -> [UInt8] {
        get { state.withLock { state in state.image.number(of: path).map { state.image.nodes[$0].bytes } ?? [] } }
        set {
            state.withLock { state in
                guard let number = state.image.number(of: path) else { return }
                state.image.resize(number, 0)
                state.image.write(newValue[...], to: number, at: 0)
            }
        }
    }
    package var operationCount: Int { state.withLock { $0.operations.count } }
    /// Sets the fault, and starts to count calls from 0.
    package func set(fault: DiskFault?) {
        state.withLock { ($0.fault, $0.matchingCalls, $0.failedCall) = (fault, 0, nil) }
    }
    /// Makes syncs do nothing, without an error, for files and directories whose path contains this part.
    package func set(unsyncedPart: String?) { state.withLock { $0.unsyncedPart = unsyncedPart } }
    /// How many calls matched the fault, whether or not they failed.
    package var matchingCalls: Int { state.withLock { $0.matchingCalls } }
    /// The call at which the fault occurred, or nil before it.
    package var failedCall: String? { state.withLock { $0.failedCall } }
    package var hasFailed: Bool { failedCall != nil }

    // MARK: Faults

    /// Throws if this call should fail.
    private static func check(
        _ call: DiskFault.Call, _ path: String, _ state: inout State
    ) throws(DiskError) {
        guard let fault = state.fault else { return }
        let isDead = fault.isKill && state.failedCall != nil && DiskFault.changes.contains(call)
        guard isDead || fault.calls.contains(call) && fault.pathPart.map({ path.contains($0) }) ?? true else { return }
        state.matchingCalls += 1
        if state.matchingCalls == fault.number || fault.lasts && state.matchingCalls > fault.number {
            state.failedCall = state.failedCall ?? "\(call.rawValue) \(path)"
            throw DiskError(code: Errno(rawValue: fault.code), operation: call.rawValue, path: path)
        }
    }

    private func change<Result>(
        _ call: DiskFault.Call, _ path: String, _ body: (inout State) throws(DiskError) -> Result
    ) throws(DiskError) -> Result {
        try state.withLock { state throws(DiskError) in
            try SimulatedDisk.check(call, path, &state)
            return try body(&state)
        }
    }

    private func perform(_ operation: DiskImage.Operation, _ state: inout State) {
        state.image.apply(operation)
        if records { state.operations.append(operation) }
    }

    private static func missing(_ call: String, _ path: String) -> DiskError {
        DiskError(code: .noSuchFileOrDirectory, operation: call, path: path)
    }

    private static func directory(
        of path: String, _ call: String, _ state: State
    ) throws(DiskError) -> DiskImage.Number {
        guard let number = state.image.number(of: Path.directory(of: path)), state.image.nodes[number].isDirectory
        else { throw missing(call, path) }
        return number
    }

    // MARK: Names

    package func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        try change(mode == .create ? .create : .open, path) { state throws(DiskError) in
            if mode == .create {
                guard state.image.number(of: path) == nil else {
                    throw DiskError(code: .fileExists, operation: "create", path: path)
                }
                let directory = try SimulatedDisk.directory(of: path, "create", state)
                let number = state.image.add(isDirectory: false)
                perform(.link(number, directory: directory, name: Path.name(of: path)), &state)
                state.image.touch(number, clock.now().milliseconds)
                return SimulatedFile(disk: self, number: number, path: path)
            }
            guard let number = state.image.number(of: path) else { throw SimulatedDisk.missing("open", path) }
            guard !state.image.nodes[number].isDirectory else {
                throw DiskError(code: .isDirectory, operation: "open", path: path)
            }
            return SimulatedFile(disk: self, number: number, path: path)
        }
    }

    package func makeDirectory(_ path: String) throws(DiskError) {
        try change(.makeDirectory, path) { state throws(DiskError) in
            if let number = state.image.number(of: path) {
                if state.image.nodes[number].isDirectory { return }
                throw DiskError(code: .fileExists, operation: "create directory", path: path)
            }
            let directory = try SimulatedDisk.directory(of: path, "create directory", state)
            let number = state.image.add(isDirectory: true)
            perform(.link(number, directory: directory, name: Path.name(of: path)), &state)
        }
    }

    package func rename(_ path: String, to target: String) throws(DiskError) {
        try change(.rename, path) { state throws(DiskError) in
            guard let number = state.image.number(of: path) else { throw SimulatedDisk.missing("rename", path) }
            perform(
                .rename(
                    number, directory: try SimulatedDisk.directory(of: path, "rename", state),
                    name: Path.name(of: path),
                    toDirectory: try SimulatedDisk.directory(of: target, "rename", state),
                    toName: Path.name(of: target)), &state)
        }
    }

    package func remove(_ path: String) throws(DiskError) {
        try change(.remove, path) { state throws(DiskError) in
            guard state.image.number(of: path) != nil else { throw SimulatedDisk.missing("remove", path) }
            let directory = try SimulatedDisk.directory(of: path, "remove", state)
            perform(.unlink(directory: directory, name: Path.name(of: path)), &state)
        }
    }

    package func syncDirectory(_ path: String) throws(DiskError) {
        try change(.syncDirectory, path) { state throws(DiskError) in
            guard let number = state.image.number(of: path) else { throw SimulatedDisk.missing("sync", path) }
            if state.unsyncedPart.map({ (path + "/").hasSuffix($0) }) != true {
                perform(.syncDirectory(number), &state)
            }
        }
    }

    package func list(_ path: String) throws(DiskError) -> [String] {
        try change(.list, path) { state throws(DiskError) in
            guard let number = state.image.number(of: path) else { throw SimulatedDisk.missing("list", path) }
            return state.image.nodes[number].entries.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
    }

    package func information(_ path: String) throws(DiskError) -> FileInformation? {
        state.withLock { state in
            guard let number = state.image.number(of: path) else { return nil }
            let node = state.image.nodes[number]
            return FileInformation(
                size: UInt64(node.bytes.count), isDirectory: node.isDirectory, isRegular: !node.isDirectory,
                mode: node.isDirectory ? 0o700 : 0o600, modified: node.modified)
        }
    }

    package func freeBytes(_ path: String) throws(DiskError) -> UInt64 {
        guard let capacity else { return 1 << 40 }
        return state.withLock { UInt64(max(0, capacity - $0.image.byteCount)) }
    }

    package func lock(_ path: String, timeoutMilliseconds: Int) throws(DiskError) -> (any DiskLock)? {
        _ = try state.withLock { state throws(DiskError) in try SimulatedDisk.directory(of: path, "lock", state) }
        let isTaken = state.wait(timeoutMilliseconds: timeoutMilliseconds) { state in
            state.locked.insert(path).inserted ? true : nil
        }
        return isTaken == true ? SimulatedLock { [state] in state.signal { _ = $0.locked.remove(path) } } : nil
    }

    // MARK: Files

    fileprivate func size(of number: DiskImage.Number) -> UInt64 {
        state.withLock { UInt64($0.image.nodes[number].bytes.count) }
    }

    fileprivate func read(
        _ file: SimulatedFile, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
    ) throws(DiskError) -> Int {
        try change(.read, file.path) { state throws(DiskError) in
            state.image.nodes[file.number].bytes.withUnsafeBytes { bytes in
                let start = Int(clamping: offset)
                guard start < bytes.count else { return 0 }
                let count = min(buffer.count, bytes.count - start)
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
                return count
            }
        }
    }

    fileprivate func write(_ bytes: UnsafeRawBufferPointer, to file: SimulatedFile, at offset: UInt64) throws(DiskError)
    {
        try state.withLock { state throws(DiskError) in
            let start = Int(clamping: offset)
            func put(_ count: Int) {
                guard count > 0 else { return }
                perform(.write(file.number, offset: start, Array(bytes.prefix(count))), &state)
                state.image.touch(file.number, clock.now().milliseconds)
            }
            do throws(DiskError) {
                try SimulatedDisk.check(.write, file.path, &state)
                let growth = start + bytes.count - state.image.nodes[file.number].bytes.count
                if let capacity, growth > 0, state.image.byteCount + growth > capacity {
                    throw DiskError(code: .noSpace, operation: "write", path: file.path)
                }
            } catch {
                if state.fault?.isPartial == true { put(bytes.count / 2) }
                throw error
            }
            put(bytes.count)
        }
    }

    fileprivate func truncate(_ file: SimulatedFile, to size: UInt64) throws(DiskError) {
        try change(.truncate, file.path) { state throws(DiskError) in
            perform(.truncate(file.number, size: Int(clamping: size)), &state)
        }
    }

    fileprivate func sync(_ file: SimulatedFile) throws(DiskError) {
        try state.withLock { state throws(DiskError) in
            do throws(DiskError) {
                try SimulatedDisk.check(.sync, file.path, &state)
            } catch {
                if state.fault?.isKill != true { perform(.failedSync(file.number), &state) }
                throw error
            }
            if state.unsyncedPart.map({ file.path.contains($0) }) != true { perform(.sync(file.number), &state) }
        }
    }
}

private final class SimulatedFile: DiskFile {
    let path: String
    let disk: SimulatedDisk
    let number: DiskImage.Number

    init(disk: SimulatedDisk, number: DiskImage.Number, path: String) {
        (self.disk, self.number, self.path) = (disk, number, path)
    }

    func size() throws(DiskError) -> UInt64 { disk.size(of: number) }
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int {
        try disk.read(self, into: buffer, at: offset)
    }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(DiskError) {
        try disk.write(bytes, to: self, at: offset)
    }
    func sync() throws(DiskError) { try disk.sync(self) }
    func truncate(to size: UInt64) throws(DiskError) { try disk.truncate(self, to: size) }
}

private final class SimulatedLock: DiskLock {
    let isInPlace = true
    private let release: @Sendable () -> Void
    init(_ release: @escaping @Sendable () -> Void) { self.release = release }
    deinit { release() }
}
