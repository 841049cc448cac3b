internal import Glibc
internal import Synchronization

/// Keeps what a process knows (tokens, passwords, what others wrote) out of core files, which lie about readable to whoever
/// collects them.
public enum CoreFiles {
    private static let former = Mutex<rlimit?>(nil)
    private static let resource = __rlimit_resource_t(RLIMIT_CORE.rawValue)

    /// From here on a crash of this process leaves no core file. systemd-coredump and its like heed the same limit.
    public static func forbid() {
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return }
        former.withLock { $0 = limit }
        limit.rlim_cur = 0
        setrlimit(resource, &limit)
    }

    /// Runs `start`, which starts another program, under the limit that this process was given: what that one knows is its
    /// own business.
    public static func allowed<Result>(_ start: () -> Result) -> Result {
        guard var limit = former.withLock({ $0 }) else { return start() }
        setrlimit(resource, &limit)
        defer {
            limit.rlim_cur = 0
            setrlimit(resource, &limit)
        }
        return start()
    }
}
