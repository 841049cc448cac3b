internal import Glibc
internal import NatterCLI
internal import NatterSystem

/// Another program, run to its end.
struct ChildProcess {
    /// How it ended.
    struct Outcome {
        /// As a shell says it: the exit code, or 128 and the number of the signal that ended it.
        let status: Int32
        /// The signal that ended it, if one did.
        let signal: Int32?
        /// The last bytes of what it wrote, both streams as they came.
        let lastOutput: [UInt8]
    }

    /// The program and its words. The first is looked for on `PATH`.
    let words: [String]
    /// Set besides what this process has.
    var environment: [(name: String, value: String)] = []
    /// What it gets on standard input before its output is looked at; nil leaves it ours.
    var input: [UInt8]?
    /// Bytes of its output to keep; everything is passed on besides. 0: its streams are ours, and nothing is kept.
    var keptBytes = 0
    /// Whether SIGTERM and SIGHUP, which may be sent to us alone, are the child's while it runs.
    var getsSignals = false

    /// - Throws: `DiskError` if it can't be started.
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
        for variable in environment { setenv(variable.name, variable.value, 1) }
        let process = try Spawn.start(words, &actions)
        if getsSignals { Signals.passOn(to: process) }
        pipes.closeChildEnds(keeping: (feeding.map { [$0] } ?? []) + watched.map(\.source))
        if let feeding, let input { pipes.feed(input, to: feeding) }
        let lastOutput = pass(watched)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        if getsSignals { Signals.passOn(to: nil) }
        // The macros WIFEXITED, WEXITSTATUS and WTERMSIG, which Swift does not import.
        let signal = status & 0x7F
        return Outcome(
            status: signal == 0 ? status >> 8 & 0xFF : 128 + signal, signal: signal == 0 ? nil : signal,
            lastOutput: lastOutput)
    }

    /// Passes on what comes until both streams end, and keeps the last of it.
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
            // Nobody reads it: the program goes on, and its report is made.
            if count <= 0 { return }
            rest = rest.dropFirst(count)
        }
    }
}

/// The pipes between us and a child; all are closed in the end, whatever happens between.
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

    /// Writes all of it, unless the child ends or closes its input before, and closes: the child sees the end of it.
    mutating func feed(_ bytes: [UInt8], to descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            // A pipe may be as small as a page, for a user who has many.
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
