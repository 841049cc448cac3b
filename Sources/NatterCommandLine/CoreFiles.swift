internal import Glibc
internal import Synchronization

/// Keeps secrets and messages of this process out of core files, which other programs may collect.
public enum CoreFiles {
    private static let former = Mutex<rlimit?>(nil)
    private static let resource = __rlimit_resource_t(RLIMIT_CORE.rawValue)

    /// After this call, a crash of this process leaves no core file. systemd-coredump obeys the same limit.
    public static func forbid() {
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return }
        former.withLock { $0 = limit }
        limit.rlim_cur = 0
        setrlimit(resource, &limit)
    }

    /// Runs `start`, which starts another program, with the original limit of this process.
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
