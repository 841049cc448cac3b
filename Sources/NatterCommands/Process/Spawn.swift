internal import Glibc
internal import NatterCLI
internal import NatterSystem

/// Starting another program.
enum Spawn {
    /// Starts it with this process's environment, and with the signals as every program expects them: we ignore SIGPIPE and
    /// may handle SIGINT.
    ///
    /// - Parameter words: the program, looked for on `PATH`, and its words.
    /// - Throws: `DiskError` if it can't be started.
    static func start(
        _ words: [String], _ actions: inout posix_spawn_file_actions_t
    ) throws(DiskError) -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        sigemptyset(&defaults)
        sigaddset(&defaults, SIGPIPE)
        sigaddset(&defaults, SIGINT)
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        var process: pid_t = 0
        let code = CoreFiles.allowed {
            posix_spawnp(&process, words.first ?? "", &actions, &attributes, arguments, environ)
        }
        guard code == 0 else { throw DiskError(code: Errno(rawValue: code), operation: "run", path: words.first ?? "") }
        return process
    }
}
