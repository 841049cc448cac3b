internal import Foundation
internal import Glibc

/// What tests share lives as long as the test run, and nothing would end or remove it then.
enum Leftovers {
    private struct State {
        var processes: Set<pid_t> = []
        var directories: Set<String> = []
        var isWatching = false
    }

    private static let lock = NSLock()
    nonisolated(unsafe) private static var state = State()

    private static func change(_ body: (inout State) -> Void) {
        lock.lock()
        defer { lock.unlock() }
        body(&state)
        guard !state.isWatching else { return }
        state.isWatching = true
        atexit {
            for id in Leftovers.state.processes { kill(id, SIGKILL) }
            for path in Leftovers.state.directories { try? FileManager.default.removeItem(atPath: path) }
        }
    }

    static func add(process id: pid_t) { change { $0.processes.insert(id) } }
    /// Before its end is taken notice of, after which the number may be another's.
    static func remove(process id: pid_t) { change { $0.processes.remove(id) } }
    static func add(directory path: String) { change { $0.directories.insert(path) } }
    static func remove(directory path: String) { change { $0.directories.remove(path) } }
}
