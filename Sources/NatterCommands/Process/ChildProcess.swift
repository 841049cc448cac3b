internal import Glibc
internal import NatterCommandLine
internal import NatterSystem

/// Runs another program and waits until it ends.
struct ChildProcess {
    /// How the program ended.
    struct Outcome {
        /// The status as a shell reports it: the exit code, or 128 plus the number of the signal that ended the
        /// program.
        let status: Int32
        /// The signal that ended the program, or nil.
        let signal: Int32?
        /// The last bytes of the program's output, with both streams interleaved.
        let lastOutput: [UInt8]
        /// How many bytes of output there were in all.
        let outputBytes: Int
        /// When it was seen that the program had ended, in milliseconds of the monotonic clock.
        let end: Int64
        /// Why some of the output is lost, or nil. A reader that has closed our output wants no more of it, so that loses
        /// nothing.
        let outputError: OutputError?
    }

    /// How long to read on after the program has ended, for what it has started, such as `exec > >(tee FILE)` in bash.
    private static let graceMilliseconds: Int64 = 2_000
    /// How often to look whether a program that prints nothing has ended while others still hold its output.
    private static let lookMilliseconds: Int64 = 200

    /// The program and its arguments. The program is looked up on `PATH`.
    let words: [String]
    /// The words that are not UTF-8, by their index, each ended by 0. The program gets these instead.
    var bytes: [Int: [CChar]] = [:]
    /// Replaces variables of this process's environment, for the program alone. nil removes one.
    var environment: [(name: String, value: String?)] = []
    /// The program's standard input, which it has whole even if this process is killed after it was started: with a part of
    /// a message it would do a wrong thing. With nil it inherits ours.
    var input: [UInt8]?
    /// How many output bytes to keep. All output is also passed on. With 0 the program inherits our streams, and
    /// nothing is kept.
    var keptBytes = 0
    /// Gets all output, too, if any is kept.
    var onOutput: ((ArraySlice<UInt8>) -> Void)?
    /// Which signals are forwarded to the child while it runs. With `all`, it has a process group of its own, the whole of which
    /// gets them, and is waited for: a shell may run other programs.
    var forwarded: Signals.Forwarded?

    /// - Throws: `DiskError` if the program cannot be started.
    func run() throws(DiskError) -> Outcome {
        var pipes = Pipes()
        defer { pipes.closeAll() }
        var redirections: [Spawn.Redirection] = []
        if let input { redirections.append((STDIN_FILENO, try pipes.reading(input))) }
        var watched: [(source: Int32, sink: Int32)] = []
        if keptBytes > 0 {
            for sink in [STDOUT_FILENO, STDERR_FILENO] {
                let ends = try pipes.open()
                redirections.append((sink, ends.writing))
                watched.append((ends.reading, sink))
            }
        }
        if let forwarded { Signals.passOn(forwarded, to: 0) }
        defer { if let forwarded { Signals.passOn(forwarded, to: nil) } }
        let process = try Spawn.start(
            words, redirections, bytes: bytes, environment: environment, ownsGroup: forwarded == .all)
        if let forwarded { Signals.passOn(forwarded, to: forwarded == .all ? -process : process) }
        pipes.closeChildEnds(keeping: watched.map(\.source))
        let passed = pass(watched, of: process, &pipes)
        for stream in passed.open { ChildProcess.leave(stream) }
        let status = Spawn.wait(for: process)
        if forwarded == .all { Signals.waitForForwarded(group: process) }
        // These are the macros WIFEXITED, WEXITSTATUS and WTERMSIG, which Swift does not import.
        let signal = status & 0x7F
        return Outcome(
            status: signal == 0 ? status >> 8 & 0xFF : 128 + signal, signal: signal == 0 ? nil : signal,
            lastOutput: passed.kept, outputBytes: passed.count, end: passed.end ?? MonotonicClock.now(),
            outputError: passed.error)
    }

    /// A stream of the program's output, and where it goes.
    private typealias Stream = (source: Int32, sink: Int32)

    /// The result of passing on the program's output.
    private struct Passed {
        var kept: [UInt8] = []
        var count = 0
        var open: [Stream] = []
        /// When it was seen that the program had ended; nil if its streams ended first.
        var end: Int64?
        var error: OutputError?
    }

    /// Passes output on until both streams end, and keeps its last bytes. A program that this one has left running may hold
    /// them for days, so a while after the end of the process they are returned as they are.
    private func pass(_ streams: [Stream], of process: pid_t, _ pipes: inout Pipes) -> Passed {
        var open = streams.map {
            (stream: $0, output: $0.sink == STDERR_FILENO ? Output.standardError() : .standardOutput())
        }
        var passed = Passed()
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while !open.isEmpty {
            let now = MonotonicClock.now()
            if passed.end == nil, ChildProcess.hasEnded(process) { passed.end = now }
            let left = passed.end.map { $0 + ChildProcess.graceMilliseconds - now } ?? ChildProcess.lookMilliseconds
            guard left > 0 else { break }
            var polled = open.map { pollfd(fd: $0.stream.source, events: Int16(POLLIN), revents: 0) }
            guard retrying({ poll(&polled, nfds_t(polled.count), Int32(clamping: left)) }) >= 0 else { break }
            for (entry, (_, output)) in zip(polled, open) where entry.revents != 0 {
                let count = retrying { read(entry.fd, &buffer, buffer.count) }
                guard count > 0 else {
                    open.removeAll { $0.stream.source == entry.fd }
                    continue
                }
                onOutput?(buffer[..<count])
                passed.kept += buffer[..<count]
                passed.count += count
                if passed.kept.count > 2 * keptBytes { passed.kept.removeFirst(passed.kept.count - keptBytes) }
                do throws(OutputError) {
                    try output.write(buffer[..<count])
                    try output.flush()
                } catch {
                    if error != .closedPipe, passed.error == nil { passed.error = error }
                    // The program learns from its next write that nobody gets it, as it would without us.
                    pipes.close(entry.fd)
                    open.removeAll { $0.stream.source == entry.fd }
                }
            }
        }
        passed.kept = Array(passed.kept.suffix(keptBytes))
        passed.open = open.map(\.stream)
        return passed
    }

