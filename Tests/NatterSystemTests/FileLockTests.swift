import Glibc
import NatterSystem
import Testing
import TestSupport

@Suite("a file lock")
struct FileLockTests {
    private let home: TemporaryDirectory
    private var path: String { home.path + "/lock" }

    init() throws { home = try TemporaryDirectory() }

    @Test("has one holder, and goes with it")
    func exclusive() throws {
        let first = Monitor<FileLock?>(try FileLock.take(path))
        #expect(first.withLock { $0 != nil })
        #expect(try FileLock.take(path) == nil)
        first.withLock { $0 = nil }
        #expect(try FileLock.take(path) != nil)
    }

    @Test("may be on a directory; it goes with it, and tells that it has")
    func directory() throws {
        let directory = home.path + "/directory"
        try PosixDisk().makeDirectory(directory)
        let lock = try #require(try FileLock.take(directory + "/."))
        #expect(try PosixDisk().list(directory).isEmpty && lock.isInPlace)
        try PosixDisk().rename(directory, to: home.path + "/moved")
        #expect(!lock.isInPlace)
        #expect(try FileLock.take(home.path + "/moved/.") == nil)
        try PosixDisk().makeDirectory(directory)
        #expect(!lock.isInPlace)
        #expect(try FileLock.take(directory + "/.") != nil)
    }

    @Test("goes with its holder though a process that is being started has a copy of the descriptor still")
    func copied() throws {
        let lock = Monitor<FileLock?>(try FileLock.take(path))
        let descriptor = try PosixDisk().list("/proc/self/fd").lazy.compactMap { Int32($0) }.first { descriptor in
            link("/proc/self/fd/\(descriptor)") == path
        }
        let copy = dup(try #require(descriptor))
        defer { close(copy) }
        #expect(copy >= 0)
        lock.withLock { $0 = nil }
        #expect(try FileLock.take(path) != nil)
    }

    @Test("keeps other processes out")
    func otherProcesses() throws {
        let lock = try #require(try FileLock.take(path))
        // flock(1) ends with 1 where it does not get the lock.
        #expect(try status(of: ["/usr/bin/flock", "--nonblock", path, "/bin/true"]) == 1)
        withExtendedLifetime(lock) {}
    }

    @Test("is not inherited by a process that is started meanwhile")
    func inheritance() throws {
        let lock = Monitor<FileLock?>(try FileLock.take(path))
        let child = try spawn(["/bin/sleep", "60"])
        defer {
            kill(child, SIGKILL)
            waitpid(child, nil, 0)
        }
        // Were it, then a killed process's children would hold the lock.
        let links = try PosixDisk().list("/proc/\(child)/fd").map { link("/proc/\(child)/fd/" + $0) }
        #expect(!links.isEmpty && !links.contains(path))
        lock.withLock { $0 = nil }
        #expect(try FileLock.take(path) != nil)
    }

    /// Where a symbolic link leads.
    private func link(_ path: String) -> String {
        var target = [CChar](repeating: 0, count: 4_096)
        let count = readlink(path, &target, target.count)
        return String(decoding: target.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    @Test("is waited for as long as is said")
    func timeout() throws {
        let lock = try #require(try FileLock.take(path))
        let start = MonotonicClock.now()
        #expect(try FileLock.take(path, timeoutMilliseconds: 50) == nil)
        #expect(MonotonicClock.now() - start >= 50)
        withExtendedLifetime(lock) {}
    }

    @Test("passes to the waiting holder when it is released")
    func handOver() throws {
        let held = Monitor<FileLock?>(try FileLock.take(path))
        let gotIt = Monitor<Bool?>(nil)
        let path = self.path
        let waiter = try SystemThread(name: "waiter") {
            let lock = try? FileLock.take(path, timeoutMilliseconds: 60_000)
            gotIt.signal { $0 = lock != nil }
        }
        held.withLock { $0 = nil }
        #expect(gotIt.wait { $0 } == true)
        waiter.join()
    }

    @Test("is private, and on no symbolic link")
    func file() throws {
        let former = umask(0)
        defer { umask(former) }
        withExtendedLifetime(try FileLock.take(path)) {}
        #expect(try PosixDisk().information(path)?.mode == 0o600)
        #expect(symlink(home.path + "/elsewhere", home.path + "/link") == 0)
        let link = failure { () throws(DiskError) in _ = try FileLock.take(home.path + "/link") }
        #expect(link?.code == .tooManySymbolicLinkLevels)
        #expect(failure { () throws(DiskError) in _ = try FileLock.take(home.path + "/no/lock") }?.isMissing == true)
    }

    private func spawn(_ words: [String]) throws -> pid_t {
        var arguments = words.map { strdup($0) }
        defer { for argument in arguments { free(argument) } }
        arguments.append(nil)
        var child = pid_t()
        let code = posix_spawn(&child, words[0], nil, nil, arguments, environ)
        guard code == 0 else { throw DiskError(code: Errno(rawValue: code), operation: "run", path: words[0]) }
        return child
    }

    private func status(of words: [String]) throws -> Int32 {
        let child = try spawn(words)
        var status: Int32 = 0
        waitpid(child, &status, 0)
        return status & 0x7F == 0 ? status >> 8 & 0xFF : -1
    }
}
