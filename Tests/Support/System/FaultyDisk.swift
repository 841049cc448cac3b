internal import Glibc
package import NatterSystem

/// Wraps a disk, makes calls fail as the test requests, and records the calls that change something.
package final class FaultyDisk: Disk {
    private struct State {
        var failures: [DiskFault.Call: Int32] = [:]
        /// A part of the paths of these calls, or nil for all.
        var pathPart: String?
        /// How many of these calls succeed before.
        var successes = 0
        var freeBytes: UInt64?
        /// How many more changes succeed, or nil for no limit.
        var changesLeft: Int?
        var calls: [String] = []
        var bytesRead = 0
        /// Where a file can't be read.
        var badSector: (pathPart: String, offset: UInt64)?
        var actions: [DiskFault.Call: @Sendable (String) -> Void] = [:]
    }

    private let real: any Disk
    private let state: Monitor<State>

    /// - Parameter changes: how many calls that change something succeed. After them every call fails, as if the
    ///   process had been killed.
    package init(over real: any Disk = PosixDisk(), stoppingAfter changes: Int? = nil) {
        self.real = real
        state = Monitor(State(changesLeft: changes))
    }

    /// From now on so many calls that change something succeed, and after them none, as if the process had been killed.
    package func stop(afterChanges changes: Int) { state.withLock { $0.changesLeft = changes } }
    /// Makes these calls fail with these errors, and no others, after so many successes. Half of a failing write reaches the file.
    package func set(failures: [DiskFault.Call: Int32], in pathPart: String? = nil, after successes: Int = 0) {
        state.withLock { ($0.failures, $0.pathPart, $0.successes) = (failures, pathPart, successes) }
    }
    /// Makes every read of the byte at this offset fail with EIO, as the disk does.
    package func set(badSector offset: UInt64, in pathPart: String) {
        state.withLock { $0.badSector = (pathPart, offset) }
    }
    /// Does something before these calls, for example waits; it gets the path.
    package func set(before call: DiskFault.Call, _ action: @escaping @Sendable (String) -> Void) {
        state.withLock { $0.actions[call] = action }
    }
    /// Sets the free space that the disk reports, or nil for the real one.
    package func set(freeBytes: UInt64?) { state.withLock { $0.freeBytes = freeBytes } }
    /// How many bytes of files were read so far.
    package var bytesRead: Int { state.withLock { $0.bytesRead } }
    /// All changes and syncs so far, in order.
    package var calls: [String] { state.withLock { $0.calls } }

    fileprivate func check(_ call: DiskFault.Call, _ path: String) throws(DiskError) {
        state.withLock { $0.actions[call] }?(path)
        let code: Int32? = state.withLock { state in
            let isSync = call == .sync || call == .syncDirectory
            if DiskFault.changes.contains(call) { state.calls.append("\(call.rawValue) \(path)") }
            if let left = state.changesLeft {
                if DiskFault.changes.contains(call), !isSync {
                    state.changesLeft = left - 1
                    if left <= 0 { return EIO }
                } else if left <= 0 {
                    // Not EIO, because repair would treat that as a bad sector.
                    return EBADF
                }
            }
            guard let code = state.failures[call], state.pathPart.map(path.contains) ?? true else { return nil }
            guard state.successes > 0 else { return code }
            state.successes -= 1
            return nil
        }
        if let code { throw DiskError(code: Errno(rawValue: code), operation: call.rawValue, path: path) }
    }

    fileprivate func check(read range: Range<UInt64>, _ path: String) throws(DiskError) {
        try check(.read, path)
        let isBad = state.withLock { state in
            state.badSector.map { path.contains($0.pathPart) && range.contains($0.offset) } ?? false
        }
        if isBad { throw DiskError(code: Errno(rawValue: EIO), operation: "read", path: path) }
    }

    fileprivate func note(bytesRead count: Int) { state.withLock { $0.bytesRead += count } }

    package func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        try check(mode == .create ? .create : .open, path)
        return FaultyFile(try real.open(path, mode), self)
    }
    package func makeDirectory(_ path: String) throws(DiskError) {
        try check(.makeDirectory, path)
        try real.makeDirectory(path)
    }
    package func rename(_ path: String, to target: String) throws(DiskError) {
        try check(.rename, path)
        try real.rename(path, to: target)
    }
    package func remove(_ path: String) throws(DiskError) {
        try check(.remove, path)
        try real.remove(path)
    }
    package func syncDirectory(_ path: String) throws(DiskError) {
        try check(.syncDirectory, path)
        try real.syncDirectory(path)
    }
    package func list(_ path: String) throws(DiskError) -> [String] {
        try check(.list, path)
        return try real.list(path)
    }
    package func information(_ path: String) throws(DiskError) -> FileInformation? {
        try check(.read, path)
        return try real.information(path)
    }
    package func freeBytes(_ path: String) throws(DiskError) -> UInt64 {
        if let free = state.withLock({ $0.freeBytes }) { return free }
        return try real.freeBytes(path)
    }
}

private final class FaultyFile: DiskFile {
    private let real: any DiskFile
    private let disk: FaultyDisk
    var path: String { real.path }

    init(_ real: any DiskFile, _ disk: FaultyDisk) { (self.real, self.disk) = (real, disk) }

    func size() throws(DiskError) -> UInt64 { try real.size() }
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int {
        try disk.check(read: offset..<offset + UInt64(buffer.count), path)
        let count = try real.read(into: buffer, at: offset)
        disk.note(bytesRead: count)
        return count
    }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(DiskError) {
        do throws(DiskError) {
            try disk.check(.write, path)
        } catch {
            if error.code == .noSpace {
                try real.write(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)]), at: offset)
            }
            throw error
        }
        try real.write(bytes, at: offset)
    }
    func sync() throws(DiskError) {
        try disk.check(.sync, path)
        try real.sync()
    }
    func truncate(to size: UInt64) throws(DiskError) {
        try disk.check(.truncate, path)
        try real.truncate(to: size)
    }
}