    /// Whether the process has ended. Its number stays taken, because signals may still be passed on to it.
    private static func hasEnded(_ process: pid_t) -> Bool {
        var information = siginfo_t()
        let code = waitid(P_PID, id_t(process), &information, WEXITED | WNOHANG | WNOWAIT)
        return code == 0 && information.si_signo == SIGCHLD
    }

    /// Lets cat(1) pass on what programs still print that the process has left running. Without a reader, they would die of
    /// SIGPIPE.
    private static func leave(_ stream: Stream) {
        // It must not hold the other stream open, too.
        _ = try? Spawn.start(
            ["cat"], [(STDIN_FILENO, stream.source), (STDOUT_FILENO, stream.sink), (STDERR_FILENO, stream.sink)])
    }
}

/// The descriptors that this process opens for a child process. All are closed at the end in every case.
private struct Pipes {
    private var descriptors: Set<Int32> = []

    mutating func open() throws(DiskError) -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw DiskError(operation: "make a pipe for", path: "a program") }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            descriptors.insert(end)
        }
        return (ends[0], ends[1])
    }

    mutating func closeChildEnds(keeping kept: [Int32]) {
        for descriptor in descriptors where !kept.contains(descriptor) { close(descriptor) }
    }

    /// A descriptor from which the bytes can be read.
    mutating func reading(_ bytes: [UInt8]) throws(DiskError) -> Int32 {
        let file = try UnnamedFile(inMemory: "a program's input")
        try file.write(bytes, at: 0)
        let descriptor = try file.duplicate()
        descriptors.insert(descriptor)
        return descriptor
    }

    mutating func close(_ descriptor: Int32) {
        if descriptors.remove(descriptor) != nil { Glibc.close(descriptor) }
    }

    mutating func closeAll() {
        for descriptor in descriptors { Glibc.close(descriptor) }
        descriptors = []
    }
}

/// Starts other programs.
enum Spawn {
    /// A descriptor of the program, and which of ours it is; nil stands for /dev/null.
    typealias Redirection = (target: Int32, source: Int32?)

    /// Starts a program with this process's environment, but for the variables named, and with the default actions of the
    /// signals that we ignore. A SIGINT that our own caller ignores, such as a script for its background jobs, stays ignored.
    ///
    /// - Parameters:
    ///   - words: the program, looked up on `PATH`, and its arguments.
    ///   - bytes: of the words that are not UTF-8, by their index, each ended by 0.
    ///   - unblocksSignals: lets it get all signals, although this process blocks them now.
    /// - Throws: `DiskError` if it cannot be started.
    static func start(
        _ words: [String], _ redirections: [Redirection], bytes: [Int: [CChar]] = [:],
        environment changes: [(name: String, value: String?)] = [], ownsGroup: Bool = false,
        unblocksSignals: Bool = false
    ) throws(DiskError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (target, source) in redirections {
            if let source {
                posix_spawn_file_actions_adddup2(&actions, source, target)
            } else {
                posix_spawn_file_actions_addopen(&actions, target, "/dev/null", O_RDWR, 0)
            }
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        sigemptyset(&defaults)
        for number in Signals.ignored { sigaddset(&defaults, number) }
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        // The group has the process's own number.
        let flags =
            POSIX_SPAWN_SETSIGDEF | (ownsGroup ? POSIX_SPAWN_SETPGROUP : 0)
            | (unblocksSignals ? POSIX_SPAWN_SETSIGMASK : 0)
        posix_spawnattr_setflags(&attributes, Int16(flags))
        var arguments: [UnsafeMutablePointer<CChar>?] = words.enumerated().map { index, word in
            bytes[index].map { strdup($0) } ?? strdup(word)
        }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        let variables = changes.isEmpty ? nil : Spawn.environment(changes)
        defer { for variable in variables ?? [] { free(variable) } }
        var process: pid_t = 0
        let code = CoreFiles.allowed {
            guard let program = arguments[0] else { return ENOENT }
            if var variables {
                return posix_spawnp(&process, program, &actions, &attributes, arguments, &variables)
            }
            return posix_spawnp(&process, program, &actions, &attributes, arguments, environ)
        }
        guard code == 0 else { throw DiskError(code: Errno(rawValue: code), operation: "run", path: words.first ?? "") }
        return process
    }

    /// Waits until a program ends.
    ///
    /// - Returns: its status as waitpid(2) has it.
    static func wait(for process: pid_t) -> Int32 {
        var status: Int32 = 0
        retrying { waitpid(process, &status, 0) }
        return status
    }

    /// This process's variables with changes, ended by nil. They are copies, which the caller frees.
    private static func environment(_ changes: [(name: String, value: String?)]) -> [UnsafeMutablePointer<CChar>?] {
        var variables: [UnsafeMutablePointer<CChar>?] = []
        var next = environ
        while let variable = next.pointee {
            let isChanged = changes.contains { strncmp(variable, "\($0.name)=", $0.name.utf8.count + 1) == 0 }
            if !isChanged { variables.append(strdup(variable)) }
            next += 1
        }
        for change in changes {
            if let value = change.value { variables.append(strdup("\(change.name)=\(value)")) }
        }
        return variables + [nil]
    }
}
