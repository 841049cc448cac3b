internal import Glibc
internal import NatterCommandLine
internal import NatterStore
internal import NatterSystem

/// A store for a trial where there is none yet.
enum TemporaryStore {
    /// Calls `body` with an empty store, and removes it, also if a signal ends the process.
    static func with<Result>(_ console: Console, _ body: (Store) throws -> Result) throws -> Result {
        let parent = console.environment["TMPDIR"] ?? "/var/tmp"
        let directory = try Path.temporary("natterd", in: parent) { mkdtemp($0) != nil }
        let isEnding = Monitor(false)
        defer {
            // An error because the directory is gone must not end the process before the signal does.
            if isEnding.withLock({ $0 }) { _ = isEnding.wait { _ in nil as Bool? } }
            remove(directory)
        }
        try Signals.cleanUpOnEnd {
            isEnding.withLock { $0 = true }
            // The store goes on writing meanwhile. Under this name, it finds no place for another file.
            let ended = directory + ".ended"
            rename(directory, ended)
            for place in [ended, directory] { remove(place) }
        }
        let store = try Store.open(directory + "/store", clock: console.clock)
        defer { store.close() }
        return try body(store)
    }

    /// Removes a directory and everything in it. Files that can't be removed stay.
    private static func remove(_ directory: String) {
        let disk = PosixDisk()
        for name in (try? disk.list(directory)) ?? [] {
            let path = directory + "/" + name
            if (try? disk.information(path)?.isDirectory) == true { remove(path) } else { try? disk.remove(path) }
        }
        rmdir(directory)
    }
}
