internal import Glibc
internal import NatterCLI
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
    }

    /// The program and its arguments. The program is looked up on `PATH`.
    let words: [String]
    /// Replaces variables of this process's environment, for the program alone. nil removes one.
    var environment: [(name: String, value: String?)] = []
    /// The program's standard input, written before its output is read. With nil it inherits ours.
    var input: [UInt8]?
    /// How many output bytes to keep. All output is also passed on. With 0 the program inherits our streams, and
    /// nothing is kept.
    var keptBytes = 0
    /// Whether SIGTERM and SIGHUP are forwarded to the child while it runs.
    var getsSignals = false

    /// - Throws: `DiskError` if the program cannot be started.
    func run() throws(DiskError) -> Outcome {
        var pipes = Pipes()
        defer { pipes.closeAll() }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var feeding: Int32?
        if input != nil {
            let ends = try pipes.open()
            posix_spawn_file_actions_adddup2(&actions, ends.reading, STDIN_FILENO)
            feeding = ends.writing
        }
        var watched: [(source: Int32, sink: Int32)] = []
        if keptBytes > 0 {
            for sink in [STDOUT_FILENO, STDERR_FILENO] {
                let ends = try pipes.open()
                posix_spawn_file_actions_adddup2(&actions, ends.writing, sink)
                watched.append((ends.reading, sink))
            }
        }
        let process = try Spawn.start(words, &actions, environment: environment)
        if getsSignals { Signals.passOn(to: process) }
        pipes.closeChildEnds(keeping: (feeding.map { [$0] } ?? []) + watched.map(\.source))
        if let feeding, let input { pipes.feed(input, to: feeding) }
        let lastOutput = pass(watched)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        if getsSignals { Signals.passOn(to: nil) }
        // These are the macros WIFEXITED, WEXITSTATUS and WTERMSIG, which Swift does not import.
        let signal = status & 0x7F
        return Outcome(
            status: signal == 0 ? status >> 8 & 0xFF : 128 + signal, signal: signal == 0 ? nil : signal,
            lastOutput: lastOutput)
    }

    /// Passes output on until both streams end, and keeps its last bytes.
    private func pass(_ streams: [(source: Int32, sink: Int32)]) -> [UInt8] {
        var open = streams
        var kept: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while !open.isEmpty {
            var polled = open.map { pollfd(fd: $0.source, events: Int16(POLLIN), revents: 0) }
            guard poll(&polled, nfds_t(polled.count), -1) >= 0 || errno == EINTR else { break }
            for (entry, stream) in zip(polled, open) where entry.revents != 0 {
                let count = read(entry.fd, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else {
                    open.removeAll { $0.source == entry.fd }
                    continue
                }
                ChildProcess.write(buffer[..<count], to: stream.sink)
                kept += buffer[..<count]
                if kept.count > 2 * keptBytes { kept.removeFirst(kept.count - keptBytes) }
            }
        }
        return Array(kept.suffix(keptBytes))
    }

    private static func write(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            // The reader closed our output. The program continues, and its outcome is still sent.
            if count <= 0 { return }
            rest = rest.dropFirst(count)
        }
    }
}

/// The pipes between this process and a child process. All are closed at the end in every case.
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
        descriptors.formIntersection(kept)
    }

    /// Writes all bytes unless the child process exits or closes its input. Then it closes the pipe, so that the child
    /// sees the end.
    mutating func feed(_ bytes: [UInt8], to descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            // If the user has many pipes, a pipe may have only one page.
            if count < 0, errno == EAGAIN {
                var polled = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                guard poll(&polled, 1, -1) >= 0 || errno == EINTR else { break }
                continue
            }
            guard count > 0 else { break }
            rest = rest.dropFirst(count)
        }
        close(descriptor)
        descriptors.remove(descriptor)
    }

    mutating func closeAll() {
        for descriptor in descriptors { close(descriptor) }
        descriptors = []
    }
}

/// Starts other programs.
enum Spawn {
    /// Starts a program with this process's environment, but for the variables named, and with default signal actions,
    /// because we ignore some signals and may handle SIGINT.
    ///
    /// - Parameter words: the program, looked up on `PATH`, and its arguments.
    /// - Throws: `DiskError` if it cannot be started.
    static func start(
        _ words: [String], _ actions: inout posix_spawn_file_actions_t,
        environment changes: [(name: String, value: String?)] = []
    ) throws(DiskError) -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        sigemptyset(&defaults)
        for number in Signals.ignored { sigaddset(&defaults, number) }
        sigaddset(&defaults, SIGINT)
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        let variables = changes.isEmpty ? nil : Spawn.environment(changes)
        defer { for variable in variables ?? [] { free(variable) } }
        var process: pid_t = 0
        let code = CoreFiles.allowed {
            if var variables {
                return posix_spawnp(&process, words.first ?? "", &actions, &attributes, arguments, &variables)
            }
            return posix_spawnp(&process, words.first ?? "", &actions, &attributes, arguments, environ)
        }
        guard code == 0 else { throw DiskError(code: Errno(rawValue: code), operation: "run", path: words.first ?? "") }
        return process
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
